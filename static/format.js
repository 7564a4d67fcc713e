/** How values are written, in the reader's own locale. */

const NONE = "–";
const prices = new Map(); // formats by number of decimals

/** How many decimals a number has; JSON numbers lose their trailing zeros in parsing. */
export function decimalsOf(value) {
	const [mantissa, exponent = 0] = String(value).split("e");
	const [, fraction = ""] = mantissa.split(".");
	return Math.max(0, fraction.length - exponent);
}

export function price(value, decimals) {
	if (!Number.isFinite(value)) return NONE;
	if (!prices.has(decimals)) {
		const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
		prices.set(decimals, new Intl.NumberFormat(undefined, options));
	}
	return prices.get(decimals).format(value);
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

export const age = (seconds) => (seconds < 2 ? "now" : duration(seconds));

const clocks = {
	seconds: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
	minutes: new Intl.DateTimeFormat(undefined, { timeStyle: "short" }),
};

/** The reader's wall clock at `ms` since the epoch. */
export const clock = (ms, precision = "seconds") => clocks[precision].format(ms);

const whole = new Intl.NumberFormat();
export const count = (value) => whole.format(value);
