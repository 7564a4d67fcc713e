import { $, write } from "./dom.js";
import { clock, duration } from "./format.js";

const QUIET_MS = 1400; // a living stream speaks every second, or every interval
const NAMED_MOST = 6;
const SPEAK_EVERY_MS = 10_000;
const PRICE_EVERY_MS = 30_000; // spoken, where nothing else was

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
	const parts = [symbols && `of ${symbols.slice(0, NAMED_MOST).join(", ")}${more}`, source && `from ${source}`, since && `since ${clock(since)}`];
	return `${["No prices", ...parts].filter(Boolean).join(" ")}; those shown are old.`;
}

/** `{name, pill, banner}`; `all`: nothing but `statuses` is shown. */
export function describe({ name, reason, retryAt }, { statuses, all }, { heardAt, intervalMs }) {
	if (name === "closed") return { name, pill: "Signed out" };
	if (name === "connecting") return { name, pill: "Connecting…" };
	if (name === "waiting") {
		const left = duration(Math.ceil((retryAt - Date.now()) / 1000));
		let pill = reason === "restarting" ? "Server restarting" : "Reconnecting";
		let why = REASONS[reason] ?? "The connection was lost";
		if (!navigator.onLine) [pill, why] = ["Offline", "You are offline"];
		return { name, pill, banner: `${why}. Trying again in ${left}; the prices shown are old.` };
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

export function show({ name, pill, banner = "" }) {
	document.body.dataset.state = name;
	write($("state"), pill);
	if (name === "connecting") return; // what was said holds until it has worked
	write($("banner-text"), banner);
	$("banner").hidden = !banner;
	$("retry").hidden = name !== "waiting";
	if (pill === shown) return;
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
	if (!$("icon").href.endsWith(icon.slice(1))) $("icon").href = icon;
}

export function offer(text) {
	if (!timer && Date.now() - spokenAt >= PRICE_EVERY_MS) say(text);
}
