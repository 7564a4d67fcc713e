/**
 * The page: wires sign-in, feed, market, board, chart and status together.
 *
 * Messages only change values; one animation frame draws for however many of them came. While
 * the page is hidden, only the tab's title is drawn.
 */

import { createAlerts } from "./alerts.js";
import { createBoard } from "./board.js";
import { createChart, RANGES } from "./chart.js";
import { $, mark, PriceText, write } from "./dom.js";
import { createFeed, hidden } from "./feed.js";
import * as format from "./format.js";
import { createLists, listed } from "./lists.js";
import { nameView, prefs, remember, view } from "./prefs.js";
import { askOthers, endAll, key, watch } from "./session.js";
import { createSignIn, explain } from "./signin.js";
import * as status from "./status.js";
import { Market } from "./store.js";

const SECOND_MS = 1000;
const TICK_MS = 250; // as in clock.js
const ARROWS_EVERY_MS = 250;
const CHART_EVERY_MS = 60;
const CALM_FRAME_MS = 500; // between two frames where reduced motion is preferred
const RENEW_S = 60; // between two looks at the server's bars, which have the volume

const calm = matchMedia("(prefers-reduced-motion: reduce)");

let feed = null; // null while signed out
let market = new Market();
let board = null;
let sources = new Map(); // the newest status message of each

let version = null; // of the server that this page came from
let outdated = false;

let paused = false;
let frame = 0;
let drawnAt = 0;
let chartAt = 0;
let arrowsAt = 0;
let secondAt = 0;
let seconds = 0;
let updates = { board: 0, closeup: 0 }; // in the last second

const charted = () => market.series.get(market.followed);
const chart = createChart(
	() => charted()?.decimals ?? 2,
	async (step, limit) => market.followed && feed?.history(step, limit),
);
const chartPrice = new PriceText($("chart-price"));
const askForKey = createSignIn(start);
const alerts = createAlerts(() => ({ market, charted: charted() }), {
	change() {
		if (!feed) return;
		feed.refresh();
		drawState();
		drawLines();
	},
	open: (symbol) => feed && choose(symbol),
	stale: (symbol) => feed.staleStatus(symbol),
});

function draw(now) {
	frame = 0;
	if (!feed || hidden()) return;
	if (calm.matches && now - drawnAt < CALM_FRAME_MS) return drawSoon();
	drawnAt = now;
	board.draw();
	const series = charted();
	if (series && !paused) {
		chartPrice.write(series.text());
		if (now - chartAt >= CHART_EVERY_MS) chart.draw((chartAt = now));
		else drawSoon(); // the last price is drawn also where no other follows
	}
	if (now - arrowsAt < ARROWS_EVERY_MS) return;
	arrowsAt = now;
	board.drawArrows();
}

const drawSoon = () => (frame ||= hidden() ? 0 : requestAnimationFrame(draw));

/** What stands above the chart beside the price. */
function drawHead(series) {
	const { bid, ask, high_24h: high, low_24h: low, volume_24h: volume, since } = series.quote;
	write($("chart-change"), series.quote.open_24h ? `${format.change(series.day)} ${format.since(since) || "24 h"}` : "");
	mark($("chart-change"), series.day);
	const parts = { Bid: bid, Ask: ask, Spread: series.spread || null, High: high, Low: low };
	const words = Object.entries(parts).flatMap(([name, value]) => (value == null ? [] : `${name} ${series.write(value)}`));
	if (volume != null) words.push(`Volume ${format.amount(volume)}`);
	write($("chart-quote"), words.join(" · "));
}

const drawLines = () => charted() && chart.cross(alerts.lines(charted()));

/** Which of the stale sources concern what is shown, and whether that is all of it. */
function staleSources() {
	const statuses = [...sources.values()].filter(({ state }) => state === "stale");
	if (!market.series.size) {
		const whole = statuses.filter(({ symbols }) => !symbols);
		return { statuses, all: whole.length > 0 && whole.length === sources.size };
	}
	const all = market.judge(feed.staleStatus);
	const blamed = new Set([...market.series.values()].map(({ stale }) => stale));
	return { statuses: statuses.filter((each) => each.symbols || blamed.has(each)), all };
}

function drawState() {
	const state = status.describe(feed.state(), staleSources(), market);
	if (outdated && state.name === "live") state.banner ||= "The server has another version now. Reload the page to have it too.";
	status.show(state);
	const series = charted();
	const stale = Boolean(series?.stale);
	$("chart-head").toggleAttribute("data-stale", stale);
	const price = series?.price ? `${series.text()} ${series.symbol}` : "";
	status.headline(state, price, { stale, note: [alerts.note(), paused && "chart paused"].filter(Boolean).join(" · ") });
}

/** By a worker's clock, which goes on at its pace while the page is hidden. */
function tick() {
	if (!feed) return;
	feed.check();
	drawState();
	if (performance.now() - secondAt < SECOND_MS * 0.9) return;
	secondAt = performance.now();
	everySecond();
}

function everySecond() {
	const counted = updates;
	updates = { board: 0, closeup: 0 };
	if (hidden()) return;
	board.arrange();
	board.drawSlow();
	const series = charted();
	if (series && !paused) {
		drawHead(series);
		drawLines();
		if (document.body.dataset.state === "live" && !series.stale) {
			status.offer(() => `${series.text()} ${series.symbol}, ${$("chart-change").textContent}`);
		}
	}
	seconds = (seconds + 1) % RENEW_S;
	if (!seconds && !paused) chart.load();
	if (document.activeElement.id !== "chart") chart.describe();
	write($("delay"), `${market.delayMs} ms`);
	write($("updates"), `${counted.closeup}/s`);
	write($("board-updates"), `${counted.board}/s`);
	write($("source"), series?.quote.source ?? sources.values().next().value?.source ?? "simulated");
}

/** Chart a symbol, whether it is on the board or not. */
function select(symbol) {
	remember({ symbol });
	const series = market.follow(symbol, chart.add);
	feed.follow(symbol);
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
	$("pause").setAttribute("aria-pressed", wanted);
	$("paused").hidden = !wanted;
	chart.show(prefs.range, wanted);
	if (feed) drawState();
}

const handlers = {
	state({ name, error }) {
		if (name === "closed") stop(error);
		else if (feed) drawState();
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

function start(apiKey, grant) {
	key.set(apiKey);
	market = new Market();
	sources = new Map();
	board = createBoard(market, () => feed.symbols(), { select: choose, star: () => listed() && showList() });
	feed = createFeed({ apiKey, grant }, market, wanted, handlers);
	show(true);
	drawState();
	everySecond();
}

/** What the board's stream is to bring; null for all. */
const wanted = () => listed() && [...new Set([...listed(), ...alerts.symbols()])];

function show(signedIn) {
	for (const id of ["desk", "line", "sign-out"]) $(id).hidden = !signedIn;
	$("signin").hidden = signedIn;
}

/** Signed out, by the user or by the server. */
function stop(error) {
	const ended = feed;
	feed = null;
	ended?.close();
	board?.close();
	key.forget();
	const state = status.describe({ name: "closed" }, {});
	status.show(state);
	status.headline(state, "");
	show(false);
	askForKey(error ? explain(error) : "");
}

function showList() {
	if (!feed) return;
	feed.refresh();
	arrange();
}

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
	if (!feed) return;
	feed.refresh();
	drawState();
	everySecond();
};
for (const event of ["online", "offline"]) addEventListener(event, () => feed && drawState());

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
createLists(showList);
alerts.draw();
setDensity(prefs.density);
setKind(prefs.chart);
setRange(prefs.range);
takeView();
const clock = new Worker(new URL("./clock.js", import.meta.url));
clock.onmessage = tick;
clock.onerror = () => setInterval(tick, TICK_MS); // its file could not be had
addEventListener("hashchange", takeView);
addEventListener("keydown", (event) => {
	const typing = event.target.closest?.("input, dialog");
	const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
	const letter = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !document.querySelector("dialog[open]");
	if (!feed || !(slash || letter)) return;
	event.preventDefault();
	$("filter").select();
});
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
