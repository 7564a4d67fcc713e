/** Loads the page again where a file cannot be had. A classic script: no module need have come. */

"use strict";
{
	const FIRST_MS = 2000;
	const MOST_MS = 60_000;
	const tries = history.state?.tries ?? 0;
	let failed = false;

	const fail = () => {
		const most = Math.min(MOST_MS, FIRST_MS * 2 ** tries);
		const wait = most * (0.5 + Math.random() / 2);
		const note = Object.assign(document.createElement("p"), { id: "failed", className: "banner", role: "alert" });
		note.textContent = `Part of this page could not be loaded; the server may be busy. Trying again in ${Math.ceil(wait / 1000)} s.`;
		document.body.prepend(note);
		history.replaceState({ tries: tries + 1 }, "");
		setTimeout(() => location.reload(), wait);
	};

	const hear = ({ target }) => {
		const loading = document.getElementById("boot");
		if (failed || !(target === window ? loading : target.matches("script, [rel=stylesheet]"))) return;
		failed = true;
		if (document.body) fail();
		else document.addEventListener("DOMContentLoaded", fail);
	};
	addEventListener("error", hear, true); // a resource's error does not bubble
}
