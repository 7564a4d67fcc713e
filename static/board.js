/**
 * The board: one row per symbol. Only rows on screen are drawn, and only text that changed is
 * written; order and slow columns follow once a second, so that the eye can too.
 */

import * as format from "./format.js";
import { prefs, remember } from "./prefs.js";

const SPARK_STEPS = 300;
const SPARK_EVERY = 3; // seconds between two points of a sparkline
const SPARK_WIDTH = 100;
const SPARK_HEIGHT = 24;
const SVG = "http://www.w3.org/2000/svg";
const ARROWS = { "-1": "▼", 0: "", 1: "▲" };

const COLUMNS = [
  { id: "symbol", label: "Symbol", value: (s) => s.symbol },
  { id: "price", label: "Price", value: (s) => s.price },
  { id: "opened", label: "Change", title: "since the page opened", value: (s) => s.changeSince() },
  { id: "minute", label: "1 m", title: "over one minute", value: (s) => s.changeSince(60) },
  { id: "five", label: "5 m", title: "over five minutes", value: (s) => s.changeSince(300) },
  { id: "spark", label: "Last 5 m" },
  { id: "age", label: "Age", title: "age of the price", value: (s) => -s.timestamp },
];

const $ = (id) => document.getElementById(id);

const element = (tag, className, role) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (role) made.setAttribute("role", role);
  return made;
};

/** Write text where it changed. */
const write = (node, text) => {
  if (node.data !== text) node.data = text;
};

class Row {
  onScreen = false;

  constructor(series) {
    this.series = series;
    this.root = element("tr", "row", "row");
    this.root.dataset.symbol = series.symbol;
    const head = element("th", "symbol", "rowheader");
    head.scope = "row";
    this.button = element("button");
    this.button.type = "button";
    this.button.tabIndex = -1;
    const [base, ...quote] = series.symbol.split("-");
    const rest = element("span");
    rest.textContent = quote.length ? `-${quote.join("-")}` : "";
    this.button.append(base, rest);
    head.append(this.button);
    this.root.append(head);
    this.arrow = document.createTextNode("");
    const arrow = element("span", "arrow");
    arrow.setAttribute("aria-hidden", "true");
    arrow.append(this.arrow);
    this.price = this.#cell("price", arrow);
    this.opened = this.#cell("opened");
    this.minute = this.#cell("minute");
    this.five = this.#cell("five");
    this.spark = document.createElementNS(SVG, "path");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.spark);
    const spark = element("td", "spark", "cell");
    spark.append(svg);
    this.root.append(spark);
    this.age = this.#cell("age");
  }

  #cell(name, ...before) {
    const cell = element("td", name, "cell");
    const text = document.createTextNode("");
    cell.append(...before, text);
    this.root.append(cell);
    return text;
  }

  drawPrice() {
    this.series.learnDecimals();
    write(this.price, format.price(this.series.price, this.series.decimals));
  }

  drawDirection() {
    const direction = this.series.direction();
    write(this.arrow, ARROWS[direction]);
    this.price.parentNode.dataset.way = direction;
  }

  drawRest(nowMs) {
    const { series } = this;
    for (const [text, seconds] of [[this.opened, null], [this.minute, 60], [this.five, 300]]) {
      const ratio = series.changeSince(seconds);
      write(text, format.change(ratio));
      text.parentNode.dataset.way = Math.abs(ratio) < 0.00005 ? 0 : Math.sign(ratio) || 0;
    }
    write(this.age, format.age(nowMs / 1000 - series.timestamp));
    this.spark.setAttribute("d", sparkline(series.ring));
    this.spark.dataset.way = this.five.parentNode.dataset.way;
  }
}

/** The path of a ring's last five minutes in the sparkline's box. */
function sparkline(ring) {
  const points = [];
  let low = Infinity;
  let high = -Infinity;
  for (let back = SPARK_STEPS; back >= 0; back -= SPARK_EVERY) {
    const close = ring.closeAt(ring.last - back, SPARK_EVERY);
    if (Number.isNaN(close)) continue;
    points.push([(1 - back / SPARK_STEPS) * SPARK_WIDTH, close]);
    low = Math.min(low, close);
    high = Math.max(high, close);
  }
  const scale = high > low ? (SPARK_HEIGHT - 4) / (high - low) : 0;
  return points
    .map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${(SPARK_HEIGHT - 2 - (y - low) * scale).toFixed(1)}`)
    .join("");
}

/** Build the board; `onSelect(symbol)` is called when a row is chosen. */
export function createBoard(market, onSelect) {
  const rows = new Map();
  const body = $("rows");
  const filter = $("filter");
  let order = [];

  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = rows.get(target.dataset.symbol);
      if (row) row.onScreen = isIntersecting;
    }
    board.draw();
    board.drawSlow();
  });

  function sorted() {
    const column = COLUMNS.find(({ id, value }) => value && id === prefs.sort) ?? COLUMNS[0];
    const sign = prefs.descending ? -1 : 1;
    const text = filter.value.trim().toUpperCase();
    return [...rows.values()]
      .filter(({ series }) => series.symbol.includes(text))
      .map((row) => [row, column.value(row.series)])
      .sort(
        ([one, a], [two, b]) =>
          Number.isNaN(a) - Number.isNaN(b) ||
          (a < b ? -sign : a > b ? sign : 0) ||
          (one.series.symbol < two.series.symbol ? -1 : 1),
      )
      .map(([row]) => row);
  }

  /** Put the rows in order, moving as few as possible and keeping the focus. */
  function arrange() {
    const next = sorted();
    if (next.length === order.length && next.every((row, at) => row === order[at])) return;
    const focused = document.activeElement;
    const kept = new Set(next);
    for (const row of order) if (!kept.has(row)) row.root.remove();
    let at = body.firstChild;
    for (const { root } of next) {
      if (root === at) at = at.nextSibling;
      else body.insertBefore(root, at);
    }
    order = next;
    if (body.contains(focused)) focused.focus({ preventScroll: true });
    const total = rows.size;
    $("shown").textContent = next.length === total ? `${format.count(total)} symbols` : `${format.count(next.length)} of ${format.count(total)}`;
    $("empty").hidden = next.length > 0;
    $("empty").textContent = total ? "No symbol matches the filter." : "Waiting for prices…";
    ensureTabStop();
  }

  /** One row is in the tab order; the arrow keys reach the others. */
  function ensureTabStop(wanted = rows.get(prefs.symbol)) {
    const stop = order.includes(wanted) ? wanted : order[0];
    for (const row of order) row.button.tabIndex = row === stop ? 0 : -1;
  }

  function headings() {
    for (const { id, label, title, value } of COLUMNS) {
      const cell = element("th", id, "columnheader");
      cell.scope = "col";
      if (value) {
        const button = element("button");
        button.type = "button";
        button.textContent = label;
        if (title) button.title = title;
        button.addEventListener("click", () => {
          const same = prefs.sort === id;
          remember({ sort: id, descending: same ? !prefs.descending : id !== "symbol" });
          markSort();
          arrange();
        });
        cell.append(button);
      } else {
        cell.textContent = label;
      }
      $("columns").append(cell);
    }
    markSort();
  }

  function markSort() {
    COLUMNS.forEach(({ id, value }, at) => {
      if (!value) return;
      const way = prefs.descending ? "descending" : "ascending";
      $("columns").children[at].setAttribute("aria-sort", prefs.sort === id ? way : "none");
    });
  }

  const board = {
    /** Match the rows to the market's symbols, leaving out those not chosen. */
    sync() {
      const chosen = prefs.chosen && new Set(prefs.chosen);
      for (const [symbol, series] of market.series) {
        if (rows.has(symbol) || (chosen && !chosen.has(symbol))) continue;
        const row = new Row(series);
        rows.set(symbol, row);
        seen.observe(row.root);
        row.drawPrice();
      }
      for (const [symbol, row] of rows) {
        if (market.series.has(symbol) && (!chosen || chosen.has(symbol))) continue;
        seen.unobserve(row.root);
        rows.delete(symbol);
      }
      arrange();
    },

    /** What changes with every frame. */
    draw() {
      for (const row of rows.values()) if (row.onScreen) row.drawPrice();
    },

    /** Arrows, a few times a second: faster would only flicker. */
    drawDirections() {
      for (const row of rows.values()) if (row.onScreen) row.drawDirection();
    },

    /** What changes with every second. */
    drawSlow() {
      const nowMs = market.serverNow();
      for (const row of rows.values()) if (row.onScreen) row.drawRest(nowMs);
    },

    arrange,

    symbols: () => order.map(({ series }) => series.symbol),

    select(symbol) {
      for (const row of rows.values()) {
        const chosen = row.series.symbol === symbol;
        row.root.classList.toggle("chosen", chosen);
        row.button.setAttribute("aria-current", String(chosen));
      }
      ensureTabStop();
    },
  };

  body.addEventListener("click", ({ target }) => {
    const row = target.closest("tr");
    if (row) onSelect(row.dataset.symbol);
  });
  body.addEventListener("keydown", (event) => {
    const here = order.findIndex(({ button }) => button === document.activeElement);
    const there = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: order.length - 1 }[event.key];
    if (here < 0 || there === undefined || !order[there]) return;
    event.preventDefault();
    ensureTabStop(order[there]);
    order[there].button.focus();
  });
  filter.addEventListener("input", arrange);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Escape") filter.value = "";
    if (event.key === "Escape" || event.key === "Enter") arrange();
  });
  headings();
  return board;
}
