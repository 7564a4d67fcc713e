import { shorten } from "./format.js";

export const $ = (id) => document.getElementById(id);

export function make(tag, properties, ...children) {
	const node = Object.assign(document.createElement(tag), properties);
	node.append(...children);
	return node;
}

/** Write text where it changed, so that nothing is laid out in vain. */
export const write = (node, text) => {
	if (node.textContent !== text) node.textContent = text;
};

export const press = (id, pressed) => ($(id).ariaPressed = pressed);

/** The colour of which way a value went; a sign or an arrow says it too. */
export const mark = (node, value) => (node.dataset.way = Math.sign(value) || 0);

/** Do what a key is for, if anything. */
export function obey(event, keys) {
	const act = keys[event.key];
	if (!act) return;
	event.preventDefault();
	act();
}

/** A price that always fits: its letters shrink as `--chars` grows. */
export class PriceText {
	#full;
	#text = new Text("–");
	#value = make("span", { className: "value" }, this.#text);
	#spoken = make("span", { className: "spoken" });

	constructor(root) {
		this.root = root;
		root.append(this.#value, this.#spoken);
	}

	write(full) {
		if (full === this.#full) return;
		this.#full = full;
		const text = shorten(full);
		if (text.length !== this.#text.length) this.root.style.setProperty("--chars", text.length);
		this.#text.data = text;
		const whole = text === full ? "" : full;
		if (this.#value.title === whole) return;
		this.#value.title = this.#spoken.textContent = whole;
		this.#value.ariaHidden = whole ? "true" : null;
	}
}
