/** The reader's lists of symbols. The stars of the rows fill the list that is shown, or the first. */

import { $ } from "./dom.js";
import { prefs, remember } from "./prefs.js";

const STARRED = "Starred";
const NAME_MOST = 30;

const lists = () => new Map([[STARRED, []], ...prefs.lists]);
const target = () => (lists().has(prefs.list) ? prefs.list : STARRED);

/** Null for all there are. */
export const listed = () => lists().get(prefs.list) ?? null;

export const isStarred = (symbol) => lists().get(target()).includes(symbol);

export function toggleStar(symbol) {
	const after = new Set(lists().get(target()));
	if (!after.delete(symbol)) after.add(symbol);
	remember({ lists: [...lists().set(target(), [...after])] });
}

export function createLists(onChange) {
	function show(name) {
		remember({ list: lists().has(name) ? name : "" });
		const names = [...lists().keys()].map((each) => [each, `★ ${each}`]);
		const choices = [["", "All symbols"], ...names, ["+", "New list…"], ...(prefs.list ? [["-", "Delete this list"]] : [])];
		$("list").replaceChildren(...choices.map(([value, label]) => new Option(label, value)));
		$("list").value = prefs.list;
		onChange();
	}

	$("list").onchange = ({ target: { value } }) => {
		if (value === "-") remember({ lists: prefs.lists.filter(([each]) => each !== prefs.list) });
		if (value !== "+") return show(value);
		const name = prompt("The name of the new list")?.trim().slice(0, NAME_MOST);
		if (name) remember({ lists: [...lists().set(name, lists().get(name) ?? [])] });
		show(name || prefs.list);
	};
	show(prefs.list);
}
