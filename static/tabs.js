/**
 * Tabs of one browser that share a session: a new tab asks the others for the key, and signing
 * out in one signs out in all. The key passes through memory only, between pages of this origin
 * below this address (BroadcastChannel), and is never written to disk.
 */

const WAIT_MS = 300; // for another tab's answer

const channel = new BroadcastChannel(`ticker ${new URL("./", import.meta.url).pathname}`);

/** Answer other tabs with what `current()` gives; `ended()` is called when one signs out. */
export function share(current, ended) {
	channel.onmessage = ({ data: { type } }) => {
		if (type === "ask" && current()) channel.postMessage({ type: "key", key: current() });
		if (type === "ended") ended();
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

/** Sign out everywhere. */
export const end = () => channel.postMessage({ type: "ended" });
