/**
 * The board: a row per symbol. Only rows on screen are drawn, and only text that changed is
 * written. Order, changes and sparklines follow once a second, so that the eye can too.
 */

import { $, PriceText, mark, write } from "./dom.js";
import * as format from "./format.js";
import { prefs, remember } from "./prefs.js";

const SPARK = { seconds: 300, every: 3, width: 100, height: 24, margin: 2 };
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
	onScreen = false;

	constructor(series) {
		this.series = series;
		this.root = $("row").content.firstElementChild.cloneNode(true);
		this.root.dataset.symbol = series.symbol;
		this.button = this.root.querySelector("button");
		const [base, quote] = series.symbol.split(/(?=-)/);
		this.button.firstChild.data = base;
		this.button.lastChild.textContent = quote ?? "";
		for (const name of ["arrow", "opened", "minute", "five", "age", "path"]) {
			this[name] = this.root.querySelector(`.${name}`);
		}
		this.price = new PriceText(this.root.querySelector(".price"));
		this.drawPrice();
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
	const rows = new Map();
	const body = $("rows");
	const filter = $("filter");
	let order = [];
	let held = false; // the pointer is over a row, which is not to be moved away under it

	const each = (action) => {
		for (const row of rows.values()) if (row.onScreen) action(row);
	};

	const observer = new IntersectionObserver((entries) => {
		for (const { target, isIntersecting } of entries) {
			const row = rows.get(target.dataset.symbol);
			if (row) row.onScreen = isIntersecting;
		}
		board.draw();
		board.drawSlow();
	});

	function sorted() {
		const { value } = COLUMNS[prefs.sort] ?? COLUMNS.symbol;
		const sign = prefs.descending ? -1 : 1;
		const wanted = filter.value.trim().toUpperCase();
		return [...rows.values()]
			.filter(({ series }) => series.symbol.includes(wanted))
			.sort(({ series: one }, { series: two }) => {
				const [a, b] = [value(one), value(two)];
				const order = a < b ? -sign : a > b ? sign : one.symbol < two.symbol ? -1 : 1;
				return Number.isNaN(a) - Number.isNaN(b) || order;
			});
	}

	/** One row is in the tab order; the arrow keys reach the others. */
	function setTabStop(row) {
		const stop = order.includes(row) ? row : order[0];
		for (const { button } of order) button.tabIndex = button === stop?.button ? 0 : -1;
	}

	/** The rows as they stand, without those that are gone, the new ones last. */
	function kept() {
		const places = new Map(order.map((row, at) => [row, at]));
		const place = (row) => places.get(row) ?? order.length;
		return sorted().sort((one, two) => place(one) - place(two));
	}

	/** Put the rows in order, moving few of them and keeping the focus. */
	function arrange({ hold = held } = {}) {
		const next = hold ? kept() : sorted();
		const note = hold && prefs.sort !== "symbol" ? ", order held" : "";
		write($("shown"), `${format.count(next.length)} of ${format.count(rows.size)} symbols${note}`);
		write($("empty"), next.length ? "" : rows.size ? "No symbol matches." : "Waiting for prices…");
		if (next.length === order.length && next.every((row, at) => row === order[at])) return;
		const focused = document.activeElement;
		const stay = new Set(next);
		for (const row of order) if (!stay.has(row)) row.root.remove();
		let at = body.firstChild;
		for (const { root } of next) {
			if (root === at) at = at.nextSibling;
			else body.insertBefore(root, at);
		}
		order = next;
		if (body.contains(focused)) focused.focus({ preventScroll: true });
		else setTabStop(rows.get(prefs.symbol));
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
			const wanted = (symbol) => market.series.has(symbol) && (prefs.chosen?.includes(symbol) ?? true);
			for (const [symbol, series] of market.series) {
				if (rows.has(symbol) || !wanted(symbol)) continue;
				const row = new Row(series);
				rows.set(symbol, row);
				observer.observe(row.root);
			}
			for (const [symbol, { root }] of rows) {
				if (wanted(symbol)) continue;
				observer.unobserve(root);
				rows.delete(symbol);
			}
			arrange();
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
		rows, // by symbol

		select(symbol) {
			for (const { series, button } of rows.values()) {
				button.setAttribute("aria-current", series.symbol === symbol);
			}
			setTabStop(rows.get(symbol));
		},

		close() {
			observer.disconnect();
			body.replaceChildren();
		},
	};

	body.onclick = ({ target }) => onSelect(target.closest("tr").dataset.symbol);
	body.onkeydown = (event) => {
		const here = order.findIndex(({ button }) => button === document.activeElement);
		const keys = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: order.length - 1 };
		const row = order[keys[event.key]];
		if (!row) return;
		event.preventDefault();
		setTabStop(row);
		row.button.focus();
	};
	// A finger rests on nothing: only a mouse or a pen holds the order.
	body.onpointerenter = ({ pointerType }) => (held = pointerType !== "touch");
	body.onpointerleave = () => (held = false);
	filter.oninput = () => arrange();
	drawHeadings();
	return board;
}
