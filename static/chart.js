/** The chart: the market's trail on a canvas, with axes, crosshair and pause; drawn whole. */

import { $ } from "./dom.js";
import * as format from "./format.js";

const TICK_PX = 44; // between two prices on the axis
const LABEL_PX = 92; // between two times
const TIME_STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 1800]; // seconds
const FOOT_PX = 24;
const MARGIN = 0.08; // of the price range, above and below
const SHRINK_BELOW = 0.75; // of the axis in use
const GAP_MS = 30_000; // quiet markets pause; what is longer is drawn as a gap
const KEY_STEPS = 100; // crosshair positions for the keyboard

/** A round step that divides `range` at most `most` times. */
function roundStep(range, most) {
	const power = 10 ** Math.floor(Math.log10(range / most));
	return power * [1, 2, 5, 10].find((factor) => range / (factor * power) <= most);
}

/** `shown()` gives `{trail, decimals}` of the symbol to draw. */
export function createChart(shown) {
	const canvas = $("canvas");
	const paint = canvas.getContext("2d");
	let [width, height, gutter] = [0, 0, 80];
	let style = {};
	let range = 300;
	let paused = null; // the points and their end, as they were
	let scale = null; // {low, high} of the price axis
	let cross = null; // 0 … 1 across the plot
	let points = [];

	function stroke(from, to, colour, dash = []) {
		paint.strokeStyle = colour;
		paint.lineWidth = 1;
		paint.setLineDash(dash);
		paint.beginPath();
		paint.moveTo(...from);
		paint.lineTo(...to);
		paint.stroke();
		paint.setLineDash([]);
	}

	function tag(text, x, y, ground, ink) {
		const wide = paint.measureText(text).width + 10;
		const left = Math.max(0, Math.min(x, width - wide));
		paint.fillStyle = ground;
		paint.fillRect(left, y - 10, wide, 20);
		paint.fillStyle = ink;
		paint.textAlign = "left";
		paint.fillText(text, left + 5, y);
	}

	/** The price axis grows at once and shrinks late, so that it stays calm. */
	function fit() {
		const low = Math.min(...points.map((point) => point.low));
		const high = Math.max(...points.map((point) => point.high));
		const spread = high - low || high * 0.001;
		const fits = scale && low >= scale.low && high <= scale.high;
		if (fits && spread > SHRINK_BELOW * (scale.high - scale.low)) return;
		scale = { low: low - MARGIN * spread, high: high + MARGIN * spread };
	}

	function drawAxes(x, y, [fromMs, endMs], [right, bottom], decimals, newest) {
		const step = roundStep(scale.high - scale.low, bottom / TICK_PX);
		const digits = Math.min(decimals, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
		paint.textAlign = "left";
		for (let at = Math.ceil(scale.low / step); at * step < scale.high; at++) {
			const top = Math.round(y(at * step)) + 0.5;
			stroke([0, top], [right, top], style.line);
			if (top < 8 || Math.abs(top - y(newest)) < 16) continue; // its tag stands there
			paint.fillStyle = style.muted;
			paint.fillText(format.price(at * step, digits), right + 8, top);
		}
		const seconds = TIME_STEPS.find((size) => (range / size) * LABEL_PX <= right) ?? 3600;
		paint.textAlign = "center";
		for (let at = Math.ceil(fromMs / 1000 / seconds) * seconds; at * 1000 <= endMs; at += seconds) {
			const left = Math.round(x(at * 1000)) + 0.5;
			stroke([left, 0], [left, bottom], style.line);
			if (left < LABEL_PX / 2 || left > right - LABEL_PX / 3) continue;
			paint.fillText(format.clock(at * 1000, seconds < 60 ? "seconds" : "minutes"), left, bottom + 13);
		}
	}

	/** The closes as a line, over the band between the lows and the highs. */
	function drawCurve(x, y) {
		const longest = Math.max(GAP_MS, (range * 4000) / width);
		const runs = [];
		let before = -Infinity;
		for (const point of points) {
			if (point.time - before > longest) runs.push([]);
			runs.at(-1).push(point);
			before = point.time;
		}
		paint.fillStyle = paint.strokeStyle = style.accent;
		paint.lineWidth = 1.6;
		for (const run of runs) {
			paint.beginPath();
			for (const { time, high } of run) paint.lineTo(x(time), y(high));
			for (const { time, low } of run.reverse()) paint.lineTo(x(time), y(low));
			paint.globalAlpha = 0.16;
			paint.fill();
			paint.globalAlpha = 1;
			paint.beginPath();
			for (const { time, close } of run) paint.lineTo(x(time), y(close));
			paint.stroke();
		}
	}

	const nearest = (time) =>
		points.reduce((best, point) =>
			Math.abs(point.time - time) < Math.abs(best.time - time) ? point : best,
		);

	function draw() {
		const { trail, decimals } = shown();
		paint.clearRect(0, 0, width, height);
		points = paused?.points ?? trail?.points(range, width) ?? [];
		if (!points.length || !width) return;
		fit();
		const endMs = paused?.endMs ?? trail.endMs;
		const fromMs = endMs - range * 1000;
		const { close } = points.at(-1);
		gutter = Math.ceil(paint.measureText(format.price(close, decimals)).width) + 18;
		const [right, bottom] = [width - gutter, height - FOOT_PX];
		const x = (time) => ((time - fromMs) / (endMs - fromMs)) * right;
		const y = (price) => ((scale.high - price) / (scale.high - scale.low)) * bottom;
		drawAxes(x, y, [fromMs, endMs], [right, bottom], decimals, close);
		drawCurve(x, y);
		tag(format.price(close, decimals), right + 3, y(close), style.accent, style.ink);
		if (cross === null) return;
		const point = nearest(fromMs + cross * (endMs - fromMs));
		const [left, top] = [x(point.time), y(point.close)];
		stroke([left, 0], [left, bottom], style.muted, [4, 3]);
		stroke([0, top], [right, top], style.muted, [4, 3]);
		tag(format.price(point.close, decimals), right + 3, top, style.text, style.panel);
		tag(format.clock(point.time), Math.min(left - 36, right - 72), bottom + 13, style.text, style.panel);
	}

	/** Say in words what the crosshair is on, or the newest price. */
	function describe() {
		const here = cross ?? 1;
		const point = points.length && nearest(points.at(-1).time - (1 - here) * range * 1000);
		const words = point && `${format.clock(point.time)}, ${format.price(point.close, shown().decimals)}`;
		canvas.setAttribute("aria-valuetext", words || "no prices yet");
		canvas.setAttribute("aria-valuenow", Math.round(here * KEY_STEPS));
	}

	function aim(position) {
		cross = position === null ? null : Math.min(1, Math.max(0, position));
		draw();
		describe();
	}

	function measure() {
		const ratio = devicePixelRatio;
		({ clientWidth: width, clientHeight: height } = canvas.parentNode);
		canvas.width = Math.round(width * ratio);
		canvas.height = Math.round(height * ratio);
		const css = getComputedStyle(canvas);
		for (const name of ["text", "muted", "line", "accent", "ink", "panel"]) {
			style[name] = css.getPropertyValue(`--${name}`);
		}
		paint.scale(ratio, ratio);
		paint.font = `${css.fontSize} ${css.fontFamily}`;
		paint.textBaseline = "middle";
		paint.lineJoin = "round";
		draw();
	}

	canvas.onpointermove = canvas.onpointerdown = ({ offsetX }) => aim(offsetX / (width - gutter));
	canvas.onpointerleave = canvas.onblur = () => aim(null);
	canvas.onkeydown = (event) => {
		const here = cross ?? 1;
		const step = (event.shiftKey ? 10 : 1) / KEY_STEPS;
		const [back, on] = [here - step, here + step];
		const keys = { ArrowLeft: back, ArrowDown: back, ArrowRight: on, ArrowUp: on, Home: 0, End: 1 };
		if (!(event.key in keys)) return;
		event.preventDefault();
		aim(keys[event.key]);
	};
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", measure);
	new ResizeObserver(measure).observe(canvas.parentNode);

	return {
		draw,
		describe,

		/** Draw so many seconds from now on, or freeze what is shown; the trail keeps growing. */
		show(seconds, frozen) {
			range = seconds;
			paused = frozen ? { points, endMs: shown().trail?.endMs } : null;
			if (!frozen) scale = null;
			draw();
		},
	};
}
