/**
 * What the reader chose: remembered beyond the tab (localStorage; where that is forbidden, until
 * it is closed), and the view named by the address, as in `#ETH-USD/1h`.
 */

import { decoded } from "./session.js";

const NAME = "ticker";

/** What was kept under a name; null where there is nothing, or storage is forbidden. */
export function load(name) {
	try {
		return JSON.parse(localStorage.getItem(name));
	} catch {
		return null;
	}
}

export function save(name, value) {
	try {
		localStorage.setItem(name, JSON.stringify(value));
	} catch {
		// It is remembered until the page is left.
	}
}

/** Sort order; lists, as `[name, symbols]`, and the name of the one shown (none: all symbols); charted
 * symbol and its range in seconds; how it is drawn (`candles`, `line`); density (`roomy`, `compact`). */
export const prefs = {
	sort: "symbol",
	descending: false,
	lists: [],
	list: "",
	symbol: null,
	range: 300,
	chart: "candles",
	density: "roomy",
	...load(NAME),
};

export function remember(changes) {
	Object.assign(prefs, changes);
	save(NAME, prefs);
}

/** `{symbol, range}` that the address names, either undefined where it does not. */
export function view() {
	const [, symbol, range] = /^#([^/=]+)(?:\/(\w+))?$/.exec(location.hash) ?? [];
	return { symbol: symbol && decoded(symbol), range };
}

/** Name the view, so that the address can be shared; no entry in the history. */
export function nameView(symbol, range) {
	const hash = `#${encodeURIComponent(symbol)}/${range}`;
	if (location.hash !== hash) history.replaceState(null, "", hash);
}
