/** What the reader chose, and the view in the address, as in `#ETH-USD/1h`. */

import { attempt, decoded } from "./session.js";

const NAME = "ticker";

export const load = (name) => attempt(() => JSON.parse(localStorage.getItem(name)));
export const save = (name, value) => attempt(() => localStorage.setItem(name, JSON.stringify(value)));

export const prefs = {
	sort: "symbol",
	descending: false,
	lists: [],
	list: "", // the name of the one shown; none: all symbols
	symbol: null,
	range: 300,
	chart: "candles", // or `line`
	density: "roomy", // or `compact`
	...load(NAME),
};
const isText = (value) => typeof value === "string";
prefs.lists = [prefs.lists].flat().filter((list) => isText(list?.[0]) && Array.isArray(list[1]) && list[1].every(isText));

export function remember(changes) {
	Object.assign(prefs, changes);
	save(NAME, prefs);
}

export function view() {
	const [, symbol, range] = /^#([^/=]+)(?:\/(\w+))?$/.exec(location.hash) ?? [];
	return { symbol: symbol && decoded(symbol), range };
}

export function nameView(symbol, range) {
	const hash = `#${encodeURIComponent(symbol)}/${range}`;
	if (location.hash !== hash) history.replaceState(null, "", hash);
}
