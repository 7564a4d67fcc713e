import { attempt, decoded } from "./session.js";

export const NAME = "ticker";

export const load = (name) => attempt(() => JSON.parse(localStorage.getItem(name)));
export const save = (name, value) => attempt(() => localStorage.setItem(name, JSON.stringify(value)));

/** Act when another tab saves under a name. */
export const onSaved = (name, act) => addEventListener("storage", ({ key }) => key === name && act());

const isText = (value) => typeof value === "string";

/** What was kept may be damaged. */
export function kept() {
	const all = { ...load(NAME) };
	const lists = [all.lists].flat().filter((list) => isText(list?.[0]) && Array.isArray(list[1]) && list[1].every(isText));
	return { ...all, lists };
}

export const prefs = {
	sort: "symbol",
	descending: false,
	list: "", // the name of the one shown; none: all symbols
	symbol: null,
	range: 300,
	chart: "candles", // or `line`
	density: "roomy", // or `compact`
	...kept(),
};

/** Each tab saves what was chosen in it alone. */
export function remember(changes) {
	Object.assign(prefs, changes);
	save(NAME, { ...kept(), ...changes });
}

export function view() {
	const [, symbol, range] = /^#([^/=]+)(?:\/(\w*))?$/.exec(location.hash) ?? [];
	return { symbol: symbol && decoded(symbol).toUpperCase(), range: range?.toLowerCase() };
}

export function nameView(symbol, range) {
	const hash = `#${encodeURIComponent(symbol)}/${range}`;
	if (location.hash !== hash) history.replaceState(null, "", hash);
}
