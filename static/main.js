/**
 * The page: wires sign-in, feed, market, board, chart and status together.
 *
 * Messages only change values; one animation frame draws for however many of them came. While
 * the page is hidden, only the tab's title is drawn.
 */

import { createAlerts } from "./alerts.js";
import { createBoard } from "./board.js";
import { createChart, RANGES } from "./chart.js";
import { $, mark, press, PriceText, write } from "./dom.js";
import { createFeed, hidden } from "./feed.js";
import * as format from "./format.js";
import { createLists, listed } from "./lists.js";
import { nameView, prefs, remember, view } from "./prefs.js";
import { askOthers, endAll, key, watch } from "./session.js";
import { createSignIn, explain } from "./signin.js";
import * as status from "./status.js";
import { Market } from "./store.js";

const TICK_MS = 250; // as in clock.js
const SECOND_TICKS = 4;
const RENEW_TICKS = 240; // between two looks at the server's bars, which have the volume
const CHART_EVERY_MS = 60;
const CALM_FRAME_MS = 500; // between two frames where reduced motion is preferred

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const market = new Market();
const chartPrice = new PriceText($("chart-price"));

let feed = null; // null while signed out
let sources = new Map(); // the newest status message of each

let version = null; // of the server that this page came from
let outdated = false;

let paused = false;
let frame = 0;
let drawnAt = 0;
let chartAt = 0;
let ticks = 0;
let updates = { board: 0, closeup: 0 }; // in the last second

const board = createBoard(market, {
	symbols: () => feed?.symbols() ?? [],
	select: choose,
	star: () => listed() && showList(),
});
const chart = createChart(market, async (step, limit) => market.followed && feed?.history(step, limit));
const askForKey = createSignIn(start);
const alerts = createAlerts(market, {
	change() {
		feed?.refresh();
		drawState();
		drawLines();
	},
	open: (symbol) => feed && choose(symbol),
});

function draw(now) {
	frame = 0;
	if (!feed || hidden()) return;
	if (calm.matches && now - drawnAt < CALM_FRAME_MS) return drawSoon();
	drawnAt = now;
	board.draw();
	if (!market.charted || paused) return;
	chartPrice.write(market.charted.text());
	if (now - chartAt >= CHART_EVERY_MS) chart.draw((chartAt = now));
	else drawSoon(); // the last price is drawn also where no other follows
}

const drawSoon = () => (frame ||= hidden() ? 0 : requestAnimationFrame(draw));

/** What stands above the chart beside the price. */
function drawHead(series) {
	const { day, spread, quote } = series;
	const { bid, ask, open_24h: open, high_24h: high, low_24h: low, volume_24h: volume, since } = quote;
	write($("chart-change"), open ? `${format.change(day)} ${format.since(since) || "24 h"}` : "");
	mark($("chart-change"), day);
	const parts = { Bid: bid, Ask: ask, Spread: spread || null, High: high, Low: low };
	const words = Object.entries(parts).flatMap(([name, value]) => (value == null ? [] : `${name} ${series.write(value)}`));
	if (volume != null) words.push(`Volume ${format.amount(volume)}`);
	write($("chart-quote"), words.join(" · "));
}

const drawLines = () => market.charted && chart.cross(alerts.lines(market.charted));

/** Which of the stale sources concern what is shown, and whether that is all of it. */
function staleSources() {
	const statuses = [...sources.values()].filter(({ state }) => state === "stale");
	const shown = [...market.series.values()].map(({ stale }) => stale);
	if (shown.length) return { statuses: statuses.filter((each) => each.symbols || shown.includes(each)), all: shown.every(Boolean) };
	const whole = statuses.filter(({ symbols }) => !symbols);
	return { statuses, all: whole.length > 0 && whole.length === sources.size };
}

function drawState() {
	const state = status.describe(feed?.state ?? { name: "closed" }, staleSources(), market);
	if (outdated && state.name === "live") state.banner ||= "The server has another version now. Reload the page to have it too.";
	status.show(state);
	const { charted } = market;
	const stale = Boolean(charted?.stale);
	$("chart-head").toggleAttribute("data-stale", stale);
	const price = charted?.price ? `${charted.text()} ${charted.symbol}` : "";
	status.headline(state, price, { stale, note: [alerts.note(), paused && "chart paused"].filter(Boolean).join(" · ") });
}

/** By a worker's clock, which goes on at its pace while the page is hidden. */
function tick() {
	if (!feed) return;
	feed.check();
	drawState();
	ticks += 1;
	if (ticks % SECOND_TICKS === 0) everySecond();
	if (ticks % RENEW_TICKS === 0 && !paused) chart.load();
}

function everySecond() {
	const counted = updates;
	updates = { board: 0, closeup: 0 };
	if (hidden()) return;
	board.arrange();
	board.drawSlow();
	const { charted } = market;
	if (charted && !paused) {
		drawHead(charted);
		drawLines();
		if (document.body.dataset.state === "live" && !charted.stale) {
			status.offer(() => `${charted.text()} ${charted.symbol}, ${$("chart-change").textContent}`);
		}
	}
	if (document.activeElement.id !== "chart") chart.describe();
	write($("delay"), `${market.delayMs} ms`);
	write($("updates"), `${counted.closeup}/s`);
	write($("board-updates"), `${counted.board}/s`);
	write($("source"), charted?.quote.source ?? sources.values().next().value?.source ?? "simulated");
}

/** Chart a symbol, whether it is on the board or not. */
function select(symbol) {
	remember({ symbol });
	const series = market.follow(symbol, chart.add);
	feed.refresh();
	nameView(symbol, rangeName());
	board.select(symbol);
	write($("chart-symbol"), symbol);
	pause(false);
	chart.clear();
	chartPrice.write(series.text());
	drawHead(series);
	drawLines();
}

/** The same by a hand, which wants to see it: on a phone, the chart may be far above. */
function choose(symbol) {
	select(symbol);
	$("chart-head").parentNode.scrollIntoView({ block: "nearest", behavior: calm.matches ? "instant" : "smooth" });
}

/** The view that the address names, as far as it can be shown. */
function takeView() {
	const { symbol, range } = view();
	const wanted = [...RANGES.keys()].find((each) => rangeName(each) === range);
	if (wanted) setRange(wanted);
	if (symbol !== market.followed && feed?.symbols().includes(symbol)) select(symbol);
}

/** As the address names it. */
const rangeName = (range = prefs.range) => RANGES.get(range)[0].replace(" ", "");

function setRange(wanted) {
	const range = RANGES.has(wanted) ? wanted : 300;
	remember({ range });
	for (const input of $("ranges").elements) input.checked = Number(input.value) === range;
	pause(false);
	if (market.followed) nameView(market.followed, rangeName());
}

/** Show the symbols there are, and chart one of them where none is yet. */
function arrange() {
	board.sync();
	if (market.followed || !board.known.size) return;
	select(board.known.has(prefs.symbol) ? prefs.symbol : board.known.keys().next().value);
}

function pause(wanted) {
	paused = wanted;
	press("pause", wanted);
	$("paused").hidden = !wanted;
	chart.show(prefs.range, wanted);
	drawState();
}

const handlers = {
	state({ name, error }) {
		if (name === "closed") stop(error);
		else drawState();
	},
	welcome({ user_id: id, version: now }) {
		outdated = (version ??= now) !== now;
		write($("user"), id);
		sources = new Map();
		takeView();
		if (!paused) chart.load(); // what was missed while away
	},
	ticker(fresh) {
		updates.board += 1;
		alerts.judge();
		if (fresh) arrange();
		if (document.body.dataset.state !== "live" || hidden()) drawState();
		drawSoon();
	},
	closeup(fresh) {
		updates.closeup += 1;
		alerts.judge(market.followed);
		if (fresh) arrange();
		drawSoon();
	},
	status(message) {
		sources.set(message.source, message);
		drawState();
	},
	subscribed({ interval_ms: intervalMs }) {
		market.intervalMs = intervalMs ?? 0;
	},
};

/** What the board's stream is to bring; null for all. */
const wanted = () => listed() && [...new Set([...listed(), ...alerts.symbols()])];

function start(apiKey, grant) {
	key.set(apiKey);
	market.clear();
	sources = new Map();
	feed = createFeed({ apiKey, grant }, market, wanted, handlers);
	show();
	everySecond();
}

/** Signed out, by the user or by the server. */
function stop(error) {
	const ended = feed;
	feed = null;
	ended?.close();
	market.clear();
	board.sync(false);
	key.forget();
	show();
	askForKey(error ? explain(error) : "");
}

function show() {
	for (const id of ["desk", "line", "sign-out"]) $(id).hidden = !feed;
	$("signin").hidden = Boolean(feed);
	drawState();
}

function showList() {
	if (!feed) return;
	feed.refresh();
	arrange();
}

function setDensity(density) {
	remember({ density });
	document.body.dataset.density = density;
	press("density", density === "compact");
	board.measure();
}

function setKind(kind) {
	remember({ chart: kind });
	press("kind", kind === "line");
	chart.build();
}

$("ranges").append(
	...[...RANGES].map(([seconds, [name]]) => {
		const label = document.createElement("label");
		label.innerHTML = `<input type="radio" name="range" value="${seconds}"><span>${name}</span>`;
		return label;
	}),
);
createLists(showList);
alerts.draw();
setDensity(prefs.density);
setKind(prefs.chart);
setRange(prefs.range);

$("sign-out").onclick = () => {
	stop();
	endAll();
};
$("retry").onclick = () => feed.retryNow();
$("pause").onclick = () => pause(!paused);
$("ranges").onchange = ({ target }) => setRange(Number(target.value));
$("kind").onclick = () => setKind(prefs.chart === "line" ? "candles" : "line");
$("density").onclick = () => setDensity(prefs.density === "compact" ? "roomy" : "compact");
document.onvisibilitychange = () => {
	feed?.refresh();
	drawState();
	everySecond();
};
for (const event of ["online", "offline"]) addEventListener(event, drawState);
addEventListener("hashchange", takeView);
addEventListener("keydown", (event) => {
	const modified = event.ctrlKey || event.metaKey;
	const slash = event.key === "/" && !modified && !event.altKey && !event.target.closest?.("input, dialog");
	const letter = event.key.toLowerCase() === "k" && modified && !document.querySelector("dialog[open]");
	if (!feed || !(slash || letter)) return;
	event.preventDefault();
	$("filter").select();
});
const clock = new Worker(new URL("./clock.js", import.meta.url));
clock.onmessage = tick;
clock.onerror = () => setInterval(tick, TICK_MS); // its file could not be had
watch({
	/** A key that comes by the address of the open page takes the place of another. */
	came() {
		const found = key.get();
		stop();
		start(found);
	},
	ended: () => feed && stop(),
});
$("boot").remove();

const mine = key.get() ?? (await askOthers());
if (!feed) {
	if (mine) start(mine);
	else stop();
}
