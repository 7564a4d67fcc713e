/**
 * What the page knows of the market: values only, no DOM, no socket.
 *
 * Memory is taken once per symbol, in rings, so that an open day costs what a minute does.
 */

import { decimalsOf, price as format } from "./format.js";

const SHORT_SECONDS = 301; // per symbol: for changes and the sparkline

/** The last price of each of the newest `size` steps of time; NaN where unknown. */
class Ring {
	constructor(stepMs, size) {
		this.stepMs = stepMs;
		this.size = size;
		this.last = -1; // the newest step, counted from the epoch
		this.close = new Float64Array(size).fill(NaN);
	}

	add(timeMs, price) {
		const step = Math.floor(timeMs / this.stepMs);
		if (step <= this.last - this.size) return;
		for (let gap = Math.max(this.last + 1, step - this.size + 1); gap <= step; gap++) {
			this.close[gap % this.size] = NaN;
		}
		if (step >= this.last || Number.isNaN(this.close[step % this.size])) this.close[step % this.size] = price;
		this.last = Math.max(this.last, step);
	}

	/** The newest close at or before `step`, looking back at most so many steps. */
	closeAt(step, most = this.size) {
		const end = Math.max(0, step - most, this.last - this.size + 1);
		for (let at = step; at >= end; at--) {
			const close = this.close[at % this.size];
			if (!Number.isNaN(close)) return close;
		}
		return NaN;
	}
}

/** One symbol: its newest price and its last five minutes. */
class Series {
	price = NaN;
	digits = ""; // the same as it came, with every digit
	decimals = 0;
	stale = null; // the status message that says why its price is old
	ring = new Ring(1000, SHORT_SECONDS);

	constructor(symbol, opened) {
		this.symbol = symbol;
		this.opened = opened; // the first price this page saw
	}

	/** The change since the page opened, or over so many seconds, as a ratio. */
	change(seconds) {
		return this.price / (seconds ? this.ring.closeAt(this.ring.last - seconds) : this.opened) - 1;
	}

	learnDecimals(price) {
		this.decimals = Math.max(this.decimals, decimalsOf(price));
	}

	/** The price with as many decimals as the symbol was ever seen with. */
	text() {
		this.learnDecimals(this.digits);
		return format(this.digits, this.decimals);
	}
}

/** How many bars of each size are kept of the charted symbol, by the seconds of one. */
const KEPT = new Map([[1, 3700], [60, 10_100], [3600, 8800]]);

/** Take a price into the newest bar, or begin one. */
function extend(bars, step, timeMs, price, most) {
	const time = Math.floor(timeMs / 1000 / step) * step;
	const last = bars.at(-1);
	if (last && time < last.time) return;
	if (last?.time === time) {
		last.high = Math.max(last.high, price);
		last.low = Math.min(last.low, price);
		last.close = price;
	} else if (bars.push({ time, open: price, high: price, low: price, close: price }) > most * 1.1) {
		bars.splice(0, bars.length - most);
	}
}

/** Bars as one of `time`. */
function merged(time, bars) {
	const volumes = bars.map(({ volume }) => volume).filter((volume) => volume != null);
	return {
		time,
		open: bars[0].open,
		high: Math.max(...bars.map(({ high }) => high)),
		low: Math.min(...bars.map(({ low }) => low)),
		close: bars.at(-1).close,
		...(volumes.length && { volume: volumes.reduce((sum, volume) => sum + volume) }),
	};
}

/** The charted symbol in detail: bars of open, high, low, close and, where known, volume. */
class Trail {
	#bars = new Map([...KEPT.keys()].map((step) => [step, []]));

	constructor(symbol) {
		this.symbol = symbol;
	}

	add(timeMs, price) {
		for (const [step, bars] of this.#bars) extend(bars, step, timeMs, price, KEPT.get(step));
	}

	/** Take in a history of bars of so many seconds; what came since stays. */
	seed(step, rows) {
		const live = this.#bars.get(step);
		if (!live || !rows.length) return;
		const bars = rows.map(([ms, open, high, low, close, volume]) => ({ time: ms / 1000, open, high, low, close, volume }));
		const last = bars.at(-1);
		const same = live.find(({ time }) => time === last.time);
		if (same) bars[bars.length - 1] = { ...merged(last.time, [last, same]), volume: last.volume };
		this.#bars.set(step, [...bars, ...live.filter(({ time }) => time > last.time)]);
	}

	/** The bars that make up candles of so many seconds: those that reach back furthest. */
	#base(step) {
		const fits = [...this.#bars].filter(([size, bars]) => size <= step && bars.length);
		return fits.reduce((best, each) => (each[1][0].time - each[0] < best[1][0].time - best[0] ? each : best), fits[0])?.[1] ?? [];
	}

	/** How many seconds are known of. */
	seconds() {
		const known = [...this.#bars.values()].filter((bars) => bars.length);
		return Math.max(0, ...known.map((bars) => bars.at(-1).time - bars[0].time));
	}

	/** Candles of so many seconds, oldest first. */
	candles(step) {
		const groups = new Map();
		for (const bar of this.#base(step)) {
			const time = Math.floor(bar.time / step) * step;
			if (groups.has(time)) groups.get(time).push(bar);
			else groups.set(time, [bar]);
		}
		return [...groups].map(([time, bars]) => merged(time, bars));
	}

	/** The newest of them. */
	newest(step) {
		const base = this.#base(step);
		if (!base.length) return null;
		const time = Math.floor(base.at(-1).time / step) * step;
		let from = base.length - 1;
		while (from > 0 && base[from - 1].time >= time) from -= 1;
		return merged(time, base.slice(from));
	}
}

export class Market {
	series = new Map();
	trail = null;
	updates = 0;
	delayMs = 0; // from the server's clock at sending to ours at receipt
	timeMs = 0; // the server's clock at the newest tick
	heardAt = Date.now();
	intervalMs = 0; // between two ticks

	/** Take a tick in. Returns whether it brought new symbols. */
	tick({ data, time }) {
		const before = this.series.size;
		for (const { symbol, price, text = String(price), timestamp, source } of data) {
			let series = this.series.get(symbol);
			if (!series) this.series.set(symbol, (series = new Series(symbol, price)));
			series.price = price;
			series.digits = text;
			series.timestamp = timestamp;
			series.source = source;
			series.ring.add(time, price);
			if (this.trail?.symbol === symbol) this.trail.add(time, price);
		}
		this.updates += 1;
		this.timeMs = time;
		this.heardAt = Date.now();
		this.delayMs = this.heardAt - time;
		return this.series.size > before;
	}

	/** The server's clock now, as far as its newest tick tells. */
	serverNow() {
		return this.timeMs + Date.now() - this.heardAt;
	}

	/** Take in a history of bars of so many seconds: `[time, open, high, low, close, volume]`. */
	seed(symbol, step, bars) {
		if (this.trail?.symbol === symbol) this.trail.seed(step, bars);
		if (step !== 1) return;
		const series = this.series.get(symbol);
		const recent = bars.slice(-SHORT_SECONDS);
		if (!series) return;
		for (const [time, ...prices] of recent) {
			series.ring.add(time, prices[3]);
			for (const price of prices.slice(0, 4)) series.learnDecimals(price);
		}
	}

	/** Learn which prices are old: `statusOf(symbol)` is why, or null. Returns whether all are. */
	judge(statusOf) {
		let fresh = 0;
		for (const series of this.series.values()) {
			series.stale = statusOf(series.symbol);
			if (!series.stale) fresh += 1;
		}
		return !fresh && this.series.size > 0;
	}

	/** Keep this symbol in detail from now on; `seed` brings its past. */
	follow(symbol) {
		this.trail = new Trail(symbol);
		this.trail.add(this.timeMs, this.series.get(symbol).price);
	}
}
