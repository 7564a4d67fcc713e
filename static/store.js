/**
 * What the page knows of the market: values only, no DOM, no socket.
 *
 * Memory is taken once per symbol, in rings, so that an open day costs what a minute does.
 */

import { decimalsOf, price as format } from "./format.js";

const SHORT_SECONDS = 301; // per symbol: for changes and the sparkline
const LONG_SECONDS = 3601; // of the charted symbol: an hour
const FINE_MS = 100;
const FINE_SLOTS = 601; // of the charted symbol: a minute

/** Low, high and close of the newest `size` steps of time; NaN where unknown. */
class Ring {
	constructor(stepMs, size) {
		this.stepMs = stepMs;
		this.size = size;
		this.last = -1; // the newest step, counted from the epoch
		[this.low, this.high, this.close] = [0, 0, 0].map(() => new Float64Array(size).fill(NaN));
	}

	/** Take in a price, or a whole step. */
	add(timeMs, close, low = close, high = close) {
		const step = Math.floor(timeMs / this.stepMs);
		if (step <= this.last - this.size) return;
		for (let gap = Math.max(this.last + 1, step - this.size + 1); gap <= step; gap++) {
			const at = gap % this.size;
			this.low[at] = this.high[at] = this.close[at] = NaN;
		}
		const at = step % this.size;
		if (!(this.low[at] <= low)) this.low[at] = low;
		if (!(this.high[at] >= high)) this.high[at] = high;
		if (step >= this.last || Number.isNaN(this.close[at])) this.close[at] = close;
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

	/** What is known from `fromMs` to `toMs`, `merge` steps to a point. */
	points(fromMs, toMs, merge = 1) {
		const points = [];
		const first = Math.max(0, Math.floor(fromMs / this.stepMs), this.last - this.size + 1);
		const end = Math.min(this.last + 1, Math.ceil(toMs / this.stepMs));
		let point = null;
		for (let step = first; step < end; step++) {
			const at = step % this.size;
			if (step % merge === 0) point = null;
			if (Number.isNaN(this.close[at])) continue;
			if (!point) points.push((point = { low: Infinity, high: -Infinity }));
			point.time = Math.min((step + 1) * this.stepMs, toMs);
			point.low = Math.min(point.low, this.low[at]);
			point.high = Math.max(point.high, this.high[at]);
			point.close = this.close[at];
		}
		return points;
	}

	seed(bars) {
		for (const [time, , high, low, close] of bars) this.add(time, close, low, high);
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

/** The charted symbol in detail. */
class Trail {
	coarse = new Ring(1000, LONG_SECONDS);
	fine = new Ring(FINE_MS, FINE_SLOTS);
	fineFrom = Infinity;
	endMs = 0;

	constructor(symbol) {
		this.symbol = symbol;
	}

	add(timeMs, price) {
		this.coarse.add(timeMs, price);
		this.fine.add(timeMs, price);
		this.fineFrom = Math.min(this.fineFrom, timeMs);
		this.endMs = timeMs;
	}

	/** About `most` points over the last so many seconds, oldest first. */
	points(seconds, most) {
		const from = this.endMs - seconds * 1000;
		if (seconds * 1000 > FINE_MS * FINE_SLOTS) {
			return this.coarse.points(from, this.endMs, Math.ceil(seconds / most));
		}
		const fine = Math.min(this.endMs, Math.max(from, this.fineFrom));
		return [...this.coarse.points(from, fine), ...this.fine.points(fine, this.endMs)];
	}
}

export class Market {
	series = new Map();
	trail = null;
	updates = 0;
	skipped = 0; // ticks that a slow link made us miss
	delayMs = 0; // from the server's clock at sending to ours at receipt
	timeMs = 0; // the server's clock at the newest tick
	heardAt = Date.now();
	intervalMs = 0; // between two ticks
	#seq = null;
	#counting = true;

	/** Take a tick in. Returns whether it brought new symbols. */
	tick({ data, seq, time }) {
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
		if (this.#counting && this.#seq !== null) this.skipped += Math.max(0, seq - this.#seq - 1);
		this.#seq = seq;
		this.updates += 1;
		this.timeMs = time;
		this.heardAt = Date.now();
		this.delayMs = this.heardAt - time;
		return this.series.size > before;
	}

	/** A new subscription: whether gaps in its `seq` are skipped ticks, or left out on purpose. */
	countGaps(counting) {
		this.#counting = counting;
		this.#seq = null;
	}

	/** The server's clock now, as far as its newest tick tells. */
	serverNow() {
		return this.timeMs + Date.now() - this.heardAt;
	}

	/** Take in a history: `[time, open, high, low, close]` by the second. */
	seed(symbol, bars) {
		const series = this.series.get(symbol);
		const recent = bars.slice(-SHORT_SECONDS);
		series?.ring.seed(recent);
		for (const [, ...prices] of recent) for (const price of prices) series?.learnDecimals(price);
		if (this.trail?.symbol === symbol) this.trail.coarse.seed(bars);
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
