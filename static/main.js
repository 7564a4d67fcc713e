/**
 * The page: wires sign-in, client, market, board, chart and status together.
 *
 * Messages only change values; one animation frame draws for however many of them came. While
 * the page is hidden, only the tab's title is drawn.
 */

import { createBoard } from "./board.js";
import { createChart, RANGES } from "./chart.js";
import { chooseSymbols } from "./chooser.js";
import { connect } from "./client.js";
import { $, mark, PriceText, write } from "./dom.js";
import * as format from "./format.js";
import { nameView, prefs, remember, view } from "./prefs.js";
import { createSearch } from "./search.js";
import { askOthers, endAll, key, watch } from "./session.js";
import { createSignIn, explain } from "./signin.js";
import * as status from "./status.js";
import { Market } from "./store.js";

const SECOND_MS = 1000;
const TICK_MS = 250; // as in clock.js
const HIDDEN_INTERVAL_MS = 1000;
const ARROWS_EVERY_MS = 250;
const CHART_EVERY_MS = 60;
const CALM_FRAME_MS = 500; // between two frames where reduced motion is preferred
const GONE = new Set(["unknown_symbol", "forbidden"]); // a remembered symbol, which then is let go
const FULL_PACE_MOST = 500; // symbols; more are drawn from fewer updates
const WIDE_INTERVAL_MS = 100;
const SEED_MOST = 12; // histories fetched for the board; larger ones fill as time goes by

const hidden = () => document.visibilityState === "hidden";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let client = null; // null while signed out
let market = new Market();
let board = null;
let sources = new Map(); // the newest status message of each
let known = []; // every symbol that may be seen
let wish = null; // a symbol to be charted once its price comes
let asked = null; // the pace of the subscription

let paused = false;
let frame = 0;
let drawnAt = 0;
let chartAt = 0;
let arrowsAt = 0;
let secondAt = 0;
let counted = 0; // updates, until the last second

const charted = () => market.series.get(market.trail?.symbol);
const chart = createChart(() => ({ trail: market.trail, decimals: charted()?.decimals ?? 2 }));
const chartPrice = new PriceText($("chart-price"));
const askForKey = createSignIn(start);

function draw(now) {
	frame = 0;
	if (!client || hidden()) return;
	if (calm.matches && now - drawnAt < CALM_FRAME_MS) return;
	drawnAt = now;
	board.draw();
	if (!paused) {
		const series = charted();
		if (series) chartPrice.write(series.text());
		if (now - chartAt >= CHART_EVERY_MS) chart.draw((chartAt = now));
	}
	if (now - arrowsAt < ARROWS_EVERY_MS) return;
	arrowsAt = now;
	board.drawArrows();
}

function drawChange() {
	const change = charted().change();
	write($("chart-change"), format.change(change));
	mark($("chart-change"), change);
}

/** Which of the stale sources concern what is shown, and whether that is all of it. */
function staleSources() {
	const statuses = [...sources.values()].filter(({ state }) => state === "stale");
	if (!market.series.size) {
		const whole = statuses.filter(({ symbols }) => !symbols);
		return { statuses, all: whole.length > 0 && whole.length === sources.size };
	}
	const all = market.judge((symbol) => client.staleStatus(symbol));
	const blamed = new Set([...market.series.values()].map(({ stale }) => stale));
	return { statuses: statuses.filter((each) => each.symbols || blamed.has(each)), all };
}

function drawState() {
	const state = status.describe(client.state, staleSources(), market);
	status.show(state);
	const series = charted();
	const stale = Boolean(series?.stale);
	$("chart-head").toggleAttribute("data-stale", stale);
	const price = series ? `${series.text()} ${series.symbol}` : "";
	status.headline(state, price, { stale, note: paused ? "chart paused" : "" });
}

/** By a worker's clock, which goes on at its pace while the page is hidden. */
function tick() {
	if (!client) return;
	client.check();
	drawState();
	if (performance.now() - secondAt < SECOND_MS * 0.9) return;
	secondAt = performance.now();
	everySecond();
}

function everySecond() {
	const updates = market.updates - counted;
	counted = market.updates;
	if (hidden()) return;
	board.arrange();
	board.drawSlow();
	const series = charted();
	if (series && !paused) {
		drawChange();
		if (document.body.dataset.state === "live" && !series.stale) {
			const change = format.change(series.change());
			status.offer(() => `${series.text()} ${series.symbol}, ${change} since the page opened`);
		}
	}
	if (document.activeElement.id !== "chart") chart.describe();
	write($("delay"), `${market.delayMs} ms`);
	write($("updates"), `${updates}/s`);
	write($("source"), series?.source ?? sources.values().next().value?.source ?? "simulated");
}

/** How fast prices are wanted now, in ms between two; null for every tick. */
function pace() {
	if (hidden()) return HIDDEN_INTERVAL_MS;
	return (prefs.chosen ?? known).length > FULL_PACE_MOST ? WIDE_INTERVAL_MS : null;
}

function subscribe() {
	const interval = (asked = pace());
	return client.subscribe(prefs.chosen, interval).catch((error) => {
		// Too many names for one message; or a remembered symbol is gone: show all there is.
		if (error instanceof RangeError) return client.subscribe(null, interval).catch(() => {});
		if (!GONE.has(error.kind) || !prefs.chosen) return;
		remember({ chosen: null });
		subscribe();
		follow();
	});
}

async function seed(symbol, step = "1s") {
	try {
		const path = `prices/${encodeURIComponent(symbol)}/history?step=${step}`;
		const { bars, step_ms: stepMs } = await client.get(path);
		market.seed(symbol, stepMs / 1000, bars);
		if (symbol === market.trail?.symbol) chart.load();
	} catch {
		// It fills as prices come.
	}
}

/** The history that the chart needs, as fine as its candles are. */
function seedChart() {
	const { symbol } = market.trail;
	const [, step] = RANGES.get(prefs.range);
	seed(symbol);
	if (step >= 60) seed(symbol, "1m");
	if (step >= 3600) seed(symbol, "1h");
}

async function seedBoard() {
	if (board.known.size > SEED_MOST) return;
	for (const symbol of board.known.keys()) if (symbol !== market.trail?.symbol) await seed(symbol);
}

function select(symbol) {
	if (!market.series.has(symbol)) return;
	wish = null;
	remember({ symbol });
	market.follow(symbol);
	nameView(symbol, rangeName());
	board.select(symbol);
	write($("chart-symbol"), symbol);
	pause(false);
	chartPrice.write(charted().text());
	drawChange();
	seedChart();
}

/** Chart a symbol that was searched for or named by the address, wherever it is. */
function wishFor(symbol) {
	if (!known.includes(symbol) && !market.series.has(symbol)) return;
	wish = symbol;
	if (prefs.chosen && !prefs.chosen.includes(symbol)) {
		remember({ chosen: [...prefs.chosen, symbol] });
		subscribe();
	}
	follow();
}

/** The view that the address names, as far as it can be shown. */
function takeView() {
	const { symbol, range } = view();
	const seconds = [...RANGES.keys()].find((seconds) => rangeName(seconds) === range);
	if (seconds) setRange(seconds);
	if (symbol && client) wishFor(symbol);
}

/** As the address names it. */
const rangeName = (seconds = prefs.range) => RANGES.get(seconds)[0].replace(" ", "");

function setRange(wanted) {
	const range = RANGES.has(wanted) ? wanted : 300;
	remember({ range });
	for (const input of $("ranges").elements) input.checked = Number(input.value) === range;
	pause(false);
	if (!market.trail) return;
	nameView(market.trail.symbol, rangeName());
	seedChart();
}

function follow() {
	board.sync();
	if (wish && board.known.has(wish)) return select(wish);
	if (board.known.has(market.trail?.symbol)) return;
	select(board.known.has(prefs.symbol) ? prefs.symbol : board.known.keys().next().value);
}

function pause(wanted) {
	paused = wanted;
	$("pause").setAttribute("aria-pressed", wanted);
	$("paused").hidden = !wanted;
	chart.show(prefs.range, wanted);
	if (client) drawState();
}

const handlers = {
	state({ name, error }) {
		if (name === "closed") stop(error);
		else drawState();
	},
	welcome({ user_id: id, tick_ms: tickMs = 0, symbols = [] }) {
		known = symbols;
		if (pace() !== asked) subscribe();
		if (view().symbol && view().symbol !== market.trail?.symbol) wishFor(view().symbol);
		market.intervalMs = tickMs;
		write($("user"), id);
		sources = new Map();
		if (market.trail) seedChart(); // what was missed while away
	},
	ticker(message) {
		if (market.tick(message)) {
			follow();
			seedBoard();
		}
		if (document.body.dataset.state !== "live" || hidden()) drawState();
		if (!frame && !hidden()) frame = requestAnimationFrame(draw);
	},
	status(message) {
		sources.set(message.source, message);
		drawState();
	},
	subscribed({ interval_ms: intervalMs }) {
		market.intervalMs = intervalMs ?? market.intervalMs;
	},
};

function start(apiKey, grant) {
	key.set(apiKey);
	market = new Market();
	sources = new Map();
	board = createBoard(market, select);
	counted = 0;
	begin({ apiKey, grant });
	show(true);
	drawState();
	everySecond();
}

function begin(options) {
	const intervalMs = (asked = pace());
	try {
		client = connect({ ...options, symbols: prefs.chosen, intervalMs });
	} catch {
		client = connect({ ...options, intervalMs }); // too many names for one message
	}
	const mine = client;
	for (const [type, handle] of Object.entries(handlers)) {
		client.addEventListener(type, ({ detail }) => {
			if (client !== mine) return;
			// A code is HTTP's: it is the key that is forbidden.
			const gone = GONE.has(detail.error?.kind) && !detail.error.code;
			if (!gone || !prefs.chosen) return handle(detail);
			remember({ chosen: null });
			begin(options);
		});
	}
}

function show(signedIn) {
	for (const id of ["desk", "line", "sign-out"]) $(id).hidden = !signedIn;
	$("signin").hidden = signedIn;
}

/** Signed out, by the user or by the server. */
function stop(error) {
	client = null;
	board?.close();
	key.forget();
	const state = status.describe({ name: "closed" }, {});
	status.show(state);
	status.headline(state, "");
	show(false);
	askForKey(error ? explain(error) : "");
}

/** A key that comes by the address of the open page signs in, in place of another. */
function useKey() {
	const found = key.get();
	client?.close();
	start(found);
}

$("sign-out").onclick = () => {
	client.close();
	endAll();
};
$("retry").onclick = () => client.retryNow();
$("pause").onclick = () => pause(!paused);
$("ranges").onchange = ({ target }) => setRange(Number(target.value));
$("kind").onclick = () => setKind(prefs.chart === "line" ? "candles" : "line");
$("density").onclick = () => setDensity(prefs.density === "compact" ? "roomy" : "compact");
$("choose").onclick = async () => {
	const all = new Set([...known, ...market.series.keys()]);
	const chosen = await chooseSymbols([...all].sort(), prefs.chosen);
	if (chosen === undefined || !client) return;
	remember({ chosen });
	subscribe();
	follow();
};
document.onvisibilitychange = () => {
	if (!client) return;
	subscribe();
	drawState();
	everySecond();
};
for (const event of ["online", "offline"]) addEventListener(event, () => client && drawState());

function setDensity(density) {
	remember({ density });
	document.body.dataset.density = density;
	$("density").setAttribute("aria-pressed", density === "compact");
	board?.measure();
}

function setKind(kind) {
	remember({ chart: kind });
	$("kind").setAttribute("aria-pressed", kind === "line");
	chart.build();
}

$("ranges").append(
	...[...RANGES].map(([seconds, [name]]) => {
		const label = document.createElement("label");
		label.innerHTML = `<input type="radio" name="range" value="${seconds}"><span>${name}</span>`;
		return label;
	}),
);
createSearch(() => [...new Set([...known, ...market.series.keys()])], wishFor);
setDensity(prefs.density);
setKind(prefs.chart);
setRange(prefs.range);
takeView();
const clock = new Worker(new URL("./clock.js", import.meta.url));
clock.onmessage = tick;
clock.onerror = () => setInterval(tick, TICK_MS); // its file could not be had
addEventListener("hashchange", takeView);
watch({ came: useKey, ended: () => client?.close() });
$("boot").remove();

const mine = key.get() ?? (await askOthers());
if (!client) {
	if (mine) start(mine);
	else stop();
}
