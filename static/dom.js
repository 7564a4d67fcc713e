/** What every module says to the document. */

import { shorten } from "./format.js";

export const $ = (id) => document.getElementById(id);

/** Write text only where it changed, so that nothing is laid out in vain. */
export const write = (node, text) => {
	if (node.textContent !== text) node.textContent = text;
};

/** Show whether a button that stays in is. */
export const press = (id, pressed) => $(id).setAttribute("aria-pressed", pressed);

/** Mark which way a value went, for its colour; a sign or an arrow says it too. */
export const mark = (node, value) => {
	node.dataset.way = Math.sign(value) || 0;
};

/**
 * A price that always fits: its letters get smaller as `--chars` grows, and a row of zeros is
 * written short, with the whole price on hover and for screen readers.
 */
export class PriceText {
	#full = "";
	#text;
	#value;
	#spoken;

	constructor(root) {
		this.root = root;
		[this.#value, this.#spoken] = ["value", "spoken"].map((name) => {
			const span = document.createElement("span");
			span.className = name;
			return span;
		});
		this.#value.append((this.#text = document.createTextNode("–")));
		root.append(this.#value, this.#spoken);
	}

	write(full) {
		if (full === this.#full) return;
		this.#full = full;
		const text = shorten(full);
		if (text.length !== this.#text.length) this.root.style.setProperty("--chars", text.length);
		this.#text.data = text;
		const short = text !== full;
		if (!short && !this.#value.title) return;
		this.#value.title = short ? full : "";
		this.#value.ariaHidden = short ? "true" : null;
		this.#spoken.textContent = short ? full : "";
	}
}
