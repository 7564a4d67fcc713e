const NONE = "–";
const number = (options) => new Intl.NumberFormat(undefined, options).format;
const time = (options) => new Intl.DateTimeFormat(undefined, options).format;
const prices = new Map();

/** The decimals of a number, or of its text, as far as they are written. */
export function decimalsOf(value) {
	const [, fraction = "", exponent = 0] = /^[^.e]*\.?(\d*)e?(.*)$/i.exec(value);
	return Math.min(100, Math.max(0, fraction.length - exponent));
}

/** A number, or its text, which keeps every digit. */
export function price(value, decimals) {
	if (!Number.isFinite(Number(value))) return NONE;
	const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
	if (!prices.has(decimals)) prices.set(decimals, number(digits));
	return prices.get(decimals)(value);
}

const SHORTEN_ABOVE = 12; // characters
const subscript = (count) => String(count).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);

/** Count zeros where they are many: 0.000000001623 is 0.0₈1623. */
export const shorten = (text) =>
	text.length <= SHORTEN_ABOVE ? text : text.replace(/^(0\D)(0{4,})(?=[1-9])/, (_, point, zeros) => `${point}0${subscript(zeros.length)}`);

const percent = number({ style: "percent", minimumFractionDigits: 2, signDisplay: "exceptZero" });

export const change = (ratio) => (Number.isFinite(ratio) ? percent(ratio) : NONE);

const UNITS = [["h", 3600, 2], ["min", 60, 2], ["s", 1, 0]];

export function duration(seconds) {
	const whole = Math.max(0, Math.round(seconds));
	const [unit, size] = UNITS.find(([, size, times]) => whole >= size * times);
	return `${Math.floor(whole / size)} ${unit}`;
}

export const age = (seconds) => (Number.isNaN(seconds) ? NONE : seconds < 2 ? "now" : duration(seconds));

const clocks = {
	seconds: time({ timeStyle: "medium" }),
	minutes: time({ timeStyle: "short" }),
	hours: time({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }),
	days: time({ day: "numeric", month: "short", timeZone: "UTC" }),
};

export const clock = (ms, precision = "seconds") => clocks[precision](ms);

export const since = (ms) => (ms ? `since ${clock(ms, "minutes")}` : "");

export const count = number();

const short = number({ notation: "compact", maximumSignificantDigits: 4 });
export const amount = (value) => (value == null ? NONE : short(value));
