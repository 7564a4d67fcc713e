/**
 * The page: wires the sign-in, the client, the market, the board, the chart and the status.
 *
 * Messages only change values. Drawing happens in one animation frame for however many of
 * them came, and not at all while the tab is hidden.
 */

import { createBoard } from "./board.js";
import { createChart } from "./chart.js";
import { chooseSymbols } from "./chooser.js";
import { connect } from "./client.js";
import * as format from "./format.js";
import { key, prefs, remember } from "./prefs.js";
import { createSignIn, explain } from "./signin.js";
import { createStatus, describe } from "./status.js";
import { Market } from "./store.js";

const HIDDEN_INTERVAL_MS = 1_000;
const DIRECTIONS_EVERY_MS = 250;
const SECOND_MS = 1_000;
const SEED_MOST = 12; // histories fetched for the board; more rows fill as time goes by

const $ = (id) => document.getElementById(id);
const hidden = () => document.visibilityState === "hidden";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let client = null;
let market = null;
let board = null;
let chart = null;
let status = null; // the newest status message
let user = "";
let paused = false;
let frame = 0;
let framesDrawn = 0;
let drawnAt = 0;
let directedAt = 0;
let before = { updates: 0, frames: 0 };
let subscriptionId = null;
const view = createStatus();

const signIn = createSignIn((apiKey, grant) => {
  key.set(apiKey);
  start({ apiKey, grant });
});

// -- drawing --------------------------------------------------------------------------

function requestDraw() {
  if (!frame && !hidden()) frame = requestAnimationFrame(draw);
}

function draw(now) {
  frame = 0;
  if (!client || hidden()) return;
  if (calm.matches && now - drawnAt < SECOND_MS / 2) return void requestDraw();
  drawnAt = now;
  framesDrawn += 1;
  board.draw();
  drawQuote();
  if (!paused) chart.draw();
  if (now - directedAt >= DIRECTIONS_EVERY_MS) {
    directedAt = now;
    board.drawDirections();
  }
}

const text = (id, value) => {
  if ($(id).textContent !== value) $(id).textContent = value;
};

function drawQuote() {
  const series = market.series.get(prefs.symbol);
  if (!series) return;
  series.learnDecimals();
  text("chart-price", format.price(series.price, series.decimals));
}

function words() {
  const series = market.series.get(prefs.symbol);
  return series
    ? `${series.symbol} ${format.price(series.price, series.decimals)}, ${format.change(series.changeSince())} since the page opened`
    : "";
}

function everySecond() {
  if (!client) return;
  drawState();
  const series = market.series.get(prefs.symbol);
  document.title = series
    ? `${format.price(series.price, series.decimals)} ${series.symbol} · Ticker`
    : "Ticker";
  const { updates } = market;
  if (!hidden()) {
    board.arrange();
    board.drawSlow();
    if (series) {
      text("chart-change", `${format.change(series.changeSince())} since opened`);
      $("chart-change").dataset.way = Math.sign(series.changeSince()) || 0;
      view.offer(words);
    }
    if (!$("canvas").matches(":focus")) chart.describe();
    view.line({
      delayMs: market.delayMs,
      updates: updates - before.updates,
      frames: framesDrawn - before.frames,
      skipped: market.skipped,
      source: status?.source ?? series?.source,
      user,
    });
  }
  before = { updates, frames: framesDrawn };
}

function drawState() {
  const nowMs = Date.now();
  view.show(
    describe({
      state: client.state,
      status,
      quietMs: market.heardAt ? nowMs - market.heardAt : 0,
      nowMs,
      online: navigator.onLine,
    }),
  );
}

// -- the stream -----------------------------------------------------------------------

function subscribe() {
  const interval = hidden() ? HIDDEN_INTERVAL_MS : null;
  try {
    subscriptionId = client.subscribe(prefs.chosen, interval);
  } catch {
    subscriptionId = client.subscribe(null, interval); // too many names for one message
  }
}

async function seed(symbol) {
  try {
    const { bars } = await client.get(`/prices/${encodeURIComponent(symbol)}/history`);
    market.seed(symbol, bars);
    requestDraw();
  } catch {
    // The chart starts empty then, and fills as prices come.
  }
}

async function seedBoard() {
  const symbols = board.symbols();
  if (symbols.length > SEED_MOST) return;
  for (const symbol of symbols) if (symbol !== prefs.symbol) await seed(symbol);
}

function select(symbol) {
  remember({ symbol });
  market.follow(symbol);
  setPaused(false);
  chart.reset();
  board.select(symbol);
  $("chart-symbol").textContent = symbol;
  seed(symbol);
}

function setPaused(value) {
  paused = value;
  $("pause").setAttribute("aria-pressed", String(value));
  $("pause").textContent = value ? "Resume" : "Pause";
  chart.pause(value);
}

function onTick({ detail }) {
  const appeared = market.tick(detail);
  if (appeared) {
    board.sync();
    if (!market.trail || !market.series.has(market.trail.symbol)) {
      const shown = board.symbols();
      select(shown.includes(prefs.symbol) ? prefs.symbol : shown[0]);
    }
    if (detail.snapshot) seedBoard();
  }
  requestDraw();
}

function onWelcome({ detail }) {
  user = detail.user_id;
  status = null;
  market.countGaps(!hidden());
  if (market.trail) seed(market.trail.symbol); // what was missed while away
}

function onState({ detail }) {
  if (detail.name === "closed") stop(detail.error);
  else drawState();
}

function start({ apiKey, grant }) {
  signIn.hide();
  market = new Market();
  status = null;
  $("rows").replaceChildren();
  $("columns").replaceChildren();
  board = createBoard(market, select);
  chart ??= createChart(() => market);
  client = connect({ apiKey, grant, symbols: prefs.chosen, intervalMs: hidden() ? HIDDEN_INTERVAL_MS : null });
  client.addEventListener("state", onState);
  client.addEventListener("welcome", onWelcome);
  client.addEventListener("ticker", onTick);
  client.addEventListener("status", ({ detail }) => {
    status = detail;
    drawState();
  });
  client.addEventListener("subscribed", () => market.countGaps(!hidden()));
  client.addEventListener("error", ({ detail }) => {
    // A remembered symbol is gone or no longer allowed: show everything there is.
    if (detail.id !== subscriptionId || !prefs.chosen) return;
    remember({ chosen: null });
    subscribe();
  });
  show(true);
  drawState();
}

function show(signedIn) {
  for (const id of ["desk", "line", "sign-out"]) $(id).hidden = !signedIn;
  if (!signedIn) document.title = "Ticker";
}

/** Signed out, by the user or by the server. */
function stop(error) {
  client = null;
  key.forget();
  view.show(describe({ state: { name: "closed" } }));
  show(false);
  signIn.show(error ? explain(error) : "");
}

// -- controls -------------------------------------------------------------------------

$("sign-out").addEventListener("click", () => client?.close());
$("retry").addEventListener("click", () => client?.retryNow());
$("pause").addEventListener("click", () => setPaused(!paused));
$("ranges").addEventListener("change", ({ target }) => {
  remember({ range: Number(target.value) });
  chart.setRange(prefs.range);
});
$("choose").addEventListener("click", async () => {
  let all = [...market.series.keys()];
  try {
    all = (await client.get("/prices")).data.map(({ symbol }) => symbol);
  } catch {
    // Offer those already known.
  }
  const chosen = await chooseSymbols(all.sort(), prefs.chosen);
  if (chosen === undefined || !client) return;
  remember({ chosen });
  for (const symbol of market.series.keys()) {
    if (chosen && !chosen.includes(symbol)) market.series.delete(symbol);
  }
  board.sync();
  subscribe();
});
document.addEventListener("visibilitychange", () => {
  if (!client) return;
  market.countGaps(false);
  subscribe();
  if (!hidden()) everySecond();
});
setInterval(everySecond, SECOND_MS);

for (const input of document.querySelectorAll("[name=range]")) {
  input.checked = Number(input.value) === prefs.range;
}
const remembered = key.get();
if (remembered) start({ apiKey: remembered });
else signIn.show();
