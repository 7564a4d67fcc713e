/** How values are written, in the reader's own locale. */

const NONE = "–";
const prices = new Map(); // formats by number of decimals

/** How many decimals a number has, or the text of one. */
export function decimalsOf(value) {
	const [mantissa, exponent = 0] = String(value).toLowerCase().split("e");
	const [, fraction = ""] = mantissa.split(".");
	return Math.max(0, fraction.length - exponent);
}

/** A price, a number or its text (which keeps every digit), with so many decimals. */
export function price(value, decimals) {
	if (!Number.isFinite(Number(value))) return NONE;
	if (!prices.has(decimals)) {
		const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
		prices.set(decimals, new Intl.NumberFormat(undefined, options));
	}
	return prices.get(decimals).format(value);
}

const POINT = new Intl.NumberFormat().formatToParts(0.1).find(({ type }) => type === "decimal").value;
const SHORTEN_ABOVE = 12; // characters
const ZEROS_LEAST = 4;

/** A written price with its zeros counted where they are many: 0.000000001623 is 0.0₈1623. */
export function shorten(text) {
	if (text.length <= SHORTEN_ABOVE || !text.startsWith(`0${POINT}`)) return text;
	const zeros = /^0*/.exec(text.slice(2))[0].length;
	const rest = text.slice(2 + zeros);
	if (zeros < ZEROS_LEAST || !rest) return text;
	const count = [...String(zeros)].map((digit) => String.fromCharCode(0x2080 + Number(digit)));
	return `0${POINT}0${count.join("")}${rest}`;
}

const percent = new Intl.NumberFormat(undefined, {
	style: "percent",
	minimumFractionDigits: 2,
	signDisplay: "exceptZero",
});

/** A ratio as a signed percentage, as in +0.12%. */
export const change = (ratio) => (Number.isFinite(ratio) ? percent.format(ratio) : NONE);

const UNITS = [["h", 3600, 2], ["min", 60, 2], ["s", 1, 0]];

/** A length of time, in the largest unit that it fills at least twice. */
export function duration(seconds) {
	const whole = Math.max(0, Math.round(seconds));
	const [unit, size] = UNITS.find(([, size, times]) => whole >= size * times);
	return `${Math.floor(whole / size)} ${unit}`;
}

export const age = (seconds) => (Number.isNaN(seconds) ? NONE : seconds < 2 ? "now" : duration(seconds));

const clocks = {
	seconds: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
	minutes: new Intl.DateTimeFormat(undefined, { timeStyle: "short" }),
	days: new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" }),
};

/** The reader's wall clock at `ms` since the epoch. */
export const clock = (ms, precision = "seconds") => clocks[precision].format(ms);

/** Since when a change is known, where that is not a whole day. */
export const since = (ms) => (ms ? `since ${clock(ms, "minutes")}` : "");

const whole = new Intl.NumberFormat();
export const count = (value) => whole.format(value);

const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 4 });
export const amount = (value) => (value == null ? NONE : short.format(value));
