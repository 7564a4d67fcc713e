/** The board: a row per symbol, of which only those on screen exist; the others are room above and below. */

import { $, PriceText, mark, write } from "./dom.js";
import * as format from "./format.js";
import { prefs, remember } from "./prefs.js";

const SPARK = { seconds: 300, every: 3, width: 100, height: 24, margin: 2 };
const SPARE = 4; // rows kept ready beyond the edge of the screen
const LEAST_SHOWN = 0.00005; // what is not written as 0.00%
const ARROWS = ["▼", "", "▲"];

const COLUMNS = {
	symbol: { label: "Symbol", value: (series) => series.symbol },
	price: { label: "Price", value: (series) => series.price },
	opened: { label: "Change", title: "since the page opened", value: (series) => series.change() },
	minute: { label: "1 m", title: "over one minute", value: (series) => series.change(60) },
	five: { label: "5 m", title: "over five minutes", value: (series) => series.change(300) },
	spark: { label: "Last 5 m" },
	age: { label: "Age", title: "age of the price", value: (series) => -series.timestamp },
};

class Row {
	constructor() {
		this.root = $("row").content.firstElementChild.cloneNode(true);
		this.button = this.root.querySelector("button");
		for (const name of ["arrow", "opened", "minute", "five", "age", "path"]) {
			this[name] = this.root.querySelector(`.${name}`);
		}
		this.price = new PriceText(this.root.querySelector(".price"));
	}

	/** Show this symbol from now on. */
	show(series, nowMs) {
		this.series = series;
		this.root.dataset.symbol = series.symbol;
		const [base, quote] = series.symbol.split(/(?=-)/);
		this.button.firstChild.data = base;
		this.button.lastChild.textContent = quote ?? "";
		this.button.setAttribute("aria-current", series.symbol === prefs.symbol);
		this.drawPrice();
		this.drawArrow();
		this.drawRest(nowMs);
	}

	drawPrice() {
		this.price.write(this.series.text());
	}

	/** Which way the price went within the last second or so. */
	drawArrow() {
		const { ring, price } = this.series;
		const way = Math.sign(price - ring.closeAt(ring.last - 1)) || 0;
		write(this.arrow, ARROWS[way + 1]);
		mark(this.arrow, way);
	}

	drawRest(nowMs) {
		this.root.toggleAttribute("data-stale", Boolean(this.series.stale));
		for (const name of ["opened", "minute", "five"]) {
			const ratio = COLUMNS[name].value(this.series);
			write(this[name], format.change(ratio));
			mark(this[name], Math.abs(ratio) >= LEAST_SHOWN && ratio);
		}
		write(this.age, format.age(nowMs / 1000 - this.series.timestamp));
		this.path.setAttribute("d", sparkline(this.series.ring));
		mark(this.path, this.five.dataset.way);
	}
}

function sparkline(ring) {
	const { seconds, every, width, height, margin } = SPARK;
	const points = [];
	for (let back = seconds; back >= 0; back -= every) {
		const close = ring.closeAt(ring.last - back, every);
		if (!Number.isNaN(close)) points.push([(1 - back / seconds) * width, close]);
	}
	const closes = points.map(([, close]) => close);
	const low = Math.min(...closes);
	const scale = (height - 2 * margin) / (Math.max(...closes) - low || 1);
	const steps = points.map(([x, y]) => `${x} ${(height - margin - (y - low) * scale).toFixed(1)}`);
	return steps.length ? `M${steps.join("L")}` : "";
}

/** Build the board of a market; `onSelect(symbol)` is called when a row is chosen. */
export function createBoard(market, onSelect) {
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

	const each = (action) => rows.forEach(action);

	function sorted() {
		const { value } = COLUMNS[prefs.sort] ?? COLUMNS.symbol;
		const sign = prefs.descending ? -1 : 1;
		const wanted = filter.value.trim().toUpperCase();
		return [...known.values()]
			.filter(({ symbol }) => symbol.includes(wanted))
			.map((series) => [value(series), series])
			.sort(([a, one], [b, two]) => {
				const order = a < b ? -sign : a > b ? sign : one.symbol < two.symbol ? -1 : 1;
				return Number.isNaN(a) - Number.isNaN(b) || order;
			})
			.map(([, series]) => series);
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
		for (const row of rows.values()) row.button.tabIndex = row === stop ? 0 : -1;
	}

	/** Let exactly the rows exist that can be seen, in their order, keeping the focus. */
	function place() {
		placing = 0;
		const { top } = body.getBoundingClientRect();
		const frame = scroller.getBoundingClientRect();
		const [from, to] = [Math.max(0, frame.top), Math.min(innerHeight, frame.bottom)];
		first = Math.max(0, Math.min(order.length - 1, Math.floor((from - top) / height)) - SPARE);
		const shown = order.slice(first, Math.max(first + SPARE, Math.ceil((to - top) / height) + SPARE));
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

	const placeSoon = () => (placing ||= requestAnimationFrame(place));

	/** How high a row is depends on the width of the page and the density. */
	function measure() {
		height = body.firstElementChild?.offsetHeight || height;
		place();
	}

	/** Put everything in order. */
	function arrange({ hold = held } = {}) {
		const next = hold ? kept() : sorted();
		const note = hold && prefs.sort !== "symbol" ? ", order held" : "";
		write($("shown"), `${format.count(next.length)} of ${format.count(known.size)} symbols${note}`);
		write($("empty"), next.length ? "" : known.size ? "No symbol matches." : "Waiting for prices…");
		if (next.length === order.length && next.every((series, at) => series === order[at])) return;
		order = next;
		scroller.firstElementChild.ariaRowCount = order.length + 1;
		place();
	}

	/** Bring a row onto the screen. */
	function reveal(at) {
		place();
		const { top } = body.getBoundingClientRect();
		const frame = scroller.getBoundingClientRect();
		const [from, to] = [Math.max(0, frame.top) + height, Math.min(innerHeight, frame.bottom) - height];
		const above = top + at * height - from;
		const below = top + (at + 1) * height - to;
		const by = above < 0 ? above : below > 0 ? below : 0;
		if (scroller.scrollHeight > scroller.clientHeight) scroller.scrollBy(0, by);
		else scrollBy(0, by);
		place();
	}

	function drawHeadings() {
		const cells = Object.entries(COLUMNS).map(([id, { label, title, value }]) => {
			const cell = document.createElement("th");
			cell.className = id;
			cell.setAttribute("role", "columnheader");
			cell.textContent = value ? "" : label;
			if (!value) return cell;
			const way = prefs.descending ? "descending" : "ascending";
			cell.setAttribute("aria-sort", prefs.sort === id ? way : "none");
			const button = document.createElement("button");
			Object.assign(button, { type: "button", textContent: label, title: title ?? "" });
			button.onclick = () => {
				const descending = prefs.sort === id ? !prefs.descending : id !== "symbol";
				remember({ sort: id, descending });
				drawHeadings();
				arrange({ hold: false });
				$("columns").querySelector(`.${id} button`).focus();
			};
			cell.append(button);
			return cell;
		});
		$("columns").replaceChildren(...cells);
	}

	const board = {
		/** Follow the market's symbols, leaving out those not chosen. */
		sync() {
			const young = !known.size;
			known.clear();
			for (const [symbol, series] of market.series) {
				if (prefs.chosen?.includes(symbol) ?? true) known.set(symbol, series);
			}
			arrange();
			if (young) measure();
		},

		/** For each frame; arrows only now and then, for faster would be flicker. */
		draw: () => each((row) => row.drawPrice()),
		drawArrows: () => each((row) => row.drawArrow()),

		/** For each second. */
		drawSlow() {
			const nowMs = market.serverNow();
			each((row) => row.drawRest(nowMs));
		},

		arrange,
		measure,
		known, // by symbol

		select(symbol) {
			for (const [name, { button }] of rows) button.setAttribute("aria-current", name === symbol);
			setTabStop(symbol);
		},

		close() {
			known.clear();
			arrange({ hold: false });
			removeEventListener("scroll", placeSoon, true);
			removeEventListener("resize", measure);
		},
	};

	body.onclick = ({ target }) => onSelect(target.closest("tr").dataset.symbol);
	body.onkeydown = (event) => {
		const symbol = document.activeElement.closest("tr")?.dataset.symbol;
		const here = order.findIndex((series) => series.symbol === symbol);
		const keys = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: order.length - 1 };
		const wanted = order[keys[event.key]]?.symbol;
		if (!wanted) return;
		event.preventDefault();
		reveal(keys[event.key]);
		setTabStop(wanted);
		rows.get(wanted)?.button.focus();
	};
	addEventListener("scroll", placeSoon, { capture: true, passive: true });
	addEventListener("resize", measure);
	// A finger holds nothing.
	body.onpointerenter = ({ pointerType }) => (held = pointerType !== "touch");
	body.onpointerleave = () => (held = false);
	filter.oninput = () => {
		scroller.scrollTop = 0;
		arrange({ hold: false });
	};
	drawHeadings();
	return board;
}
