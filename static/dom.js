/** The three words every module says to the document. */

export const $ = (id) => document.getElementById(id);

/** Write text only where it changed, so that nothing is laid out in vain. */
export const write = (node, text) => {
	if (node.textContent !== text) node.textContent = text;
};

/** Mark which way a value went, for its colour; a sign or an arrow says it too. */
export const mark = (node, value) => {
	node.dataset.way = Math.sign(value) || 0;
};
