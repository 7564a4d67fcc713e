import { decimalsOf, price as format } from "./format.js";

/** The last price in each of the newest steps of time. */
class Ring {
	last = -1; // step

	constructor(stepMs, size) {
		this.stepMs = stepMs;
		this.size = size;
		this.steps = new Float64Array(size).fill(-1);
		this.closes = new Float64Array(size);
	}

	add(timeMs, price) {
		const step = Math.floor(timeMs / this.stepMs);
		const at = step % this.size;
		if (step < this.steps[at] || (step === this.steps[at] && step < this.last)) return;
		[this.steps[at], this.closes[at]] = [step, price];
		this.last = Math.max(this.last, step);
	}

	closeAt(step) {
		for (let at = Math.min(step, this.last); at > this.last - this.size; at--) {
			if (this.steps[at % this.size] === at) return this.closes[at % this.size];
		}
		return NaN;
	}

	points(sinceMs = 0) {
		const oldest = Math.max(sinceMs, (this.last - this.size + 1) * this.stepMs);
		const points = Array.from(this.steps, (step, at) => [step * this.stepMs, this.closes[at]]);
		return points.filter(([time]) => time >= oldest).sort(([one], [two]) => one - two);
	}
}

/** One symbol: its newest quote, its last five minutes by the second and hour by the minute. */
class Series {
	quote = { price: NaN, text: "NaN" }; // `text` has every digit
	seq = -1;
	decimals = 0;
	seconds = new Ring(1000, 301);
	minutes = new Ring(60_000, 62);

	constructor(symbol) {
		this.symbol = symbol;
	}

	get price() {
		return this.quote.price;
	}

	/** Why its price is old; undefined where no stream brings it. */
	get stale() {
		return market.statusOf(this.symbol);
	}

	get live() {
		return this.stale === null;
	}

	get day() {
		return this.price / this.quote.open_24h - 1;
	}

	get spread() {
		return this.quote.ask - this.quote.bid;
	}

	change(seconds) {
		const then = Math.floor(market.serverNow() / 1000) - seconds;
		return this.price / this.#at(then) - 1;
	}

	#at(second) {
		const exact = this.seconds.closeAt(second);
		if (!Number.isNaN(exact)) return exact;
		const minute = Math.floor(second / 60);
		const [before, after] = [minute - 1, minute].map((at) => this.minutes.closeAt(at));
		return before + (after - before) * ((second % 60) / 60);
	}

	extremes(minutes) {
		const since = market.serverNow() - minutes * 60_000;
		const closes = [this.seconds, this.minutes].flatMap((ring) => ring.points(since).map(([, close]) => close));
		return [Math.min(...closes), Math.max(...closes)];
	}

	points() {
		const [minutes, seconds] = [this.minutes, this.seconds].map((ring) => ring.points());
		return minutes.length >= 10 ? minutes : [...minutes.filter(([time]) => time + 60_000 <= seconds[0][0]), ...seconds];
	}

	write(price) {
		return format(price, this.decimals);
	}

	text() {
		this.decimals = Math.max(this.decimals, decimalsOf(this.quote.text));
		return this.write(this.quote.text);
	}
}

export const market = {
	series: new Map(),
	known: [],
	followed: null, // the charted symbol, and what takes its prices in
	taken() {},
	heardAt: Date.now(),
	intervalMs: 0,
	delayMs: 0, // from the server's clock to ours
	statusOf() {},
	async history() {},

	/** Take a tick in, of any of the streams. Returns whether it brought new symbols. */
	tick({ data, seq, time }) {
		let fresh = false;
		for (const quote of data) {
			const series = market.of(quote.symbol);
			if (seq < series.seq) continue; // another stream was ahead
			fresh ||= series.seq < 0;
			Object.assign(series, { seq, quote });
			for (const ring of [series.seconds, series.minutes]) ring.add(time, quote.price);
			if (market.followed === quote.symbol) market.taken(time, quote.price);
		}
		market.delayMs = Date.now() - time;
		return fresh;
	},

	of(symbol) {
		if (!market.series.has(symbol)) market.series.set(symbol, new Series(symbol));
		return market.series.get(symbol);
	},

	get charted() {
		return market.series.get(market.followed);
	},

	get symbols() {
		return [...new Set([...market.known, ...market.series.keys()])];
	},

	serverNow: () => Date.now() - market.delayMs,

	/** Take in the server's bars by the minute: `[time, open, high, low, close, volume]`. */
	seed(symbol, bars) {
		const series = market.of(symbol);
		for (const [time, ...prices] of bars) {
			series.minutes.add(time, prices[3]);
			series.decimals = Math.max(series.decimals, ...prices.slice(0, 4).map(decimalsOf));
		}
	},

	restart(symbols) {
		market.known = symbols;
		for (const series of market.series.values()) series.seq = -1;
	},

	clear() {
		market.series.clear();
		market.followed = null;
	},
};
