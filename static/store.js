/** What the page knows of the market: values only, no DOM, no socket, in memory of fixed size. */

import { decimalsOf, price as format } from "./format.js";

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
		for (let at = Math.min(step, this.last); at >= end; at--) {
			const close = this.close[at % this.size];
			if (!Number.isNaN(close)) return close;
		}
		return NaN;
	}

	/** The lowest and the highest since a time; infinite where nothing is known. */
	extremes(sinceMs) {
		let [low, high] = [Infinity, -Infinity];
		for (let step = Math.max(Math.ceil(sinceMs / this.stepMs), this.last - this.size + 1); step <= this.last; step++) {
			const close = this.close[step % this.size];
			if (close < low) low = close;
			if (close > high) high = close;
		}
		return [low, high];
	}

	/** `[step, close]` of every so many steps up to `last`, oldest first, where known. */
	points(last, every) {
		const points = [];
		for (let step = last - this.size + 1; step <= last; step++) {
			const close = step % every ? NaN : this.closeAt(step, every);
			if (!Number.isNaN(close)) points.push([step, close]);
		}
		return points;
	}
}

/** One symbol: its newest quote, its last five minutes by the second and hour by the minute. */
class Series {
	quote = { price: NaN, text: "NaN" }; // the price as a number, and with every digit it came with
	seq = -1; // of the tick that brought it
	decimals = 0;
	seconds = new Ring(1000, 301);
	minutes = new Ring(60_000, 62);

	constructor(symbol, market) {
		this.symbol = symbol;
		this.market = market;
	}

	get price() {
		return this.quote.price;
	}

	/** The status message that says why its price is old, or null. */
	get stale() {
		return this.market.statusOf(this.symbol);
	}

	/** The change over 24 hours, or since `quote.since`, as a ratio: the same for every viewer. */
	get day() {
		return this.price / this.quote.open_24h - 1;
	}

	get spread() {
		return this.quote.ask - this.quote.bid;
	}

	/** The change over so many seconds, as a ratio. */
	change(seconds) {
		const then = Math.floor(this.market.serverNow() / 1000) - seconds;
		return this.price / this.#at(then) - 1;
	}

	/** The price at a second: as it was then, or, before this page knew it, between two minutes. */
	#at(second) {
		const exact = this.seconds.closeAt(second);
		if (!Number.isNaN(exact)) return exact;
		const minute = Math.floor(second / 60);
		const [before, after] = [minute - 1, minute].map((at) => this.minutes.closeAt(at));
		return before + (after - before) * ((second % 60) / 60);
	}

	/** The lowest and the highest price within so many minutes. */
	extremes(minutes) {
		const since = this.market.serverNow() - minutes * 60_000;
		const [[low, high], [lowest, highest]] = [this.seconds, this.minutes].map((ring) => ring.extremes(since));
		return [Math.min(low, lowest), Math.max(high, highest)];
	}

	/** What a sparkline shows: the last hour, or the last minutes of a young market. */
	points() {
		const minutes = this.minutes.points(this.minutes.last, 1);
		return minutes.length >= 10 ? minutes : this.seconds.points(this.seconds.last, 3);
	}

	learnDecimals(price) {
		this.decimals = Math.max(this.decimals, decimalsOf(price));
	}

	/** A price of this symbol, with as many decimals as it was ever seen with. */
	write(price) {
		return format(price, this.decimals);
	}

	text() {
		this.learnDecimals(this.quote.text);
		return this.write(this.quote.text);
	}
}

export class Market {
	series = new Map();
	followed = null; // the charted symbol, and what takes its prices in
	taken = () => {};
	statusOf = () => null; // why a symbol's price is old
	heardAt = Date.now(); // when the board's stream spoke last, and how often it does
	intervalMs = 0;
	delayMs = 0; // from the server's clock at sending to ours at receipt

	/** Take a tick in, of any of the streams. Returns whether it brought new symbols. */
	tick({ data, seq, time }) {
		let fresh = false;
		for (const quote of data) {
			const series = this.of(quote.symbol);
			if (seq < series.seq) continue; // another stream was ahead
			fresh ||= series.seq < 0;
			series.seq = seq;
			series.quote = quote;
			series.seconds.add(time, quote.price);
			series.minutes.add(time, quote.price);
			if (this.followed === quote.symbol) this.taken(time, quote.price);
		}
		this.delayMs = Date.now() - time;
		return fresh;
	}

	of(symbol) {
		if (!this.series.has(symbol)) this.series.set(symbol, new Series(symbol, this));
		return this.series.get(symbol);
	}

	/** The server may have begun anew, and its `seq` with it. */
	restart() {
		for (const series of this.series.values()) series.seq = -1;
	}

	/** The server's clock now, as far as its newest tick tells. */
	serverNow() {
		return Date.now() - this.delayMs;
	}

	/** Take in the server's bars by the minute: `[time, open, high, low, close, volume]`. */
	seed(symbol, bars) {
		const series = this.of(symbol);
		for (const [time, ...prices] of bars) {
			series.minutes.add(time, prices[3]);
			for (const price of prices.slice(0, 4)) series.learnDecimals(price);
		}
	}

	get charted() {
		return this.series.get(this.followed);
	}

	/** Tell of each price of this symbol from now on. */
	follow(symbol, take) {
		this.followed = symbol;
		this.taken = take;
		return this.of(symbol);
	}

	clear() {
		this.series.clear();
		this.followed = null;
	}
}
