import * as alerts from "./alerts.js";
import * as board from "./board.js";
import * as chart from "./chart.js";
import { $, make, mark, press, PriceText, write } from "./dom.js";
import { createFeed, hidden } from "./feed.js";
import * as format from "./format.js";
import * as lists from "./lists.js";
import { nameView, prefs, remember, view } from "./prefs.js";
import * as session from "./session.js";
import * as signin from "./signin.js";
import * as status from "./status.js";
import { market } from "./store.js";

const TICK_MS = 250; // as in clock.js
const SECOND_TICKS = 4;
const RENEW_TICKS = 240; // of the bars, for their volume
const CHART_EVERY_MS = 60;
const CALM_FRAME_MS = 500; // where reduced motion is preferred

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const chartPrice = new PriceText($("chart-price"));

let feed = null;
let sources = new Map(); // the newest status message of each
let version = null;
let outdated = false;
let paused = false;
let frame = 0;
let drawnAt = 0;
let chartAt = 0;
let ticks = 0;
let updates = { board: 0, closeup: 0 };

function draw(now) {
	frame = 0;
	if (!feed || hidden()) return;
	if (calm.matches && now - drawnAt < CALM_FRAME_MS) return drawSoon();
	drawnAt = now;
	board.draw();
	if (!market.charted || paused) return;
	drawHead();
	if (now - chartAt >= CHART_EVERY_MS) chart.draw((chartAt = now));
	else drawSoon(); // also where no other price follows
}

const drawSoon = () => (frame ||= requestAnimationFrame(draw));

function drawHead() {
	const { day, price, spread, quote } = market.charted;
	const { bid, ask, open_24h: open, high_24h: high, low_24h: low, volume_24h: volume, since } = quote;
	chartPrice.write(market.charted.text());
	write($("chart-change"), open ? `${format.change(day)} ${format.since(since) || "24 h"}` : "");
	mark($("chart-change"), day);
	// A source may tell the bounds of its day later than the price.
	const parts = { Bid: bid, Ask: ask, Spread: spread || null, High: high && Math.max(high, price), Low: low && Math.min(low, price) };
	const words = Object.entries(parts).flatMap(([name, value]) => (value == null ? [] : `${name} ${market.charted.write(value)}`));
	if (volume != null) words.push(`Volume ${format.amount(volume)}`);
	write($("chart-quote"), words.join(" · "));
}

const drawLines = () => market.charted && chart.rule(alerts.lines(market.charted));

/** The stale sources of what is shown, and whether that is all of it. */
function staleSources() {
	const stale = [...sources.values()].filter(({ state }) => state === "stale");
	const shown = [...market.series.values()].map(({ stale }) => stale).filter((each) => each !== undefined);
	const statuses = stale.filter((each) => each.symbols || !shown.length || shown.includes(each));
	const all = shown.length ? shown.every(Boolean) : stale.filter(({ symbols }) => !symbols).length === sources.size;
	return { statuses, all: all && statuses.length > 0 };
}

function drawState() {
	const { charted } = market;
	const state = status.describe(feed?.state ?? { name: "closed" }, staleSources(), market);
	if (outdated && state.name === "live") state.banner ||= "The server has another version now. Reload the page to have it too.";
	status.show(state);
	const stale = charted?.price > 0 && !charted.live;
	$("chart-head").toggleAttribute("data-stale", stale);
	const price = charted?.price ? `${charted.text()} ${charted.symbol}` : "";
	status.headline(state, price, { stale, note: [alerts.note(), paused && "chart paused"].filter(Boolean).join(" · ") });
	if (price && state.name === "live" && !stale && !paused && !hidden()) status.offer(`${price}, ${$("chart-change").textContent}`);
}

function tick() {
	if (!feed) return;
	feed.check();
	feed.refresh();
	drawState();
	ticks += 1;
	if (ticks % SECOND_TICKS === 0) everySecond();
	if (ticks % RENEW_TICKS === 0 && !paused) chart.load();
}

function everySecond() {
	const facts = {
		delay: `${market.delayMs} ms`,
		updates: `${updates.closeup}/s`,
		"board-updates": `${updates.board}/s`,
		source: market.charted?.quote.source ?? sources.values().next().value?.source ?? "simulated",
	};
	updates = { board: 0, closeup: 0 };
	if (hidden()) return;
	for (const [id, text] of Object.entries(facts)) write($(id), text);
	board.arrange();
	board.drawSlow();
	drawLines();
	if (document.activeElement.id !== "chart") chart.describe();
}

function select(symbol) {
	remember({ symbol });
	market.followed = symbol;
	market.of(symbol);
	feed.refresh();
	board.showCharted();
	write($("chart-symbol"), symbol);
	chart.clear();
	apply();
	drawHead();
	drawLines();
}

function choose(symbol) {
	select(symbol);
	$("chart-head").parentNode.scrollIntoView({ block: "nearest" });
}

const rangeName = (range) => chart.RANGES.get(range)[0].replace(" ", "");

function takeView() {
	const { symbol, range: name } = view();
	const range = [...chart.RANGES.keys()].find((each) => rangeName(each) === name);
	if (range && range !== prefs.range) apply({ range });
	else apply({}, paused); // the address names what is shown
	if (!symbol || symbol === market.followed) return;
	if (market.symbols.includes(symbol)) select(symbol);
	else if (market.known.length) board.search(symbol); // which shows the like
}

function arrange() {
	board.sync();
	if (market.followed || !board.known.size) return;
	select(board.known.has(prefs.symbol) ? prefs.symbol : board.known.keys().next().value);
}

function apply(changes = {}, pause = false) {
	remember(changes);
	const range = chart.RANGES.has(prefs.range) ? prefs.range : 300;
	remember({ range });
	paused = pause;
	press("pause", paused);
	$("paused").hidden = !paused;
	press("kind", prefs.chart === "line");
	press("density", prefs.density === "compact");
	$("ranges").querySelector(`[value="${range}"]`).checked = true;
	if (changes.chart) chart.build();
	if (changes.density) board.measure();
	chart.show(range, paused);
	if (market.followed) nameView(market.followed, rangeName(range));
	drawState();
}

function take(fresh, only) {
	alerts.judge(only);
	if (fresh) arrange();
	drawSoon();
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
		if (!paused) chart.load();
	},
	ticker(fresh) {
		updates.board += 1;
		take(fresh);
	},
	closeup(fresh) {
		updates.closeup += 1;
		take(fresh, market.followed);
	},
	status(message) {
		sources.set(message.source, message);
	},
	subscribed({ interval_ms: intervalMs }) {
		market.intervalMs = intervalMs ?? 0;
	},
};

/** The symbols of the board's stream; null for all, as a search shows. */
const wanted = () => (board.typed() ? null : lists.listed()) && [...new Set([...lists.listed(), ...alerts.symbols()])];

function start(apiKey, grant) {
	session.key.set(apiKey);
	feed = createFeed({ apiKey, grant }, wanted, handlers);
	show();
	everySecond();
}

function stop(error) {
	const ended = feed;
	feed = null;
	ended?.close();
	market.clear();
	board.sync(false);
	session.key.forget();
	show();
	signin.ask(error ? signin.explain(error) : "");
}

function show() {
	for (const id of ["desk", "line", "sign-out"]) $(id).hidden = !feed;
	$("signin").hidden = Boolean(feed);
	drawState();
}

for (const [value, [name]] of chart.RANGES) {
	$("ranges").append(make("label", {}, make("input", { type: "radio", name: "range", value }), make("span", {}, name)));
}
market.taken = chart.add;
board.on.select = choose;
lists.on.change = () => {
	feed?.refresh();
	arrange();
};
alerts.on.open = (symbol) => feed && choose(symbol);
alerts.on.change = () => {
	drawState();
	drawLines();
};
session.on.came = () => {
	const found = session.key.get();
	stop();
	start(found);
};
session.on.ended = () => feed && stop();
signin.on.grant = start;
alerts.draw();
apply({ chart: prefs.chart });

$("sign-out").onclick = () => {
	stop();
	session.endAll();
};
$("retry").onclick = () => feed.retryNow();
$("pause").onclick = () => apply({}, !paused);
$("ranges").onchange = ({ target }) => apply({ range: Number(target.value) });
$("kind").onclick = () => apply({ chart: prefs.chart === "line" ? "candles" : "line" }, paused);
$("density").onclick = () => apply({ density: prefs.density === "compact" ? "roomy" : "compact" }, paused);
document.onvisibilitychange = () => {
	drawState();
	everySecond();
};
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
clock.onerror = () => setInterval(tick, TICK_MS);
$("boot").remove();

const mine = session.key.get() ?? (await session.askOthers());
if (mine && !feed) start(mine);
else if (!feed) stop();
