/** The search: `/` or Ctrl-K opens it, typing narrows it, Enter charts what is chosen. */

import { $ } from "./dom.js";

const SHOWN_MOST = 50;

/** How well a symbol fits: exactly, at its start, at a part's start, within, or not. */
function rank(symbol, wanted) {
	if (symbol === wanted) return 0;
	const at = symbol.indexOf(wanted);
	if (at < 0) return Infinity;
	return at === 0 ? 1 : symbol[at - 1] === "-" ? 2 : 3;
}

function find(symbols, text) {
	const wanted = text.trim().toUpperCase().replace(/[\s/]+/g, "-");
	return symbols
		.map((symbol) => [rank(symbol, wanted), symbol])
		.filter(([fit]) => fit < Infinity)
		.sort(([a, one], [b, two]) => a - b || one.length - two.length || (one < two ? -1 : 1))
		.slice(0, SHOWN_MOST)
		.map(([, symbol]) => symbol);
}

/** Wire the search; `symbols()` are those there are, `onChoose(symbol)` takes the chosen one. */
export function createSearch(symbols, onChoose) {
	const dialog = $("search");
	const input = $("search-text");
	const list = $("search-list");
	let at = 0;

	function aim(position) {
		const options = list.children;
		if (!options.length) return input.removeAttribute("aria-activedescendant");
		at = (position + options.length) % options.length;
		for (const [place, option] of [...options].entries()) option.ariaSelected = place === at;
		options[at].scrollIntoView({ block: "nearest" });
		input.setAttribute("aria-activedescendant", options[at].id);
	}

	function fill() {
		const found = find(symbols(), input.value);
		list.replaceChildren(
			...found.map((symbol, place) => {
				const option = document.createElement("li");
				Object.assign(option, { id: `found-${place}`, role: "option", textContent: symbol });
				return option;
			}),
		);
		$("search-none").hidden = found.length > 0;
		aim(0);
	}

	function choose(option) {
		if (!option) return;
		dialog.close();
		onChoose(option.textContent);
	}

	input.oninput = fill;
	input.onkeydown = (event) => {
		const keys = { ArrowDown: () => aim(at + 1), ArrowUp: () => aim(at - 1), Enter: () => choose(list.children[at]) };
		if (!keys[event.key]) return;
		event.preventDefault();
		keys[event.key]();
	};
	list.onclick = ({ target }) => choose(target.closest("li"));
	dialog.onclick = ({ target }) => target === dialog && dialog.close();

	function open() {
		if (document.querySelector("dialog[open]")) return;
		input.value = "";
		dialog.showModal();
		fill();
		input.focus();
	}

	$("find").onclick = open;
	addEventListener("keydown", (event) => {
		const typing = event.target.closest?.("input, textarea, [contenteditable]");
		const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
		const letter = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
		if ($("desk").hidden || !(slash || letter)) return;
		event.preventDefault();
		open();
	});
}
