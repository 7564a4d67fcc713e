import { $ } from "./dom.js";
import { kept, NAME, onSaved, prefs, remember } from "./prefs.js";

const STARRED = "Starred";
const NAME_MOST = 30;
const [NEW, DELETE] = [" new", " delete"]; // no name begins with a space

export const on = { change() {} };
const lists = () => new Map([[STARRED, []], ...prefs.lists]);
const target = () => prefs.list || STARRED;

/** Null for all there are. */
export const listed = () => lists().get(prefs.list) ?? null;

export const isStarred = (symbol) => lists().get(target()).includes(symbol);

const keep = (name, symbols = []) => remember({ lists: [...lists().set(name, symbols)] });

export function toggleStar(symbol) {
	const after = new Set(lists().get(target()));
	if (!after.delete(symbol)) after.add(symbol);
	keep(target(), [...after]);
	if (listed()) on.change();
}

function draw() {
	if (!listed()) prefs.list = ""; // it is gone
	const names = [...lists().keys()].map((each) => [each, `★ ${each}`]);
	const choices = [["", "All symbols"], ...names, [NEW, "New list…"], ...(prefs.list ? [[DELETE, "Delete this list"]] : [])];
	$("list").replaceChildren(...choices.map(([value, label]) => new Option(label, value)));
	$("list").value = prefs.list;
	on.change();
}

$("list").onchange = ({ target: { value } }) => {
	let name = value;
	if (value === DELETE) remember({ lists: prefs.lists.filter(([each]) => each !== prefs.list) });
	if (value === NEW) name = prompt("The name of the new list")?.trim().slice(0, NAME_MOST) || prefs.list;
	if (value === NEW && name) keep(name, lists().get(name));
	remember({ list: name });
	draw();
};
onSaved(NAME, () => {
	prefs.lists = kept().lists;
	draw();
});
draw();
