/**
 * What the page knows of the market. Values only: no DOM, no socket, no clock but the server's.
 *
 * All memory is taken once per symbol: rings of fixed size, so an open day costs what an
 * open minute does.
 */

import { decimalsOf } from "./format.js";

const SHORT_SECONDS = 301; // per symbol: five minutes, for changes and the sparkline
const LONG_SECONDS = 3_601; // of the charted symbol: an hour
const FINE_STEP_MS = 100;
const FINE_SLOTS = 601; // of the charted symbol: a minute

/** Low, high and close per time step, over the last `size` steps; a step without data is NaN. */
export class Ring {
  constructor(stepMs, size) {
    this.stepMs = stepMs;
    this.size = size;
    this.last = -1; // the newest step, counted from the epoch
    this.low = new Float64Array(size).fill(NaN);
    this.high = new Float64Array(size).fill(NaN);
    this.close = new Float64Array(size).fill(NaN);
  }

  add(timeMs, price) {
    this.put(timeMs, price, price, price);
  }

  put(timeMs, low, high, close) {
    const step = Math.floor(timeMs / this.stepMs);
    if (step <= this.last - this.size) return;
    for (let gap = Math.max(this.last + 1, step - this.size + 1); gap <= step; gap++) {
      this.low[gap % this.size] = this.high[gap % this.size] = this.close[gap % this.size] = NaN;
    }
    const at = step % this.size;
    if (!(this.low[at] <= low)) this.low[at] = low;
    if (!(this.high[at] >= high)) this.high[at] = high;
    if (step >= this.last) {
      this.close[at] = close;
      this.last = step;
    } else if (Number.isNaN(this.close[at])) {
      this.close[at] = close;
    }
  }

  /** The newest close at or before `step`, looking back `most` steps. */
  closeAt(step, most = this.size) {
    for (let back = 0; back <= most; back++) {
      const at = step - back;
      if (at < 0 || at <= this.last - this.size) break;
      const close = this.close[at % this.size];
      if (at <= this.last && !Number.isNaN(close)) return close;
    }
    return NaN;
  }

  seed(bars) {
    for (const [time, , high, low, close] of bars) this.put(time, low, high, close);
  }

  copy() {
    const twin = new Ring(this.stepMs, this.size);
    twin.last = this.last;
    for (const name of ["low", "high", "close"]) twin[name].set(this[name]);
    return twin;
  }
}

/** One symbol: its newest price and its last five minutes. */
class Series {
  price = NaN;
  opened = NaN;
  timestamp = 0;
  source = "";
  decimals = 0;
  seeded = false;
  ring = new Ring(1_000, SHORT_SECONDS);

  constructor(symbol) {
    this.symbol = symbol;
  }

  /** Its change since the page opened, or over the last `seconds`, as a ratio. */
  changeSince(seconds = null) {
    const then = seconds === null ? this.opened : this.ring.closeAt(this.ring.last - seconds);
    return this.price / then - 1;
  }

  /** -1, 0 or 1: which way the price went within the last second or so. */
  direction() {
    return Math.sign(this.price - this.ring.closeAt(this.ring.last - 1)) || 0;
  }

  learnDecimals(price = this.price) {
    if (Number.isFinite(price)) this.decimals = Math.max(this.decimals, decimalsOf(price));
  }
}

/** The charted symbol in detail: an hour by the second and a minute by the tenth. */
export class Trail {
  coarse = new Ring(1_000, LONG_SECONDS);
  fine = new Ring(FINE_STEP_MS, FINE_SLOTS);
  endMs = 0;

  constructor(symbol) {
    this.symbol = symbol;
  }

  add(timeMs, price) {
    this.coarse.add(timeMs, price);
    this.fine.add(timeMs, price);
    this.endMs = Math.max(this.endMs, timeMs);
  }

  seed(bars) {
    this.coarse.seed(bars);
    if (bars.length) this.endMs = Math.max(this.endMs, bars.at(-1)[0]);
  }

  copy() {
    return Object.assign(new Trail(this.symbol), {
      coarse: this.coarse.copy(),
      fine: this.fine.copy(),
      endMs: this.endMs,
    });
  }
}

export class Market {
  series = new Map();
  trail = null;
  updates = 0; // ticks received
  skipped = 0; // ticks of the market that a slow link made us miss
  delayMs = NaN; // between the server's clock at sending and ours at receipt
  timeMs = 0; // the server's clock at the newest tick
  heardAt = 0; // ours, at that tick
  #seq = null;
  #counting = true;

  /** Take a tick in. Returns whether symbols appeared that were not there before. */
  tick({ data, seq, time }, nowMs = Date.now()) {
    const before = this.series.size;
    for (const { symbol, price, timestamp, source } of data) {
      let series = this.series.get(symbol);
      if (!series) this.series.set(symbol, (series = new Series(symbol)));
      if (Number.isNaN(series.opened)) series.opened = price;
      series.price = price;
      series.timestamp = timestamp;
      if (source) series.source = source;
      series.ring.add(time, price);
      if (this.trail?.symbol === symbol) this.trail.add(time, price);
    }
    if (this.#counting && this.#seq !== null) this.skipped += Math.max(0, seq - this.#seq - 1);
    this.#seq = seq;
    this.updates += 1;
    this.timeMs = time;
    this.heardAt = nowMs;
    this.delayMs = nowMs - time;
    return this.series.size > before;
  }

  /** A new subscription: whether gaps in its `seq` are skipped ticks, or left out on purpose. */
  countGaps(counting) {
    this.#counting = counting;
    this.#seq = null;
  }

  /** The server's clock now, as far as its newest tick lets us tell. */
  serverNow(nowMs = Date.now()) {
    return this.timeMs + (nowMs - this.heardAt);
  }

  seed(symbol, bars) {
    const series = this.series.get(symbol);
    if (series) {
      series.ring.seed(bars.slice(-SHORT_SECONDS));
      for (const bar of bars.slice(-SHORT_SECONDS)) series.learnDecimals(bar[4]);
      series.seeded = true;
    }
    if (this.trail?.symbol === symbol) this.trail.seed(bars);
  }

  follow(symbol) {
    this.trail = new Trail(symbol);
    const series = this.series.get(symbol);
    if (series) {
      const { ring } = series;
      for (let step = Math.max(0, ring.last - SHORT_SECONDS + 1); step <= ring.last; step++) {
        const at = step % ring.size;
        if (!Number.isNaN(ring.close[at])) {
          this.trail.coarse.put(step * 1_000, ring.low[at], ring.high[at], ring.close[at]);
        }
      }
      this.trail.endMs = this.timeMs;
    }
  }
}
