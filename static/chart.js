/**
 * The chart: the chosen symbol's trail on a canvas, with axes, a crosshair and a pause.
 *
 * It is drawn whole each time. No more than one step per pixel is drawn, whatever the range.
 */

import * as format from "./format.js";

const MINUTE_SECONDS = 60;
const BRIDGE_MS = 3_000; // a longer gap in the data is shown as one
const TICK_GAP_PX = 44; // between two prices on the axis
const LABEL_GAP_PX = 92; // between two times
const TIME_STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800];
const FOOT_PX = 24;
const MARGIN = 0.08; // of the price range, above and below
const KEY_STEPS = 100; // crosshair positions for the keyboard

const COLOURS = ["text", "muted", "line", "accent", "panel", "accent-text"];

/** A round step (1, 2 or 5 times a power of ten) that gives about `most` ticks. */
export function roundStep(range, most) {
  const rough = range / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
}

/** Collect a ring's steps from `fromMs` to `toMs` into `points`, `merge` steps to one. */
function collect(ring, fromMs, toMs, merge, points) {
  const first = Math.max(0, Math.floor(fromMs / ring.stepMs / merge) * merge, ring.last - ring.size + 1);
  const end = Math.min(ring.last, Math.ceil(toMs / ring.stepMs) - 1);
  for (let start = first - (first % merge); start <= end; start += merge) {
    let low = Infinity;
    let high = -Infinity;
    let close = NaN;
    for (let step = Math.max(first, start); step < start + merge && step <= end; step++) {
      const at = step % ring.size;
      if (Number.isNaN(ring.close[at])) continue;
      low = Math.min(low, ring.low[at]);
      high = Math.max(high, ring.high[at]);
      close = ring.close[at];
    }
    if (Number.isNaN(close)) continue;
    points.push({ time: Math.min((start + merge) * ring.stepMs, toMs), low, high, close });
  }
}

export function createChart(current) {
  const canvas = document.getElementById("canvas");
  const plot = document.getElementById("plot");
  const paint = canvas.getContext("2d");
  let width = 0;
  let height = 0;
  let colours = {};
  let frozen = null; // while paused: a copy of the trail
  let range = MINUTE_SECONDS;
  let cross = null; // 0 … 1 across the plot
  let scale = null; // {low, high} of the price axis
  let points = [];
  let gutter = 80;

  const trail = () => frozen ?? current().trail;
  const decimals = () => current().series.get(trail().symbol)?.decimals ?? 2;

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`)]));
    colours.font = getComputedStyle(canvas).font;
    chart.draw();
  }

  function resize() {
    const ratio = devicePixelRatio || 1;
    ({ clientWidth: width, clientHeight: height } = plot);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    readColours();
  }

  function gather({ coarse, fine, endMs }) {
    const fromMs = endMs - range * 1000;
    points = [];
    if (range > MINUTE_SECONDS) {
      const merge = Math.max(1, Math.ceil(range / Math.max(1, width - gutter)));
      collect(coarse, fromMs, endMs, merge, points);
      return;
    }
    let fineMs = endMs;
    for (let step = Math.max(0, fine.last - fine.size + 1); step <= fine.last; step++) {
      if (Number.isNaN(fine.close[step % fine.size])) continue;
      fineMs = step * fine.stepMs;
      break;
    }
    if (fineMs > fromMs) collect(coarse, fromMs, fineMs, 1, points);
    collect(fine, Math.max(fromMs, fineMs), endMs, 1, points);
  }

  /** The price axis: grows at once, shrinks only when much of it is unused, so it stays calm. */
  function fit() {
    let low = Infinity;
    let high = -Infinity;
    for (const point of points) {
      low = Math.min(low, point.low);
      high = Math.max(high, point.high);
    }
    const spread = high - low || Math.abs(high) * 0.001 || 1;
    const fits = scale && low >= scale.low && high <= scale.high;
    if (!fits || spread < 0.6 * (scale.high - scale.low)) {
      scale = { low: low - MARGIN * spread, high: high + MARGIN * spread };
    }
  }

  function line(path) {
    paint.beginPath();
    path();
    paint.stroke();
  }

  function tag(text, x, y, align, fill, ink) {
    const wide = paint.measureText(text).width + 10;
    const left = align === "left" ? x : Math.min(Math.max(0, x - wide / 2), width - gutter - wide);
    paint.fillStyle = fill;
    paint.fillRect(left, y - 10, wide, 20);
    paint.fillStyle = ink;
    paint.textAlign = "left";
    paint.fillText(text, left + 5, y);
  }

  function axes(y, x, fromMs, endMs, bottom, digits) {
    const step = roundStep(scale.high - scale.low, bottom / TICK_GAP_PX);
    paint.strokeStyle = colours.line;
    paint.fillStyle = colours.muted;
    paint.lineWidth = 1;
    paint.textAlign = "left";
    const shown = Math.min(digits, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    for (let at = Math.ceil(scale.low / step); at * step <= scale.high; at++) {
      const top = Math.round(y(at * step)) + 0.5;
      line(() => {
        paint.moveTo(0, top);
        paint.lineTo(width - gutter, top);
      });
      paint.fillText(format.price(at * step, shown), width - gutter + 8, top);
    }
    const fitting = Math.max(1, (width - gutter) / LABEL_GAP_PX);
    const seconds = TIME_STEPS.find((candidate) => range / candidate <= fitting) ?? 3600;
    paint.textAlign = "center";
    for (let at = Math.ceil(fromMs / 1000 / seconds) * seconds; at * 1000 <= endMs; at += seconds) {
      const left = Math.round(x(at * 1000)) + 0.5;
      line(() => {
        paint.moveTo(left, 0);
        paint.lineTo(left, bottom);
      });
      if (left > 36 && left < width - gutter - 30) {
        paint.fillText(format.clock(at * 1000, seconds < 60 ? "seconds" : "minutes"), left, bottom + 13);
      }
    }
  }

  function curve(x, y) {
    paint.beginPath();
    for (const { time, high } of points) paint.lineTo(x(time), y(high));
    for (let at = points.length - 1; at >= 0; at--) paint.lineTo(x(points[at].time), y(points[at].low));
    paint.fillStyle = colours.accent;
    paint.globalAlpha = 0.16;
    paint.fill();
    paint.globalAlpha = 1;
    paint.strokeStyle = colours.accent;
    paint.lineWidth = 1.6;
    paint.lineJoin = "round";
    const gaps = [];
    line(() => {
      let before = null;
      for (const point of points) {
        const gap = before && point.time - before.time > Math.max(BRIDGE_MS, (range * 4000) / width);
        if (gap) gaps.push([before, point]);
        if (gap || !before) paint.moveTo(x(point.time), y(point.close));
        else paint.lineTo(x(point.time), y(point.close));
        before = point;
      }
    });
    paint.setLineDash([2, 4]);
    for (const [from, to] of gaps) {
      line(() => {
        paint.moveTo(x(from.time), y(from.close));
        paint.lineTo(x(to.time), y(to.close));
      });
    }
    paint.setLineDash([]);
  }

  /** The data point under the crosshair. */
  function pointed() {
    if (cross === null || !points.length) return null;
    const { endMs } = trail();
    const time = endMs - (1 - cross) * range * 1000;
    return points.reduce((best, point) =>
      Math.abs(point.time - time) < Math.abs(best.time - time) ? point : best,
    );
  }

  function describe() {
    const point = pointed() ?? points.at(-1);
    if (!point) return "no prices yet";
    return `${format.clock(point.time)}, ${format.price(point.close, decimals())}`;
  }

  function aim(position) {
    cross = position === null ? null : Math.min(1, Math.max(0, position));
    canvas.setAttribute("aria-valuenow", String(Math.round((cross ?? 1) * KEY_STEPS)));
    chart.draw();
    canvas.setAttribute("aria-valuetext", describe());
  }

  const chart = {
    draw() {
      const shown = trail();
      paint.clearRect(0, 0, width, height);
      if (!shown || !width) return;
      const digits = decimals();
      paint.font = colours.font;
      paint.textBaseline = "middle";
      gather(shown);
      if (!points.length) return;
      fit();
      const bottom = height - FOOT_PX;
      const { endMs } = shown;
      const fromMs = endMs - range * 1000;
      const newest = points.at(-1);
      const newestText = format.price(newest.close, digits);
      gutter = Math.ceil(paint.measureText(newestText).width) + 18;
      const y = (price) => ((scale.high - price) / (scale.high - scale.low)) * bottom;
      const x = (time) => ((time - fromMs) / (range * 1000)) * (width - gutter);
      axes(y, x, fromMs, endMs, bottom, digits);
      paint.save();
      paint.beginPath();
      paint.rect(0, 0, width - gutter, bottom);
      paint.clip();
      curve(x, y);
      paint.restore();
      tag(newestText, width - gutter + 3, y(newest.close), "left", colours.accent, colours["accent-text"]);
      const point = pointed();
      if (!point) return;
      paint.strokeStyle = colours.muted;
      paint.lineWidth = 1;
      paint.setLineDash([4, 3]);
      const left = Math.round(x(point.time)) + 0.5;
      const top = Math.round(y(point.close)) + 0.5;
      line(() => {
        paint.moveTo(left, 0);
        paint.lineTo(left, bottom);
        paint.moveTo(0, top);
        paint.lineTo(width - gutter, top);
      });
      paint.setLineDash([]);
      paint.fillStyle = colours.text;
      paint.beginPath();
      paint.arc(left, top, 3.5, 0, 2 * Math.PI);
      paint.fill();
      tag(format.price(point.close, digits), width - gutter + 3, top, "left", colours.text, colours.panel);
      tag(format.clock(point.time), left, bottom + 13, "center", colours.text, colours.panel);
    },

    setRange(seconds) {
      range = seconds;
      scale = null;
      chart.draw();
    },

    /** Freeze what is shown, or go on; the trail itself keeps growing. */
    pause(paused) {
      frozen = paused ? (current().trail?.copy() ?? null) : null;
      scale = null;
      chart.draw();
    },

    /** The symbol has changed. */
    reset() {
      frozen = null;
      scale = null;
      cross = null;
      chart.draw();
    },

    /** Words for those who do not see it; to be called now and then. */
    describe() {
      canvas.setAttribute("aria-valuetext", describe());
    },
  };

  const aimAt = ({ clientX }) => aim((clientX - canvas.getBoundingClientRect().left) / (width - gutter));
  canvas.addEventListener("pointermove", aimAt);
  canvas.addEventListener("pointerdown", aimAt);
  canvas.addEventListener("pointerleave", () => aim(null));
  canvas.addEventListener("blur", () => aim(null));
  canvas.addEventListener("keydown", (event) => {
    const step = (event.shiftKey ? 10 : 1) / KEY_STEPS;
    const here = cross ?? 1;
    const targets = {
      ArrowLeft: here - step,
      ArrowDown: here - step,
      ArrowRight: here + step,
      ArrowUp: here + step,
      PageDown: here - 0.1,
      PageUp: here + 0.1,
      Home: 0,
      End: 1,
      Escape: null,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    aim(targets[event.key]);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
  new ResizeObserver(resize).observe(plot);
  return chart;
}
