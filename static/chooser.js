/** The dialog that chooses which symbols are on the board. */

import { $ } from "./dom.js";

/** Ask; resolves to the chosen symbols, null for all of them, undefined where cancelled. */
export function chooseSymbols(all, chosen) {
	const dialog = $("chooser");
	const boxes = all.map((symbol) => {
		const label = document.createElement("label");
		const box = document.createElement("input");
		box.type = "checkbox";
		box.value = symbol;
		box.checked = !chosen || chosen.includes(symbol);
		label.append(box, symbol);
		$("choices").append(label);
		return box;
	});
	const check = () => ($("choose-save").disabled = !boxes.some((box) => box.checked));
	const setAll = (value) => {
		for (const box of boxes) box.checked = value;
		check();
	};
	$("choose-all").onclick = () => setAll(true);
	$("choose-none").onclick = () => setAll(false);
	$("choices").onchange = check;
	check();
	dialog.returnValue = "";
	dialog.showModal();
	return new Promise((resolve) => {
		dialog.onclose = () => {
			const picked = boxes.filter((box) => box.checked).map((box) => box.value);
			$("choices").replaceChildren();
			if (dialog.returnValue !== "save") resolve();
			else resolve(picked.length === all.length ? null : picked);
		};
	});
}
