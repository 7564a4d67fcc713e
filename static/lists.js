/** The reader's lists of symbols. The stars of the rows fill the list that is shown, or the first. */

import { $ } from "./dom.js";
import { prefs, remember } from "./prefs.js";

const STARRED = "Starred";
const NAME_MOST = 30;

const lists = () => new Map([[STARRED, []], ...prefs.lists]);
const target = () => (lists().has(prefs.list) ? prefs.list : STARRED);

/** The symbols of the list that is shown; null for all there are. */
export const listed = () => lists().get(prefs.list) ?? null;

export const isStarred = (symbol) => lists().get(target()).includes(symbol);

export function toggleStar(symbol) {
	const before = lists().get(target());
	const after = before.includes(symbol) ? before.filter((each) => each !== symbol) : [...before, symbol];
	remember({ lists: [...lists().set(target(), after)] });
}

/** Wire the choice of a list; `onChange()` is called when another one is shown. */
export function createLists(onChange) {
	function show(name) {
		remember({ list: lists().has(name) ? name : "" });
		const options = [...lists().keys()].map((each) => new Option(`★ ${each}`, each));
		const actions = [new Option("New list…", "+"), new Option("Delete this list", "-")];
		$("list").replaceChildren(new Option("All symbols", ""), ...options, ...actions.slice(0, prefs.list ? 2 : 1));
		$("list").value = prefs.list;
		onChange();
	}

	$("list").onchange = () => {
		const { value } = $("list");
		if (value === "-") remember({ lists: prefs.lists.filter(([each]) => each !== prefs.list) });
		if (value !== "+") return show(value);
		const name = prompt("The name of the new list")?.trim().slice(0, NAME_MOST);
		if (name) remember({ lists: [...lists().set(name, lists().get(name) ?? [])] });
		show(name || prefs.list);
	};
	show(prefs.list);
}
