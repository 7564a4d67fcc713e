/** The state of the page in words: the pill, the banner, the title, the icon, the live region. */

import { $, write } from "./dom.js";
import { clock, duration } from "./format.js";

const QUIET_MS = 1000; // the longest between two frames of a living stream; live, but none for 1.4 of it: say so
const SPEAK_EVERY_MS = 10_000; // the live region; the newest words win
const PRICE_EVERY_MS = 30_000; // spoken, where nothing else was
const NAMED_MOST = 6; // symbols in a banner
const ICONS = { true: "./icon.svg", false: "./icon-stale.svg" }; // live or not
const MARK = "⚠"; // begins the title of a page that is not live

const REASONS = {
	restarting: "The server is restarting",
	unreachable: "The server cannot be reached",
	unavailable: "The server is not ready",
	too_many: "The server asks for a pause",
	silent: "The connection went silent",
	refused: "The server is full, or this key or address may not connect",
};

function named(symbols) {
	if (!symbols?.length) return "";
	const some = symbols.slice(0, NAMED_MOST).join(", ");
	return ` of ${some}${symbols.length > NAMED_MOST ? ` and ${symbols.length - NAMED_MOST} more` : ""}`;
}

function staleness({ source, symbols, since }) {
	const from = source ? ` from ${source}` : "";
	return `No prices${named(symbols)}${from}${since ? ` since ${clock(since)}` : ""}; those shown are old.`;
}

/**
 * `{name, pill, banner, retry}` for the client's state, the stale statuses that concern the page
 * and whether they concern all of it, and the market with its last tick and its interval.
 */
export function describe(state, { statuses, all }, { heardAt = 0, intervalMs = 0 } = {}) {
	const { name, reason, retryAt } = state;
	if (name === "closed") return { name, pill: "Signed out" };
	if (name === "connecting") return { name, pill: "Connecting…" };
	if (name === "waiting") {
		const left = duration(Math.ceil((retryAt - Date.now()) / 1000));
		const offline = !navigator.onLine;
		const why = offline ? "You are offline" : (REASONS[reason] ?? "The connection was lost");
		return {
			name: reason === "restarting" ? reason : name,
			pill: offline ? "Offline" : reason === "restarting" ? "Server restarting" : "Reconnecting",
			banner: `${why}. Trying again in ${left}; the prices shown are old.`,
			retry: true,
		};
	}
	let banner = statuses.map(staleness).join(" ");
	if (all) return { name: "stale", pill: "Stale", banner };
	const quietMs = Date.now() - heardAt;
	if (quietMs > 1.4 * Math.max(QUIET_MS, intervalMs)) {
		banner = `Connected, but no update for ${duration(quietMs / 1000)}; the prices shown are old.`;
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

/** The tab: the price first while it is live; else a mark, why, and the price as an old one. */
export function headline({ name, pill }, price, { stale = false, note = "" } = {}) {
	const live = name === "live" && !stale && price !== "";
	const why = live ? note : name === "live" && stale ? "Stale" : pill;
	const parts = live ? [price, why] : [`${MARK} ${why}`, price];
	const title = [...parts, "Ticker"].filter(Boolean).join(" · ");
	if (document.title !== title) document.title = title;
	if ($("icon").getAttribute("href") !== ICONS[live]) $("icon").setAttribute("href", ICONS[live]);
}

/** Offer a price to be spoken, in words made on demand; most offers are let go by. */
export function offer(makeWords) {
	if (timer || Date.now() - pricedAt < PRICE_EVERY_MS) return;
	pricedAt = Date.now();
	say(makeWords());
}
