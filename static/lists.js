/** The reader's lists of symbols, filled by the stars of the rows. */

import { $ } from "./dom.js";
import { prefs, remember } from "./prefs.js";

const STARRED = "Starred";
const NAME_MOST = 30;

export const on = { change() {} };
const lists = new Map([[STARRED, []], ...prefs.lists]);
const target = () => prefs.list || STARRED;

/** Null for all there are. */
export const listed = () => lists.get(prefs.list) ?? null;

export const isStarred = (symbol) => lists.get(target()).includes(symbol);

const keep = (name, symbols = []) => remember({ lists: [...lists.set(name, symbols)] });

export function toggleStar(symbol) {
	const after = new Set(lists.get(target()));
	if (!after.delete(symbol)) after.add(symbol);
	keep(target(), [...after]);
	if (listed()) on.change();
}

function show(name) {
	remember({ list: lists.has(name) ? name : "" });
	const names = [...lists.keys()].map((each) => [each, `★ ${each}`]);
	const choices = [["", "All symbols"], ...names, ["+", "New list…"], ...(prefs.list ? [["-", "Delete this list"]] : [])];
	$("list").replaceChildren(...choices.map(([value, label]) => new Option(label, value)));
	$("list").value = prefs.list;
	on.change();
}

$("list").onchange = ({ target: { value } }) => {
	if (value === "-") {
		lists.delete(prefs.list);
		keep(STARRED, lists.get(STARRED));
	}
	if (value !== "+") return show(value);
	const name = prompt("The name of the new list")?.trim().slice(0, NAME_MOST);
	if (name) keep(name, lists.get(name));
	show(name || prefs.list);
};
show(prefs.list);
