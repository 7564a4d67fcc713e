/** The connection's state in words: the pill, the banner, the live region. */

import { $, write } from "./dom.js";
import { clock, duration } from "./format.js";

const QUIET_MS = 3000; // live, but no tick for so long: say so
const SPEAK_EVERY_MS = 10_000; // the live region; the newest words win
const PRICE_EVERY_MS = 30_000; // spoken, where nothing else was

const REASONS = {
	restarting: "The server is restarting",
	unreachable: "The server cannot be reached",
	unavailable: "The server is not ready",
	too_many: "The server asks for patience",
	silent: "The connection went silent",
	refused: "The server is full, or this key or address may not connect",
};

/** `{name, pill, banner, retry}` for the client's state, the source's status, the last tick. */
export function describe(state, status, heardAt) {
	const { name, reason, retryAt } = state;
	if (name === "closed") return { name, pill: "Signed out" };
	if (name === "connecting") return { name, pill: "Connecting…" };
	if (name === "waiting") {
		const left = duration(Math.ceil((retryAt - Date.now()) / 1000));
		const why = navigator.onLine ? (REASONS[reason] ?? "The connection was lost") : "You are offline";
		return {
			name: reason === "restarting" ? reason : name,
			pill: reason === "restarting" ? "Server restarting" : "Reconnecting",
			banner: `${why}. Trying again in ${left}; the prices shown are old.`,
			retry: true,
		};
	}
	let banner;
	if (status?.state === "stale") {
		const some = status.symbols ? ` of ${status.symbols.join(", ")}` : "";
		const since = status.since ? ` since ${clock(status.since)}` : "";
		banner = `No prices${some} from ${status.source}${since}; those shown are old.`;
		if (!some) return { name: "stale", pill: "Stale", banner };
	}
	const quietMs = Date.now() - heardAt;
	if (quietMs > QUIET_MS) {
		banner = `Connected, but no update for ${duration(quietMs / 1000)}.`;
		return { name: "quiet", pill: "No updates", banner };
	}
	return { name: "live", pill: "Live", banner };
}

let shown = "";
let words = "";
let spokenAt = 0;
let pricedAt = 0;
let timer = 0;

function say(text) {
	words = text;
	timer ||= setTimeout(
		() => {
			timer = 0;
			spokenAt = Date.now();
			$("announcer").textContent = words;
		},
		Math.max(0, spokenAt + SPEAK_EVERY_MS - Date.now()),
	);
}

export function show({ name, pill, banner = "", retry = false }) {
	document.body.dataset.state = name;
	write($("state"), pill);
	write($("banner-text"), banner);
	$("banner").hidden = !banner;
	$("retry").hidden = !retry;
	if (name === shown || name === "connecting") return;
	if (shown) say(banner || pill);
	shown = name;
}

/** Offer a price to be spoken, in words made on demand; most offers are let go by. */
export function offer(makeWords) {
	if (timer || Date.now() - pricedAt < PRICE_EVERY_MS) return;
	pricedAt = Date.now();
	say(makeWords());
}
