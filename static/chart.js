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

const LINE_GAP_SECONDS = 30; // quiet markets pause; what is longer is drawn as a gap
const GAP_MOST = 500; // candles of nothing in one gap
const CANDLES_LEAST = 40; // a younger market gets finer ones
const DECIMALS_MOST = 15; // what the library's arithmetic bears
const ZOOM = 1.25; // a press of + or -
const DAY = 86_400;

const keyed = (step) => (step < 60 ? "seconds" : step < DAY / 24 ? "minutes" : "days");

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

/** `shown()` gives `{trail, decimals}` of the symbol to draw. */
export function createChart(shown) {
	const box = $("chart");
	let range = 300;
	let step = 1;
	let frozen = false;
	let following = true; // newest at the right edge, until somebody zooms or pans
	let candles = [];
	let cross = null; // the candle that the keys or the pointer are on
	let style = {};
	let series = null;
	let volumes = null;

	const price = (value) => format.shorten(format.price(value, shown().decimals));
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
		load();
	}

	const point = (candle, at) => {
		if (prefs.chart !== "line") return candle;
		const next = candles[at + 1];
		const gap = next && next.time - candle.time > Math.max(LINE_GAP_SECONDS, 2 * step);
		return { time: candle.time, value: candle.close, ...(gap && { color: "transparent" }) };
	};

	/** How long a candle should be for what is known of the market. */
	function fitting() {
		const [, most] = RANGES.get(range);
		const known = (shown().trail?.seconds() ?? 0) / CANDLES_LEAST;
		return [...RANGES.values()].reduce((best, [, size]) => (size <= Math.min(most, known) ? size : best), 1);
	}

	/** All of it anew: another symbol, another range, or a history that has come. */
	function load() {
		step = fitting();
		chart.applyOptions({ timeScale: { timeVisible: step < DAY, secondsVisible: step < 60 } });
		candles = shown().trail?.candles(step) ?? [];
		const { decimals } = shown();
		series.applyOptions({ priceFormat: { type: "custom", formatter: price, minMove: Number(`1e-${Math.min(decimals, DECIMALS_MOST)}`) } });
		series.setData(prefs.chart === "line" ? candles.map(point) : withGaps(candles, step));
		const known = candles.filter(({ volume }) => volume != null);
		volumes.setData(known.map(({ time, volume }) => ({ time, value: volume })));
		if (following) fit();
		legend();
	}

	/** The newest at the right edge; a young market fills the width it has. */
	function fit() {
		following = true;
		$("now").hidden = true;
		const places = series.data().length;
		const most = range / step;
		if (places) scale.setVisibleLogicalRange({ from: Math.max(0, places - most) - 0.5, to: places + 0.5 });
	}

	/** The newest candle, for each frame. */
	function draw() {
		const newest = !frozen && shown().trail?.newest(step);
		if (!newest) return;
		const last = candles.at(-1);
		if (last && newest.time < last.time) return;
		if (last && newest.time - last.time > step) return load(); // with the gap between them
		const grown = newest.time !== last?.time;
		if (grown) candles.push(newest);
		else candles[candles.length - 1] = newest;
		series.update(point(newest, candles.length - 1));
		if (newest.volume != null) volumes.update({ time: newest.time, value: newest.volume });
		if (grown && (fitting() !== step || candles.length > 2 * Math.max(range / step, 500))) load();
		else if (grown && following) fit();
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
		const words = candle && `${format.clock(candle.time * 1000, keyed(step))}, ${format.price(candle.close, shown().decimals)}`;
		box.setAttribute("aria-valuetext", `${frozen ? "paused, " : ""}${words || "no prices yet"}`);
		box.setAttribute("aria-valuenow", candles.length > 1 ? Math.round((at / (candles.length - 1)) * 100) : 100);
	}

	function aim(at) {
		const candle = candles[Math.min(candles.length - 1, Math.max(0, at))];
		if (!candle) return;
		cross = candle.time;
		const { from, to } = scale.getVisibleLogicalRange();
		const place = series.data().findIndex(({ time }) => time === cross);
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

		/** Draw so many seconds from now on, or freeze what is shown; the trail keeps growing. */
		show(seconds, freeze) {
			frozen = freeze;
			if (range !== seconds || !freeze) {
				range = seconds;
				following = true;
				cross = null;
				load();
			}
			describe();
		},
	};
}
