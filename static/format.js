/** How values are written: in the reader's own locale, always with tabular figures in mind. */

const NONE = "–";
const formats = new Map();

/** How many decimals a JSON number was written with; trailing zeros are lost in parsing. */
export function decimalsOf(value) {
  const [mantissa, exponent = "0"] = String(value).split("e");
  const dot = mantissa.indexOf(".");
  return Math.max(0, (dot < 0 ? 0 : mantissa.length - dot - 1) - Number(exponent));
}

export function price(value, decimals) {
  if (!Number.isFinite(value)) return NONE;
  let format = formats.get(decimals);
  if (!format) {
    const digits = Math.min(20, decimals);
    format = new Intl.NumberFormat(undefined, {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
    formats.set(decimals, format);
  }
  return format.format(value);
}

const percent = new Intl.NumberFormat(undefined, {
  style: "percent",
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: "exceptZero",
});

/** A ratio as a signed percentage, as in +0.12%. */
export const change = (ratio) => (Number.isFinite(ratio) ? percent.format(ratio) : NONE);

const unit = (name) =>
  new Intl.NumberFormat(undefined, { style: "unit", unit: name, unitDisplay: "narrow" });
const units = { second: unit("second"), minute: unit("minute"), hour: unit("hour"), day: unit("day") };

/** A length of time in seconds, in its largest whole unit. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return units.second.format(s);
  if (s < 7200) return units.minute.format(Math.floor(s / 60));
  if (s < 172_800) return units.hour.format(Math.floor(s / 3600));
  return units.day.format(Math.floor(s / 86_400));
}

export const age = (seconds) => (seconds < 1.5 ? "now" : duration(seconds));

const clocks = {
  seconds: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
  minutes: new Intl.DateTimeFormat(undefined, { timeStyle: "short" }),
};

/** The reader's wall clock at `ms` since the epoch. */
export const clock = (ms, precision = "seconds") => clocks[precision].format(ms);

const whole = new Intl.NumberFormat();
export const count = (value) => whole.format(value);
