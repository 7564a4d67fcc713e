/**
 * The page: wires sign-in, client, market, board, chart and status together.
 *
 * Messages only change values; one animation frame draws for however many of them came, and
 * nothing is drawn while the tab is hidden.
 */

import { createBoard } from "./board.js";
import { createChart } from "./chart.js";
import { chooseSymbols } from "./chooser.js";
import { connect } from "./client.js";
import { $, mark, write } from "./dom.js";
import * as format from "./format.js";
import { key, prefs, remember } from "./prefs.js";
import { createSignIn, explain } from "./signin.js";
import * as status from "./status.js";
import { Market } from "./store.js";

const SECOND_MS = 1000;
const HIDDEN_INTERVAL_MS = 1000;
const ARROWS_EVERY_MS = 250;
const CALM_FRAME_MS = 500; // between two frames where reduced motion is preferred
const SEED_MOST = 12; // histories fetched for the board; larger ones fill as time goes by

const hidden = () => document.visibilityState === "hidden";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let client = null; // null while signed out
let market = new Market();
let board = null;
let sources = {}; // the newest status message of each
let source = null; // the one that counts
let subscription = 0; // the id of its request

let paused = false;
let frame = 0;
let drawnAt = 0;
let arrowsAt = 0;
let counted = 0; // updates, until the last second

const charted = () => market.series.get(market.trail?.symbol);
const chart = createChart(() => ({ trail: market.trail, decimals: charted()?.decimals ?? 2 }));
const ask = createSignIn((apiKey, grant) => {
	key.set(apiKey);
	start(apiKey, grant);
});

function draw(now) {
	frame = 0;
	if (!client || hidden()) return;
	if (calm.matches && now - drawnAt < CALM_FRAME_MS) return;
	drawnAt = now;
	board.draw();
	const series = charted();
	if (series) write($("chart-price"), series.text());
	if (!paused) chart.draw();
	if (now - arrowsAt < ARROWS_EVERY_MS) return;
	arrowsAt = now;
	board.drawArrows();
}

function drawState() {
	status.show(status.describe(client.state, source, market.heardAt));
}

function everySecond() {
	if (!client) return;
	drawState();
	const series = charted();
	const price = series ? `${series.text()} ${series.symbol}` : "–";
	document.title = `${price} · Ticker`;
	const updates = market.updates - counted;
	counted = market.updates;
	if (hidden()) return;
	board.arrange();
	board.drawSlow();
	if (series) {
		const change = format.change(series.change());
		write($("chart-change"), change);
		mark($("chart-change"), series.change());
		status.offer(() => `${price}, ${change} since the page opened`);
	}
	if (document.activeElement.id !== "canvas") chart.describe();
	write($("delay"), `${market.delayMs} ms`);
	write($("updates"), `${updates}/s`);
	write($("skipped"), format.count(market.skipped));
	write($("source"), series?.source ?? source?.source ?? "simulated");
}

function subscribe() {
	const interval = hidden() ? HIDDEN_INTERVAL_MS : null;
	try {
		subscription = client.subscribe(prefs.chosen, interval);
	} catch {
		subscription = client.subscribe(null, interval); // too many names for one message
	}
}

async function seed(symbol) {
	try {
		const { bars } = await client.get(`/prices/${encodeURIComponent(symbol)}/history`);
		market.seed(symbol, bars);
		chart.draw();
	} catch {
		// It fills as prices come.
	}
}

async function seedBoard() {
	if (board.rows.size > SEED_MOST) return;
	for (const symbol of board.rows.keys()) if (symbol !== market.trail?.symbol) await seed(symbol);
}

function select(symbol) {
	if (!market.series.has(symbol)) return;
	remember({ symbol });
	market.follow(symbol);
	board.select(symbol);
	write($("chart-symbol"), symbol);
	pause(false);
	seed(symbol);
}

function follow() {
	board.sync();
	if (board.rows.has(market.trail?.symbol)) return;
	select(board.rows.has(prefs.symbol) ? prefs.symbol : board.rows.keys().next().value);
}

function pause(wanted) {
	paused = wanted;
	$("pause").setAttribute("aria-pressed", wanted);
	chart.show(prefs.range, wanted);
}

const handlers = {
	state({ name, error }) {
		if (name === "closed") stop(error);
		else drawState();
	},
	welcome({ user_id: id }) {
		write($("user"), id);
		sources = {};
		source = null;
		market.countGaps(!hidden());
		if (market.trail) seed(market.trail.symbol); // what was missed while away
	},
	ticker(message) {
		if (market.tick(message)) {
			follow();
			seedBoard();
		}
		if (document.body.dataset.state !== "live") drawState();
		if (!frame && !hidden()) frame = requestAnimationFrame(draw);
	},
	status(message) {
		sources[message.source] = message;
		// With `symbols`, only those are stale.
		const live = ({ state, symbols }) => state === "live" || symbols;
		source = Object.values(sources).find(live) ?? message;
		drawState();
	},
	subscribed() {
		market.countGaps(!hidden());
	},
	error({ id }) {
		// A remembered symbol is gone, or may no longer be seen: show all there is.
		if (id !== subscription || !prefs.chosen) return;
		remember({ chosen: null });
		subscribe();
		follow();
	},
};

function start(apiKey, grant) {
	market = new Market();
	board = createBoard(market, select);
	counted = 0;
	client = connect({ apiKey, grant });
	subscribe();
	for (const [type, handle] of Object.entries(handlers)) {
		client.addEventListener(type, ({ detail }) => handle(detail));
	}
	show(true);
	everySecond();
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
	status.show(status.describe({ name: "closed" }));
	document.title = "Ticker";
	show(false);
	ask(error ? explain(error) : "");
}

$("sign-out").onclick = () => client.close();
$("retry").onclick = () => client.retryNow();
$("pause").onclick = () => pause(!paused);
$("ranges").onchange = ({ target }) => {
	remember({ range: Number(target.value) });
	pause(false);
};
$("choose").onclick = async () => {
	const known = [...market.series.keys()];
	const all = await client.get("/prices").then(({ data }) => data.map(({ symbol }) => symbol), () => known);
	const chosen = await chooseSymbols(all.sort(), prefs.chosen);
	if (chosen === undefined || !client) return;
	remember({ chosen });
	subscribe();
	follow();
};
document.onvisibilitychange = () => {
	if (!client) return;
	market.countGaps(false);
	subscribe();
	everySecond();
};
for (const input of $("ranges").elements) input.checked = Number(input.value) === prefs.range;
setInterval(everySecond, SECOND_MS);
if (key.get()) start(key.get());
else stop();
