/**
 * What is remembered, and where: tastes outlive the tab (localStorage), the API key ends with
 * it (sessionStorage), the token is never stored. Where storage is forbidden, all is forgotten.
 */

const NAME = "ticker";

const attempt = (action) => {
	try {
		return action();
	} catch {
		return null;
	}
};

/** Sort order, chosen symbols (null: all), charted symbol and its range in seconds,
 * how
 * it is drawn (`candles` or `line`), density (`roomy` or `compact`). */
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

export const key = {
	get: () => attempt(() => sessionStorage.getItem(NAME)),
	set: (value) => attempt(() => sessionStorage.setItem(NAME, value)),
	forget: () => attempt(() => sessionStorage.removeItem(NAME)),
};
