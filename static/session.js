/**
 * The API key: from the address, which it leaves as soon as this module runs (a fragment is never
 * sent to any server), from this tab's past (sessionStorage), or from another tab of this browser.
 * Between tabs it passes through memory only, to pages of this origin below this address.
 */

const NAME = "ticker";
const WAIT_MS = 300; // for another tab's answer

const channel = new BroadcastChannel(`${NAME} ${new URL("./", import.meta.url).pathname}`);
let held = null;
let came = () => {};

export const decoded = (text) => {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
};

const stored = (method, ...values) => {
	try {
		return sessionStorage[method](NAME, ...values);
	} catch {
		return null;
	}
};

export const key = {
	get: () => (held ??= stored("getItem")),
	set(value) {
		held = value;
		stored("setItem", value);
	},
	forget() {
		held = null;
		stored("removeItem");
	},
};

/** Take a key out of the address. Returns whether there was one. */
function take() {
	const [, found] = /^#key=(.+)$/.exec(location.hash) ?? [];
	if (!found) return false;
	history.replaceState(null, "", location.pathname + location.search);
	key.set(decoded(found));
	return true;
}

/** Call `came()` when a key comes by the address later on, `ended()` when another tab signs out. */
export function watch(callbacks) {
	came = callbacks.came;
	channel.onmessage = ({ data: { type } }) => {
		if (type === "ask" && held) channel.postMessage({ type: "key", key: held });
		if (type === "ended") callbacks.ended();
	};
}

/** Ask the other tabs for a key; resolves to null where none of them has one. */
export function askOthers() {
	const reply = new BroadcastChannel(channel.name);
	return new Promise((resolve) => {
		reply.onmessage = ({ data: { type, key } }) => type === "key" && resolve(key);
		setTimeout(resolve, WAIT_MS, null);
		reply.postMessage({ type: "ask" });
	}).finally(() => reply.close());
}

/** Sign out in every tab. */
export const endAll = () => channel.postMessage({ type: "ended" });

addEventListener("hashchange", () => take() && came());
take();
