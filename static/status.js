/** The state of the page in words. */

import { $, write } from "./dom.js";
import { clock, duration } from "./format.js";

const QUIET_MS = 1400; // a living stream speaks every second, or every interval
const SPEAK_EVERY_MS = 10_000;
const PRICE_EVERY_MS = 30_000; // spoken, where nothing else was
const NAMED_MOST = 6;

const REASONS = {
	restarting: "The server is restarting",
	unreachable: "The server cannot be reached",
	unavailable: "The server is not ready",
	too_many: "The server asks for a pause",
	silent: "The connection went silent",
	refused: "The server is full, or this key or address may not connect",
};

function staleness({ source, symbols, since }) {
	const more = symbols?.length > NAMED_MOST ? ` and ${symbols.length - NAMED_MOST} more` : "";
	const some = symbols?.slice(0, NAMED_MOST).join(", ");
	const parts = [some && `of ${some}${more}`, source && `from ${source}`, since && `since ${clock(since)}`];
	return `${["No prices", ...parts].filter(Boolean).join(" ")}; those shown are old.`;
}

/** `{name, pill, banner, retry}`; `all`: nothing but `statuses` is shown. */
export function describe({ name, reason, retryAt }, { statuses, all }, { heardAt, intervalMs }) {
	if (name === "closed") return { name, pill: "Signed out" };
	if (name === "connecting") return { name, pill: "Connecting…" };
	if (name === "waiting") {
		const left = duration(Math.ceil((retryAt - Date.now()) / 1000));
		let pill = reason === "restarting" ? "Server restarting" : "Reconnecting";
		let why = REASONS[reason] ?? "The connection was lost";
		if (!navigator.onLine) [pill, why] = ["Offline", "You are offline"];
		return { name, pill, banner: `${why}. Trying again in ${left}; the prices shown are old.`, retry: true };
	}
	const banner = statuses.map(staleness).join(" ");
	if (all) return { name: "stale", pill: "Stale", banner };
	const quietMs = Date.now() - heardAt;
	if (quietMs <= Math.max(QUIET_MS, 1.4 * intervalMs)) return { name: "live", pill: "Live", banner };
	return { name: "quiet", pill: "No updates", banner: `Connected, but no update for ${duration(quietMs / 1000)}; the prices shown are old.` };
}

let shown = "";
let words = "";
let timer = 0;
let spokenAt = 0;

function say(text) {
	words = text;
	timer ||= setTimeout(() => {
		[timer, spokenAt] = [0, Date.now()];
		$("announcer").textContent = words;
	}, spokenAt + SPEAK_EVERY_MS - Date.now());
}

export function show({ name, pill, banner = "", retry = false }) {
	document.body.dataset.state = name;
	write($("state"), pill);
	write($("banner-text"), banner);
	$("banner").hidden = !banner;
	$("retry").hidden = !retry;
	if (pill === shown || name === "connecting") return;
	if (shown) say(banner || pill);
	shown = pill;
}

/** The tab: the price first while it is live, else why not. */
export function headline({ name, pill }, price, { stale, note }) {
	const live = name === "live" && !stale && price !== "";
	const parts = live ? [price, note] : [`⚠ ${name === "live" && stale ? "Stale" : pill}`, price];
	const title = [...parts, "Ticker"].filter(Boolean).join(" · ");
	if (document.title !== title) document.title = title;
	const icon = live ? "./icon.svg" : "./icon-stale.svg";
	if ($("icon").getAttribute("href") !== icon) $("icon").setAttribute("href", icon);
}

export function offer(text) {
	if (!timer && Date.now() - spokenAt >= PRICE_EVERY_MS) say(text);
}
