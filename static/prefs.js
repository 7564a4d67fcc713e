/**
 * What the reader chose: remembered beyond the tab (localStorage; where that is forbidden, until
 * it is closed), and the view named by the address, as in `#ETH-USD/1h`.
 */

import { decoded } from "./session.js";

const NAME = "ticker";

const attempt = (action) => {
	try {
		return action();
	} catch {
		return null;
	}
};

/** Sort order, chosen symbols (null: all), charted symbol and its range in seconds, how it is
 * drawn (`candles` or `line`), density (`roomy` or `compact`). */
export const prefs = {
	sort: "symbol",
	descending: false,
	chosen: null,
	symbol: null,
	range: 300,
	chart: "candles",
	density: "roomy",
	...attempt(() => JSON.parse(localStorage.getItem(NAME))),
};

export function remember(changes) {
	Object.assign(prefs, changes);
	attempt(() => localStorage.setItem(NAME, JSON.stringify(prefs)));
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
