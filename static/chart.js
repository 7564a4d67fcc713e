import { $, make, obey, write } from "./dom.js";
import * as format from "./format.js";
import { prefs } from "./prefs.js";
import { market } from "./store.js";
import * as charts from "./vendor/lightweight-charts.js";

const DAY = 86_400;

/** The seconds shown: their name, and the seconds of a candle at most. */
export const RANGES = new Map([
	[60, ["1 m", 1]],
	[300, ["5 m", 5]],
	[3600, ["1 h", 60]],
	[DAY, ["1 d", 300]],
	[604_800, ["1 w", 3600]],
	[31_536_000, ["1 y", DAY]],
]);

const STEPS = [[3600, "1h"], [60, "1m"], [1, "1s"]];
const LINE_GAP_SECONDS = 30; // what is longer is drawn as a gap
const GAP_MOST = 500;
const CANDLES_LEAST = 40; // a younger market gets finer ones
const RANGES_MOST = 6;
const BARS_LEAST = 600;
const DECIMALS_MOST = 15; // what the library's arithmetic bears
const MOVES_LEAST = 4; // of the last decimal, from bottom to top
const ZOOM = 1.25;

const box = $("chart");
const style = {};
let range = 300;
let step = 1;
let frozen = false;
let following = true;
let candles = [];
let shown = 0;
let asking;
let cross = null; // the time under the crosshair
let behind = 0; // UTC, in seconds
let series;
let volumes;
let lines = []; // across the chart, as `{price, title}`
let drawn = [];

const decimals = () => market.charted?.decimals ?? 2;
const price = (value) => format.shorten(format.price(value, decimals()));
const precision = () => (step < 60 ? "seconds" : "minutes");
const clock = (time, how = step < 300 ? precision() : step < DAY ? "hours" : "days") => format.clock((time + behind) * 1000, how);
const chart = charts.createChart(box, {
	autoSize: true,
	layout: { attributionLogo: false, background: { color: "transparent" }, fontSize: 12 },
	rightPriceScale: { borderVisible: false },
	timeScale: {
		borderVisible: false,
		shiftVisibleRangeOnNewBar: false,
		timeVisible: true,
		tickMarkMaxCharacterLength: 11,
		tickMarkFormatter: (time, kind) =>
			kind < charts.TickMarkType.Time ? format.clock(time * 1000, "days") : clock(time, precision()),
	},
	localization: { timeFormatter: clock, priceFormatter: price },
	crosshair: { mode: charts.CrosshairMode.Normal },
	handleScroll: { vertTouchDrag: false }, // which scrolls the page
});
const scale = chart.timeScale();

/** The library takes days as UTC's: it is given the reader's time as such, but for candles of a day. */
function extend(bar) {
	const time = bar.time - (bar.time % step) - behind;
	const last = candles.at(-1);
	if (last && time < last.time) return;
	if (last?.time !== time) return candles.push({ ...bar, time });
	last.high = Math.max(last.high, bar.high);
	last.low = Math.min(last.low, bar.low);
	last.close = bar.close;
	if (bar.volume != null) last.volume = (last.volume ?? 0) + bar.volume;
}

export function add(ms, close) {
	if (frozen) return;
	extend({ time: Math.floor(ms / 1000), open: close, high: close, low: close, close });
	const most = Math.max(2 * BARS_LEAST, (RANGES_MOST * range) / step);
	if (candles.length > most) [candles, shown] = [candles.slice(-most * 0.75), 0];
}

/** The history anew, finer where the market is young. */
export async function load() {
	const mine = (asking = {});
	const [, most] = RANGES.get(range);
	for (const [size, name] of STEPS.filter(([size]) => size <= most)) {
		const bars = await market.history(name, Math.max(BARS_LEAST, (3 * range) / size));
		if (asking !== mine || !bars || frozen) return;
		const known = bars.length && (bars.at(-1)[0] - bars[0][0]) / 1000 / CANDLES_LEAST;
		const sizes = [...RANGES.values()].map(([, each]) => each).filter((each) => each >= size && each <= most && each <= known);
		if (!sizes.length && size > 1) continue;
		const [grown, before] = [candles, behind];
		[candles, step] = [[], Math.max(1, ...sizes)];
		behind = step < DAY ? new Date().getTimezoneOffset() * 60 : 0;
		for (const [ms, open, high, low, close, volume] of bars) extend({ time: ms / 1000, open, high, low, close, volume });
		for (const candle of grown) extend({ ...candle, time: candle.time + before, volume: null });
		return redraw();
	}
}

function paint() {
	const css = getComputedStyle(box);
	for (const name of ["muted", "line", "accent", "up", "down"]) style[name] = css.getPropertyValue(`--${name}`).trim();
	const grid = { color: style.line };
	chart.applyOptions({ layout: { textColor: style.muted, fontFamily: css.fontFamily }, grid: { vertLines: grid, horzLines: grid } });
	build();
}

export function build() {
	for (const each of [series, volumes]) if (each) chart.removeSeries(each);
	const { up, down, accent, line: color } = style;
	const candlesticks = { upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false };
	series =
		prefs.chart === "line"
			? chart.addSeries(charts.LineSeries, { color: accent, lineWidth: 2 })
			: chart.addSeries(charts.CandlestickSeries, candlesticks);
	volumes = chart.addSeries(charts.HistogramSeries, { priceScaleId: "volume", lastValueVisible: false, priceLineVisible: false, color });
	volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
	drawn = [];
	drawLines();
	redraw();
}

function drawLines() {
	for (const line of drawn) series.removePriceLine(line);
	drawn = lines.map((line) => series.createPriceLine({ ...line, color: style.accent, lineStyle: charts.LineStyle.Dashed }));
}

function drawBeyond() {
	const named = (arrow, isBeyond) =>
		lines.filter(({ price }) => isBeyond(series.priceToCoordinate(price))).map(({ title }) => `${arrow} ${title}`).join(" · ");
	box.parentNode.style.setProperty("--axis", `${chart.priceScale("right").width()}px`);
	write($("beyond-top"), named("▲", (y) => y < 0));
	write($("beyond-bottom"), named("▼", (y) => y > chart.paneSize().height));
}

/** Draw lines across the chart, as `{price, title}`. */
export function rule(wanted) {
	lines = wanted;
	drawLines();
	drawBeyond();
}

const point = (candle, at) => {
	if (prefs.chart !== "line") return candle;
	const gap = candles[at + 1]?.time - candle.time > Math.max(LINE_GAP_SECONDS, 2 * step);
	return { time: candle.time, value: candle.close, ...(gap && { color: "transparent" }) };
};

/** With a place for each candle that is missing. */
function withGaps(candles) {
	const filled = [];
	for (const candle of candles) {
		const before = filled.at(-1)?.time ?? candle.time;
		const missing = Math.min(GAP_MOST, (candle.time - before) / step - 1);
		for (let gap = 1; gap <= missing; gap++) filled.push({ time: before + gap * step });
		filled.push(candle);
	}
	return filled;
}

/** At least so high that several prices can be named. */
function widened(scaled, least) {
	if (!scaled?.priceRange) return scaled; // as in a gap
	const { minValue, maxValue } = scaled.priceRange;
	const more = Math.max(0, least - (maxValue - minValue)) / 2;
	return { ...scaled, priceRange: { minValue: minValue - more, maxValue: maxValue + more } };
}

function redraw() {
	const minMove = Number(`1e-${Math.min(decimals(), DECIMALS_MOST)}`);
	series.applyOptions({ priceFormat: { type: "custom", formatter: price, minMove }, autoscaleInfoProvider: (fit) => widened(fit(), MOVES_LEAST * minMove) });
	series.setData(withGaps(candles.map(point)));
	volumes.setData(candles.filter(({ volume }) => volume != null).map(({ time, volume }) => ({ time, value: volume })));
	shown = candles.length;
	if (following) fit();
	legend();
}

/** The newest at the right; a young market fills the width. */
function fit() {
	follow(true);
	series.priceScale().applyOptions({ autoScale: true });
	if (!candles.length) return;
	const to = scale.timeToIndex(candles.at(-1).time) + 1.5;
	scale.setVisibleLogicalRange({ from: Math.max(0.5, to - range / step) - 1, to });
}

export function draw() {
	const last = candles.length - 1;
	if (frozen || last < 0) return;
	if (candles.length !== shown) return redraw();
	series.update(point(candles[last], last));
	if (cross === null) legend();
	drawBeyond();
}

/** The candle that is read: under the crosshair, or the newest. */
function reading() {
	const at = candles.findIndex(({ time }) => time === cross);
	return at < 0 ? candles.length - 1 : at;
}

function legend() {
	const candle = candles[reading()];
	const parts = candle ? ["open", "high", "low", "close"].map((name) => `${name[0].toUpperCase()} ${price(candle[name])}`) : ["No candles yet"];
	if (candle?.volume != null) parts.push(`V ${format.count(candle.volume)}`);
	if ($("legend").textContent !== parts.join("")) $("legend").replaceChildren(...parts.map((part) => make("span", {}, part)));
	if (candle) $("legend").dataset.way = Math.sign(candle.close - candle.open);
}

export function describe() {
	const at = reading();
	const words = candles[at] ? `${clock(candles[at].time)}, ${format.price(candles[at].close, decimals())}` : "no prices yet";
	box.ariaValueText = frozen ? `paused, ${words}` : words;
	box.ariaValueNow = candles.length > 1 ? Math.round((at / (candles.length - 1)) * 100) : 100;
}

function aim(at) {
	const { time, close } = candles[Math.min(candles.length - 1, Math.max(0, at))];
	cross = time;
	const { from, to } = scale.getVisibleLogicalRange();
	const place = scale.timeToIndex(cross);
	const by = Math.min(0, place - from) + Math.max(0, place - to);
	if (by) move(by);
	chart.setCrosshairPosition(close, cross, series);
	legend();
	describe();
}

function release() {
	cross = null;
	chart.clearCrosshairPosition();
	legend();
	describe();
}

function follow(newest) {
	following = newest;
	$("now").hidden = newest;
}

const leave = () => follow(false);

function move(by, factor = 1) {
	leave();
	const { from, to } = scale.getVisibleLogicalRange();
	scale.setVisibleLogicalRange({ from: to - (to - from) * factor + by, to: to + by });
}

export function clear() {
	candles = [];
	following = true;
	redraw();
	load();
}

export function show(seconds, freeze) {
	if (range === seconds && frozen === freeze) return;
	[range, frozen] = [seconds, freeze];
	if (!freeze) {
		following = true;
		cross = null;
		load();
	}
	describe();
}

box.onkeydown = (event) => {
	if (!candles.length || event.ctrlKey || event.metaKey || event.altKey) return;
	const by = event.shiftKey ? 10 : 1;
	const { from, to } = scale.getVisibleLogicalRange();
	const [back, on] = [() => aim(reading() - by), () => aim(reading() + by)];
	const closer = () => move(0, 1 / ZOOM);
	obey(event, {
		ArrowLeft: back, ArrowDown: back, ArrowRight: on, ArrowUp: on,
		Home: () => aim(0), End: () => aim(candles.length - 1),
		PageUp: () => move((from - to) / 2), PageDown: () => move((to - from) / 2),
		"+": closer, "=": closer, "-": () => move(0, ZOOM),
		Escape: release, 0: fit,
	});
};
box.onblur = box.onmouseleave = release;
box.onpointermove = ({ buttons }) => buttons && leave();
box.addEventListener("wheel", leave, { passive: true });
box.addEventListener("touchmove", ({ touches }) => touches.length > 1 && leave(), { passive: true });
chart.subscribeCrosshairMove(({ time, sourceEvent }) => {
	if (!sourceEvent) return;
	cross = time ?? null;
	legend();
});
$("now").onclick = fit;
scale.subscribeSizeChange(() => following && fit());
matchMedia("(prefers-color-scheme: dark)").onchange = paint;
paint();
