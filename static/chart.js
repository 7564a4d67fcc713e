/** The chart of one symbol, over lightweight-charts. */

import { $, write } from "./dom.js";
import * as format from "./format.js";
import { prefs } from "./prefs.js";
import * as charts from "./vendor/lightweight-charts.js";

/** Seconds from left to right, to their name and the seconds of a candle at most. */
export const RANGES = new Map([
	[60, ["1 m", 1]],
	[300, ["5 m", 5]],
	[3600, ["1 h", 60]],
	[86_400, ["1 d", 300]],
	[604_800, ["1 w", 3600]],
	[31_536_000, ["1 y", 86_400]],
]);

const STEPS = [[3600, "1h"], [60, "1m"], [1, "1s"]]; // what the server keeps
const LINE_GAP_SECONDS = 30; // quiet markets pause; what is longer is drawn as a gap
const GAP_MOST = 500; // candles of nothing in one gap
const CANDLES_LEAST = 40; // a younger market gets finer ones
const RANGES_MOST = 6; // of candles kept in all; the oldest of more are let go
const BARS_LEAST = 600; // asked of the server, to pan into
const DECIMALS_MOST = 15; // what the library's arithmetic bears
const ZOOM = 1.25; // a press of + or -
const DAY = 86_400;

const keyed = (step) => (step < 60 ? "seconds" : step < DAY / 24 ? "minutes" : "days");

/** Take a later bar into the newest candle, or begin one. */
function extend(candles, step, { time, open, high, low, close, volume }) {
	const begin = time - (time % step);
	const last = candles.at(-1);
	if (last && begin < last.time) return;
	if (last?.time !== begin) return candles.push({ time: begin, open, high, low, close, volume });
	last.high = Math.max(last.high, high);
	last.low = Math.min(last.low, low);
	last.close = close;
	if (volume != null) last.volume = (last.volume ?? 0) + volume;
}

/** Put an empty place for each candle that is missing. */
function withGaps(candles, step) {
	const filled = [];
	for (const candle of candles) {
		const before = filled.at(-1)?.time ?? candle.time;
		const missing = Math.min(GAP_MOST, (candle.time - before) / step - 1);
		for (let gap = 1; gap <= missing; gap++) filled.push({ time: before + gap * step });
		filled.push(candle);
	}
	return filled;
}

/** `history(step, limit)` gets the bars of the market's charted symbol. */
export function createChart(market, history) {
	const box = $("chart");
	let range = 300;
	let step = 1;
	let frozen = false;
	let following = true; // newest at the right edge, until the user zooms or pans
	let candles = [];
	let shown = 0; // of them, by the library
	let places = []; // theirs and those of the gaps between them, from left to right
	let asking = null; // the newest request for history
	let cross = null; // the candle that the keys or the pointer are on
	let style = {};
	let series = null;
	let volumes = null;
	let lines = []; // across the chart, as `{price, title}`
	let drawn = [];

	const decimals = () => market.charted?.decimals ?? 2;
	const price = (value) => format.shorten(format.price(value, decimals()));
	const chart = charts.createChart(box, {
		autoSize: true,
		layout: { attributionLogo: false, background: { color: "transparent" }, fontSize: 12 },
		rightPriceScale: { borderVisible: false },
		timeScale: {
			borderVisible: false,
			shiftVisibleRangeOnNewBar: false,
			tickMarkFormatter: (time, kind) => format.clock(time * 1000, ["days", "days", "days", "minutes", "seconds"][kind]),
		},
		localization: { timeFormatter: (time) => format.clock(time * 1000, keyed(step)), priceFormatter: price },
		crosshair: { mode: charts.CrosshairMode.Normal },
		handleScroll: { vertTouchDrag: false }, // a finger that goes up or down scrolls the page
	});
	const scale = chart.timeScale();

	function paint() {
		const css = getComputedStyle(box);
		for (const name of ["text", "muted", "line", "accent", "up", "down"]) {
			style[name] = css.getPropertyValue(`--${name}`).trim();
		}
		const lines = { color: style.line };
		chart.applyOptions({
			layout: { textColor: style.muted, fontFamily: css.fontFamily },
			grid: { vertLines: lines, horzLines: lines },
		});
		build();
	}

	/** The series anew, for another kind or other colours. */
	function build() {
		for (const each of [series, volumes]) if (each) chart.removeSeries(each);
		const { up, down, accent } = style;
		series =
			prefs.chart === "line"
				? chart.addSeries(charts.LineSeries, { color: accent, lineWidth: 2 })
				: chart.addSeries(charts.CandlestickSeries, {
						upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false,
					});
		volumes = chart.addSeries(charts.HistogramSeries, { priceScaleId: "volume", lastValueVisible: false, priceLineVisible: false, color: style.line });
		volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
		drawn = [];
		drawLines();
		redraw();
	}

	function drawLines() {
		for (const line of drawn) series.removePriceLine(line);
		drawn = lines.map((line) => series.createPriceLine({ ...line, color: style.accent, lineStyle: charts.LineStyle.Dashed }));
	}

	const point = (candle, at) => {
		if (prefs.chart !== "line") return candle;
		const next = candles[at + 1];
		const gap = next && next.time - candle.time > Math.max(LINE_GAP_SECONDS, 2 * step);
		return { time: candle.time, value: candle.close, ...(gap && { color: "transparent" }) };
	};

	/** The history anew, as fine as the range wants it, or finer where the market is young. */
	async function load() {
		const mine = (asking = {});
		const [, most] = RANGES.get(range);
		for (const [size, name] of STEPS.filter(([size]) => size <= most)) {
			const bars = await history(name, Math.max(BARS_LEAST, (3 * range) / size));
			if (asking !== mine || !bars || frozen) return;
			const known = bars.length && (bars.at(-1)[0] - bars[0][0]) / 1000 / CANDLES_LEAST;
			const sizes = [...RANGES.values()].map(([, each]) => each).filter((each) => each >= size && each <= most && each <= known);
			if (!sizes.length && size > 1) continue;
			const grown = candles; // meanwhile, from prices
			[candles, step] = [[], Math.max(1, ...sizes)];
			for (const [ms, open, high, low, close, volume] of bars) extend(candles, step, { time: ms / 1000, open, high, low, close, volume });
			for (const candle of grown) if (candle.time >= (candles.at(-1)?.time ?? 0)) extend(candles, step, { ...candle, volume: null });
			return redraw();
		}
	}

	function redraw() {
		chart.applyOptions({ timeScale: { timeVisible: step < DAY, secondsVisible: step < 60 } });
		series.applyOptions({ priceFormat: { type: "custom", formatter: price, minMove: Number(`1e-${Math.min(decimals(), DECIMALS_MOST)}`) } });
		places = withGaps(candles.map(point), step);
		series.setData(places);
		volumes.setData(candles.filter(({ volume }) => volume != null).map(({ time, volume }) => ({ time, value: volume })));
		shown = candles.length;
		if (following) fit();
		legend();
	}

	/** The newest at the right edge; a young market fills the width it has. */
	function fit() {
		following = true;
		$("now").hidden = true;
		const { length } = places;
		if (length) scale.setVisibleLogicalRange({ from: Math.max(0, length - range / step) - 0.5, to: length + 0.5 });
	}

	/** The candles that grew, for each frame. */
	function draw() {
		const last = candles.length - 1;
		if (frozen || last < 0) return;
		const grown = candles.length - shown;
		if (grown > 1 || (grown && last && candles[last].time - candles[last - 1].time > step)) return redraw();
		if (grown) places.push(candles[last]);
		series.update(point(candles[last], last));
		shown = candles.length;
		if (grown && following) fit();
		if (cross === null) legend();
	}

	function legend() {
		const candle = candles.find(({ time }) => time === cross) ?? candles.at(-1);
		const parts = candle ? ["open", "high", "low", "close"].map((name) => `${name[0].toUpperCase()} ${price(candle[name])}`) : [];
		if (candle?.volume != null) parts.push(`V ${format.count(candle.volume)}`);
		for (const [at, node] of [...$("legend").children].entries()) write(node, parts[at] ?? "");
		if (candle) $("legend").dataset.way = Math.sign(candle.close - candle.open);
		$("legend").style.right = `${chart.priceScale("right").width()}px`;
	}

	/** Say in words what the crosshair is on, or the newest price. */
	function describe() {
		const at = cross === null ? candles.length - 1 : candles.findIndex(({ time }) => time === cross);
		const candle = candles[at];
		const words = candle && `${format.clock(candle.time * 1000, keyed(step))}, ${format.price(candle.close, decimals())}`;
		box.setAttribute("aria-valuetext", `${frozen ? "paused, " : ""}${words || "no prices yet"}`);
		box.setAttribute("aria-valuenow", candles.length > 1 ? Math.round((at / (candles.length - 1)) * 100) : 100);
	}

	function aim(at) {
		const candle = candles[Math.min(candles.length - 1, Math.max(0, at))];
		if (!candle) return;
		cross = candle.time;
		const { from, to } = scale.getVisibleLogicalRange();
		const place = places.findIndex(({ time }) => time === cross);
		if (place < from || place > to) move(place < from ? place - from : place - to);
		chart.setCrosshairPosition(candle.close, candle.time, series);
		legend();
		describe();
	}

	function release() {
		cross = null;
		chart.clearCrosshairPosition();
		legend();
		describe();
	}

	function leave() {
		following = false;
		$("now").hidden = false;
	}

	function move(by) {
		leave();
		const { from, to } = scale.getVisibleLogicalRange();
		scale.setVisibleLogicalRange({ from: from + by, to: to + by });
	}

	function zoom(factor) {
		leave();
		const { from, to } = scale.getVisibleLogicalRange();
		scale.setVisibleLogicalRange({ from: to - (to - from) * factor, to });
	}

	box.onkeydown = (event) => {
		if (!candles.length || event.ctrlKey || event.metaKey || event.altKey) return;
		const here = cross === null ? candles.length - 1 : candles.findIndex(({ time }) => time === cross);
		const by = event.shiftKey ? 10 : 1;
		const { from, to } = scale.getVisibleLogicalRange();
		const page = (to - from) / 2;
		const keys = {
			ArrowLeft: () => aim(here - by), ArrowDown: () => aim(here - by),
			ArrowRight: () => aim(here + by), ArrowUp: () => aim(here + by),
			Home: () => aim(0), End: () => aim(candles.length - 1),
			PageUp: () => move(-page), PageDown: () => move(page),
			"+": () => zoom(1 / ZOOM), "=": () => zoom(1 / ZOOM), "-": () => zoom(ZOOM),
			Escape: release, 0: fit,
		};
		if (!keys[event.key]) return;
		event.preventDefault();
		keys[event.key]();
	};
	box.addEventListener("blur", release);
	box.addEventListener("wheel", leave, { passive: true });
	box.addEventListener("pointermove", ({ buttons }) => buttons && leave());
	box.addEventListener("touchmove", ({ touches }) => touches.length > 1 && leave(), { passive: true });
	chart.subscribeCrosshairMove(({ time, sourceEvent }) => {
		if (!sourceEvent) return; // by the keys
		cross = time ?? null;
		legend();
	});
	$("now").onclick = fit;
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
	paint();

	return {
		draw,
		describe,
		load,
		build,

		/** Take in a price of the charted symbol. */
		add(ms, close) {
			if (frozen) return;
			extend(candles, step, { time: Math.floor(ms / 1000), open: close, high: close, low: close, close });
			const most = Math.max(2 * BARS_LEAST, (RANGES_MOST * range) / step);
			if (candles.length > most) [candles, shown] = [candles.slice(-most * 0.75), 0];
		},

		/** Draw lines across the chart, as `{price, title}`. */
		cross(wanted) {
			if (JSON.stringify(wanted) === JSON.stringify(lines)) return;
			lines = wanted;
			drawLines();
		},

		/** Another symbol. */
		clear() {
			candles = [];
			following = true;
			redraw();
			load();
		},

		/** Draw so many seconds from now on, or freeze what is shown. */
		show(seconds, freeze) {
			const same = range === seconds && frozen === freeze;
			[range, frozen] = [seconds, freeze];
			if (same) return;
			if (!freeze) {
				following = true;
				cross = null;
				load();
			}
			describe();
		},
	};
}
