/** The board: a row per symbol, of which only those on screen exist; the others are room above and below. */

import { $, mark, PriceText, write } from "./dom.js";
import * as format from "./format.js";
import { isStarred, listed, toggleStar } from "./lists.js";
import { prefs, remember } from "./prefs.js";

const SPARK = [1000, 200]; // the units of its box
const SPARE = 4; // rows kept ready beyond the edge of the screen
const LEAST_SHOWN = 0.00005; // what is not written as 0.00%
const ARROWS = ["▼", "", "▲"];
const NAMES = {
	ADA: "Cardano", ATOM: "Cosmos", AVAX: "Avalanche", BCH: "Bitcoin Cash", BTC: "Bitcoin", DOGE: "Dogecoin",
	DOT: "Polkadot", ETH: "Ethereum", LINK: "Chainlink", LTC: "Litecoin", SHIB: "Shiba Inu", SOL: "Solana", TRX: "Tron",
	UNI: "Uniswap", XLM: "Stellar", XRP: "XRP Ripple",
};

const cloned = (id) => $(id).content.firstElementChild.cloneNode(true);
const change = (label, title, value) => ({ label, title, value, write: format.change, marked: true });
const quoted = (label, title, value) => ({ label, title, value, write: (price, series) => series.write(price), priced: true });

const COLUMNS = {
	symbol: { label: "Symbol", value: ({ symbol }) => symbol },
	price: { label: "Price", value: ({ price }) => price },
	day: change("24 h", "over 24 hours", ({ day }) => day),
	minute: change("1 m", "over one minute", (series) => series.change(60)),
	five: change("5 m", "over five minutes", (series) => series.change(300)),
	bid: quoted("Bid", "the best bid", ({ quote }) => quote.bid),
	ask: quoted("Ask", "the best ask", ({ quote }) => quote.ask),
	spread: quoted("Spread", "from bid to ask", ({ spread }) => spread),
	volume: { label: "Volume", title: "traded in 24 hours", value: ({ quote }) => quote.volume_24h, write: format.amount },
	spark: { label: "Last hour" },
	age: { label: "Age", title: "age of the price", value: ({ quote }) => -quote.timestamp },
};
const WRITTEN = Object.entries(COLUMNS).filter(([, { write }]) => write);

class Row {
	root = cloned("row");

	constructor() {
		for (const name of Object.keys(COLUMNS).slice(1)) {
			const cell = Object.assign(document.createElement("td"), { className: name, role: "cell" });
			this[name] = COLUMNS[name].priced ? new PriceText(cell) : cell;
			this.root.append(cell);
		}
		[this.star, this.button] = this.root.querySelectorAll("button");
		this.price.append((this.arrow = cloned("arrow")));
		this.value = new PriceText(this.price);
		this.spark.append(cloned("spark"));
		this.path = this.spark.querySelector("path");
	}

	/** Show this symbol from now on. */
	show(series, nowMs) {
		this.series = series;
		this.root.dataset.symbol = series.symbol;
		const [base, quote] = series.symbol.split(/(?=-)/);
		this.button.firstChild.data = base;
		this.button.lastChild.textContent = quote ?? "";
		this.button.setAttribute("aria-current", series.symbol === prefs.symbol);
		this.star.ariaLabel = `Star ${series.symbol}`;
		this.drawPrice();
		this.drawRest(nowMs);
	}

	drawPrice() {
		this.value.write(this.series.text());
	}

	drawRest(nowMs) {
		const { series } = this;
		const { seconds, price, quote } = series;
		const way = Math.sign(price - seconds.closeAt(seconds.last - 1)) || 0;
		write(this.arrow, ARROWS[way + 1]);
		mark(this.arrow, way);
		this.root.toggleAttribute("data-stale", Boolean(series.stale));
		this.star.ariaPressed = isStarred(series.symbol);
		for (const [name, column] of WRITTEN) {
			const value = column.value(series);
			const text = column.write(value, series);
			if (column.priced) this[name].write(text);
			else write(this[name], text);
			if (column.marked) mark(this[name], Math.abs(value) >= LEAST_SHOWN && value);
		}
		this.day.title = format.since(quote.since);
		write(this.age, format.age(nowMs / 1000 - quote.timestamp));
		const points = series.points();
		this.path.setAttribute("d", sparkline(points));
		mark(this.path, points.at(-1)?.[1] - points[0]?.[1]);
	}
}

function sparkline(points) {
	const place = (axis) => {
		const values = points.map((point) => point[axis]);
		const [low, high] = [Math.min(...values), Math.max(...values)];
		return values.map((value) => Math.round((SPARK[axis] * (value - low)) / (high - low || 1)));
	};
	const [across, up] = [place(0), place(1)];
	return across.map((x, at) => `${at ? "L" : "M"}${x} ${-up[at]}`).join("");
}

/** How well a symbol fits what was typed: exactly, by its start or name, by a part's start, within, or not. */
function rank(symbol, wanted) {
	if (!wanted || symbol === wanted) return 0;
	const at = symbol.indexOf(wanted);
	const name = NAMES[symbol.split("-")[0]]?.toUpperCase().replace(" ", "-");
	if (at === 0 || name?.startsWith(wanted)) return 1;
	return at < 0 ? Infinity : symbol[at - 1] === "-" ? 2 : 3;
}

/** In order of their values, ascending or not, what has none last. */
function byValue({ value: a, symbol: one }, { value: b, symbol: two }) {
	const sign = prefs.descending ? -1 : 1;
	const missing = (value) => value == null || Number.isNaN(value);
	return missing(a) - missing(b) || (a < b ? -sign : a > b ? sign : one < two ? -1 : 1);
}

/** Build the board of a market; `on.symbols()` are all there are, `on.select(symbol)` takes a chosen one, `on.star()` a star. */
export function createBoard(market, on) {
	const known = new Map(); // every symbol on the board: its series
	const rows = new Map(); // those on screen: their rows
	const body = $("rows");
	const scroller = body.closest(".scroll");
	const filter = $("filter");
	let order = []; // of all the series that pass the filter
	let first = 0; // the place of the topmost row that exists
	let height = 36; // of a row
	let held = false; // the pointer is over a row, which is not to be moved away under it
	let placing = 0;

	const typed = () => filter.value.trim().toUpperCase().replace(/[\s/]+/g, "-");

	function sorted() {
		const wanted = typed();
		const { value } = COLUMNS[prefs.sort] ?? COLUMNS.symbol;
		return [...known.values()]
			.map((series) => ({ series, symbol: series.symbol, rank: rank(series.symbol, wanted), value: value(series) }))
			.filter(({ rank }) => rank < Infinity)
			.sort((one, two) => one.rank - two.rank || byValue(one, two))
			.map(({ series }) => series);
	}

	/** The order as it stands, without what is gone, what is new last. */
	function kept() {
		const places = new Map(order.map((series, at) => [series, at]));
		const place = (series) => places.get(series) ?? order.length;
		return sorted().sort((one, two) => place(one) - place(two));
	}

	/** One row is in the tab order; the arrow keys reach the others. */
	function setTabStop(symbol) {
		const stop = rows.get(symbol) ?? rows.get(order[first]?.symbol);
		rows.forEach((row) => (row.button.tabIndex = row === stop ? 0 : -1));
	}

	/** Let exactly the rows exist that can be seen, or those about a place, in their order, keeping the focus. */
	function place(about) {
		placing = 0;
		const { top } = body.getBoundingClientRect();
		const frame = scroller.getBoundingClientRect();
		const seen = [Math.max(0, frame.top), Math.min(innerHeight, frame.bottom)].map((edge) => (edge - top) / height);
		const [from, to] = about === undefined ? seen : [about, about + 1];
		first = Math.max(0, Math.min(order.length - 1, Math.floor(from)) - SPARE);
		const shown = order.slice(first, Math.max(first, Math.ceil(to)) + SPARE);
		const stay = new Set(shown.map(({ symbol }) => symbol));
		const spare = [...rows].filter(([symbol]) => !stay.has(symbol));
		const nowMs = market.serverNow();
		const focused = document.activeElement;
		for (const [symbol] of spare) rows.delete(symbol);
		let next = body.firstChild;
		for (const [at, series] of shown.entries()) {
			let row = rows.get(series.symbol);
			if (!row) {
				row = spare.pop()?.[1] ?? new Row();
				if (next === row.root) next = next.nextSibling;
				row.show(series, nowMs);
				rows.set(series.symbol, row);
			}
			row.root.ariaRowIndex = first + at + 2;
			if (row.root === next) next = next.nextSibling;
			else body.insertBefore(row.root, next);
		}
		for (const [, { root }] of spare) root.remove();
		body.style.paddingTop = `${first * height}px`;
		body.style.paddingBottom = `${(order.length - first - shown.length) * height}px`;
		if (body.contains(focused)) focused.focus({ preventScroll: true });
		else setTabStop(prefs.symbol);
	}

	/** A row's height depends on the width of the page and the density. */
	function measure() {
		height = body.firstElementChild?.offsetHeight || height;
		place();
	}

	/** Follow the market's symbols: those of the list, or all of them while something is searched for. */
	function sync(hold = held) {
		const young = !known.size;
		const list = typed() ? on.symbols() : (listed() ?? market.series.keys());
		known.clear();
		for (const symbol of list) {
			const series = market.of(symbol);
			if (series.price || typed()) known.set(symbol, series);
		}
		arrange(hold);
		if (young) measure();
	}

	function arrange(hold = held) {
		const next = hold ? kept() : sorted();
		const note = hold && prefs.sort !== "symbol" ? ", order held" : "";
		write($("shown"), `${format.count(next.length)} of ${format.count(known.size)} symbols${note}`);
		const none = typed() ? "No such symbol." : listed()?.length === 0 ? "Stars (or the key s) put symbols on this list." : "Waiting for prices…";
		write($("empty"), next.length ? "" : none);
		if (next.length === order.length && next.every((series, at) => series === order[at])) return;
		order = next;
		scroller.firstElementChild.ariaRowCount = order.length + 1;
		place();
	}

	/** Put the focus on a row, whether it exists or not; the browser scrolls to what has the focus. */
	function reveal(at) {
		const { symbol } = order[at];
		if (!rows.has(symbol)) place(at);
		setTabStop(symbol);
		rows.get(symbol).button.focus();
	}

	const headings = Object.entries(COLUMNS).map(([id, { label, title = "", value }]) => {
		const cell = Object.assign(document.createElement("th"), { className: id, role: "columnheader" });
		if (!value) cell.textContent = label;
		else cell.append(Object.assign(document.createElement("button"), { textContent: label, title, onclick: () => sort(id) }));
		return cell;
	});

	function sort(id) {
		remember({ sort: id, descending: prefs.sort === id ? !prefs.descending : id !== "symbol" });
		drawSorting();
		arrange(false);
	}

	function drawSorting() {
		const way = prefs.descending ? "descending" : "ascending";
		for (const cell of headings) cell.ariaSort = cell.className === prefs.sort ? way : "none";
	}

	/** What need not be drawn at each frame: faster, it would be flicker. */
	function drawSlow() {
		const nowMs = market.serverNow();
		rows.forEach((row) => row.drawRest(nowMs));
		const quotes = [...known.values()].map(({ quote }) => quote);
		scroller.toggleAttribute("data-quotes", quotes.some(({ bid, volume_24h: volume }) => bid ?? volume));
		const young = quotes.length && quotes.every(({ since }) => since) && Math.min(...quotes.map(({ since }) => since));
		write(headings.find(({ className }) => className === "day").firstChild, format.since(young) || COLUMNS.day.label);
	}

	function search(text) {
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
		on.star();
	}

	body.onclick = ({ target }) => {
		const { symbol } = target.closest("tr").dataset;
		if (target.closest(".star")) star(symbol);
		else select(symbol);
	};
	body.onkeydown = (event) => {
		const { symbol } = event.target.closest("tr").dataset;
		if (event.key === "s" && !event.ctrlKey && !event.metaKey) return star(symbol);
		const here = order.findIndex((series) => series.symbol === symbol);
		const at = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: order.length - 1 }[event.key];
		if (!order[at]) return;
		event.preventDefault();
		reveal(at);
	};
	filter.oninput = () => search(filter.value);
	filter.onkeydown = (event) => {
		const act = { ArrowDown: () => reveal(0), Enter: () => select(order[0].symbol), Escape: () => search("") }[event.key];
		if (!act || (event.key !== "Escape" && !order.length)) return;
		event.preventDefault();
		act();
	};
	addEventListener("scroll", () => (placing ||= requestAnimationFrame(() => place())), { capture: true, passive: true });
	addEventListener("resize", measure);
	// A finger holds nothing.
	body.onpointerenter = ({ pointerType }) => (held = pointerType !== "touch");
	body.onpointerleave = () => (held = false);
	$("columns").append(...headings);
	drawSorting();

	return {
		sync,
		arrange,
		measure,
		drawSlow,
		known, // by symbol

		draw: () => rows.forEach((row) => row.drawPrice()),

		select(symbol) {
			for (const [name, { button }] of rows) button.setAttribute("aria-current", name === symbol);
			setTabStop(symbol);
		},
	};
}
