import { exchange } from "./client.js";
import { $, press } from "./dom.js";
import { duration } from "./format.js";

/** What a TickerError means to the reader. */
export function explain({ kind, message, retryAfterMs }) {
	const later = `Try again ${retryAfterMs ? `in ${duration(retryAfterMs / 1000)}` : "in a minute"}.`;
	const words = {
		key_required: "Enter your API key.",
		key_refused: "This key is unknown, revoked or expired. Paste all of it, or ask for a new one.",
		key_too_long: "This is too long for an API key. Paste the key alone; it begins with tk_.",
		too_many: `Too many tries from your address. ${later}`,
		unavailable: `The server's database is unavailable. ${later}`,
		unreachable: "The server cannot be reached. Check your connection, then try again.",
		forbidden: "This key may not see prices. Ask for one whose role may.",
		bad_message: "The server has another version than this page. Reload the page, then sign in again.",
		signed_out: "Your session was ended. Sign in again.",
		ended: `The server ended the stream (${message}). Reload the page, then sign in again.`,
	};
	return words[kind] ?? `Something unexpected happened (${message}). ${later}`;
}

export const on = { grant() {} };
const input = $("key");

function reveal(shown) {
	input.type = shown ? "text" : "password";
	press("show-key", shown);
}

export function ask(reason) {
	$("signin-error").textContent = reason;
	input.ariaInvalid = reason !== "";
	input.focus();
}

$("signin-form").onsubmit = async (event) => {
	event.preventDefault();
	const apiKey = input.value.trim();
	event.submitter.disabled = true;
	try {
		const grant = await exchange(apiKey);
		input.value = "";
		reveal(false);
		on.grant(apiKey, grant);
	} catch (error) {
		ask(explain(error));
	}
	event.submitter.disabled = false;
};
$("show-key").onclick = () => reveal(input.type === "password");
