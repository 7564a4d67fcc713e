import { $, make, mark, obey, PriceText, write } from "./dom.js";
import { age, amount, change, count, since } from "./format.js";
import { isStarred, listed, toggleStar } from "./lists.js";
import { prefs, remember } from "./prefs.js";
import { market } from "./store.js";

const SPARE = 4;
const LEAST_SHOWN = 0.00005; // what is not written as 0.00%
const NAMES = {
	ADA: "Cardano", ATOM: "Cosmos", AVAX: "Avalanche", BCH: "Bitcoin Cash", BTC: "Bitcoin", DOGE: "Dogecoin",
	DOT: "Polkadot", ETH: "Ethereum", LINK: "Chainlink", LTC: "Litecoin", SHIB: "Shiba Inu", SOL: "Solana", TRX: "Tron",
	UNI: "Uniswap", XLM: "Stellar", XRP: "Ripple",
};

const changed = (label, title, value) => ({ label, title, value, write: change, marked: true });
const quoted = (label, value) => ({ label, value, write: (price, series) => series.write(price), priced: true });
const COLUMNS = {
	symbol: { label: "Symbol", value: ({ symbol }) => symbol },
	price: { label: "Price", value: ({ price }) => price },
	day: changed("24 h", "over 24 hours", ({ day }) => day),
	minute: changed("1 m", "over one minute", (series) => series.change(60)),
	five: changed("5 m", "over five minutes", (series) => series.change(300)),
	bid: quoted("Bid", ({ quote }) => quote.bid),
	ask: quoted("Ask", ({ quote }) => quote.ask),
	spread: quoted("Spread", ({ spread }) => spread),
	volume: { label: "Volume", value: ({ quote }) => quote.volume_24h, write: amount },
	spark: { label: "Last hour" },
	age: { label: "Age", value: ({ quote }) => -quote.timestamp },
};
const WRITTEN = Object.entries(COLUMNS).filter(([, { write }]) => write);

class Row {
	star = make("button", { className: "star", tabIndex: -1 });
	button = make("button", { tabIndex: -1, ariaKeyShortcuts: "s" }, "–", make("span"));
	root = make("tr", { role: "row" }, make("th", { className: "symbol", role: "rowheader" }, this.star, this.button));
	#arrow = make("span", { className: "arrow", ariaHidden: "true" });
	#drawn;

	constructor() {
		for (const name of Object.keys(COLUMNS).slice(1)) {
			const cell = make("td", { className: name, role: "cell" });
			this[name] = COLUMNS[name].priced ? new PriceText(cell) : cell;
			this.root.append(cell);
		}
		this.price.append(this.#arrow);
		this.value = new PriceText(this.price);
		this.spark.innerHTML = '<svg viewBox="0 -220 1000 240" preserveAspectRatio="none" aria-hidden="true"><path/></svg>';
		this.path = this.spark.querySelector("path");
	}

	show(series, nowMs) {
		this.series = series;
		this.root.dataset.symbol = series.symbol;
		const [base, quote] = series.symbol.split(/(?=-)/);
		this.button.firstChild.data = base;
		this.button.lastChild.textContent = quote;
		this.button.ariaCurrent = series.symbol === prefs.symbol;
		this.button.title = series.symbol;
		this.star.ariaLabel = `Star ${series.symbol}`;
		this.drawRest(nowMs);
	}

	/** A new quote as a whole, so that its figures agree. */
	drawQuote() {
		if (this.#drawn !== this.series.quote) this.#drawFigures();
	}

	#drawFigures() {
		const { series } = this;
		this.#drawn = series.quote;
		this.value.write(series.text());
		for (const [name, column] of WRITTEN) {
			const value = column.value(series);
			const text = column.write(value, series);
			if (column.priced) this[name].write(text);
			else write(this[name], text);
			if (column.marked) mark(this[name], Math.abs(value) >= LEAST_SHOWN && value);
		}
	}

	drawRest(nowMs) {
		const { series } = this;
		const { seconds, price, quote } = series;
		this.#drawFigures();
		const way = Math.sign(price - seconds.closeAt(seconds.last - 1)) || 0;
		write(this.#arrow, ["▼", "", "▲"][way + 1]);
		mark(this.#arrow, way);
		this.root.toggleAttribute("data-stale", !series.live);
		this.star.ariaPressed = isStarred(series.symbol);
		this.day.title = since(quote.since);
		write(this.age, age(nowMs / 1000 - quote.timestamp));
		const points = series.points();
		this.path.setAttribute("d", sparkline(points));
		mark(this.path, points.at(-1)?.[1] - points[0]?.[1]);
	}
}

function sparkline(points) {
	// In the units of its box.
	const [across, up] = [1000, 200].map((size, axis) => {
		const values = points.map((point) => point[axis]);
		const [low, high] = [Math.min(...values), Math.max(...values)];
		return values.map((value) => Math.round((size * (value - low)) / (high - low || 1)));
	});
	return across.map((x, at) => `${at ? "L" : "M"}${x} ${-up[at]}`).join("");
}

/** How well a symbol or its name fits; 0 is best, infinity not at all. */
function rank(symbol, wanted) {
	if (!wanted) return 0;
	const [base, quote = ""] = symbol.split("-");
	const fits = (text) => (text === wanted ? 0 : text.startsWith(wanted) ? 1 : text.includes(wanted) ? 2 : Infinity);
	const best = Math.min(...[base + quote, base, plain(NAMES[base] ?? "")].map(fits));
	return best + (quote.startsWith("USD") ? 0 : 0.5); // most mean the coin in dollars
}

function byValue({ value: a, symbol: one }, { value: b, symbol: two }) {
	const sign = prefs.descending ? -1 : 1;
	const missing = (value) => value == null || Number.isNaN(value);
	return missing(a) - missing(b) || (a < b ? -sign : a > b ? sign : one < two ? -1 : 1);
}

export const on = { select() {} };
export const known = new Map();
const rows = new Map();
const body = $("rows");
const scroller = body.closest(".scroll");
const filter = $("filter");
let order = [];
let first = 0;
let height = 36;
let hovered = false;
let placing = 0;

const plain = (text) => text.toUpperCase().replace(/[\s/-]+/g, "");
export const typed = () => plain(filter.value);
/** The pointer or the keyboard is on a row: the order stays. */
const holding = () => hovered || Boolean(body.querySelector(":focus-visible"));

function sorted() {
	const wanted = typed();
	const value = COLUMNS[prefs.sort]?.value ?? COLUMNS.symbol.value;
	return [...known.values()]
		.map((series) => ({ series, symbol: series.symbol, rank: rank(series.symbol, wanted), value: value(series) }))
		.filter(({ rank }) => rank < Infinity)
		.sort((one, two) => one.rank - two.rank || byValue(one, two))
		.map(({ series }) => series);
}

/** One row is in the tab order; the arrow keys reach the others. */
function setTabStop(symbol) {
	const stop = rows.get(symbol) ?? rows.get(order[first]?.symbol);
	rows.forEach((row) => (row.button.tabIndex = row === stop ? 0 : -1));
}

function place(about) {
	placing = 0;
	const { top } = body.getBoundingClientRect();
	const frame = scroller.getBoundingClientRect();
	const seen = [Math.max(0, frame.top), Math.min(innerHeight, frame.bottom)].map((edge) => (edge - top) / height);
	const [from, to] = about === undefined ? seen : [about, about + 1];
	first = Math.max(0, Math.min(order.length - 1, Math.floor(from)) - SPARE);
	const shown = order.slice(first, Math.max(first, Math.ceil(to)) + SPARE);
	const stay = new Set(shown.map(({ symbol }) => symbol));
	const spare = [...rows.values()].filter(({ series }) => !stay.has(series.symbol));
	const nowMs = market.serverNow();
	for (const { series, root } of spare) {
		rows.delete(series.symbol);
		root.querySelector(":focus")?.blur(); // not for the symbol that it shows next
	}
	const focused = document.activeElement;
	let next = body.firstChild;
	for (const [at, series] of shown.entries()) {
		let row = rows.get(series.symbol);
		if (!row) {
			row = spare.pop() ?? new Row();
			if (next === row.root) next = next.nextSibling;
			row.show(series, nowMs);
			rows.set(series.symbol, row);
		}
		row.root.ariaRowIndex = first + at + 2;
		if (row.root === next) next = next.nextSibling;
		else body.insertBefore(row.root, next);
	}
	for (const { root } of spare) root.remove();
	body.style.paddingTop = `${first * height}px`;
	body.style.paddingBottom = `${(order.length - first - shown.length) * height}px`;
	if (body.contains(focused)) focused.focus({ preventScroll: true });
	else setTabStop(prefs.symbol);
}

export function measure() {
	height = body.firstElementChild?.offsetHeight || height;
	place();
}

export function sync(hold = holding()) {
	const young = !known.size;
	const list = typed() ? market.symbols : (listed() ?? market.series.keys());
	known.clear();
	for (const symbol of list) {
		const series = typed() ? market.of(symbol) : market.series.get(symbol);
		if (series?.price || typed()) known.set(symbol, series);
	}
	arrange(hold);
	if (young) measure();
}

export function arrange(hold = holding()) {
	const found = new Set(sorted());
	// What is held loses what is gone, and gets what is new at its end.
	const next = hold ? [...new Set([...order, ...found])].filter((series) => found.has(series)) : [...found];
	const note = hold && prefs.sort !== "symbol" ? ", order held" : "";
	write($("shown"), `${count(next.length)} of ${count(known.size)} symbols${note}`);
	const none = listed()?.length === 0 ? "Stars (or the key s) put symbols on this list." : "Waiting for prices…";
	write($("empty"), next.length ? "" : typed() ? "No such symbol." : none);
	if (next.length === order.length && next.every((series, at) => series === order[at])) return;
	order = next;
	scroller.firstElementChild.ariaRowCount = order.length + 1;
	place();
}

function reveal(at) {
	const { symbol } = order[at];
	if (!rows.has(symbol)) place(at);
	setTabStop(symbol);
	rows.get(symbol).button.focus();
}

const headings = Object.entries(COLUMNS).map(([id, { label, title = "", value }]) => {
	const sort = () => {
		remember({ sort: id, descending: prefs.sort === id ? !prefs.descending : id !== "symbol" });
		drawSorting();
		arrange(false);
	};
	const content = value ? make("button", { title, onclick: sort }, label) : label;
	return make("th", { className: id, role: "columnheader" }, content);
});

function drawSorting() {
	const way = prefs.descending ? "descending" : "ascending";
	for (const cell of headings) cell.ariaSort = cell.className === prefs.sort ? way : "none";
}

export const draw = () => rows.forEach((row) => row.drawQuote());

export function drawSlow() {
	const nowMs = market.serverNow();
	rows.forEach((row) => row.drawRest(nowMs));
	const quotes = [...known.values()].map(({ quote }) => quote);
	scroller.toggleAttribute("data-quotes", quotes.some(({ bid, volume_24h: volume }) => bid ?? volume));
	const young = quotes.length && Math.min(...quotes.map(({ since }) => since ?? 0));
	write(headings.find(({ className }) => className === "day").firstChild, since(young) || COLUMNS.day.label);
}

export function showCharted() {
	for (const [symbol, { button }] of rows) button.ariaCurrent = symbol === prefs.symbol;
	setTabStop(prefs.symbol);
}

export function search(text) {
	filter.value = text;
	scroller.scrollTop = 0;
	sync(false);
}

function select(symbol) {
	if (typed()) search("");
	on.select(symbol);
}

function star(symbol) {
	toggleStar(symbol);
	drawSlow();
}

const symbolOf = ({ target }) => target.closest("tr").dataset.symbol;

body.onclick = (event) => (event.target.closest(".star") ? star : select)(symbolOf(event));
body.onkeydown = (event) => {
	const symbol = symbolOf(event);
	const here = order.findIndex((series) => series.symbol === symbol);
	const to = (at) => order[at] && (() => reveal(at));
	const starred = !event.ctrlKey && !event.metaKey && (() => star(symbol));
	obey(event, { s: starred, ArrowDown: to(here + 1), ArrowUp: to(here - 1), Home: to(0), End: to(order.length - 1) });
};
filter.oninput = () => search(filter.value);
filter.onkeydown = (event) => {
	const found = order.length && { ArrowDown: () => reveal(0), Enter: () => select(order[0].symbol) };
	obey(event, { ...found, Escape: () => (filter.value ? search("") : filter.blur()) });
};
addEventListener("scroll", () => (placing ||= requestAnimationFrame(() => place())), { capture: true, passive: true });
addEventListener("resize", measure);
// A finger holds nothing.
body.onpointerenter = ({ pointerType }) => (hovered = pointerType !== "touch");
body.onpointerleave = () => (hovered = false);
$("columns").append(...headings);
drawSorting();
