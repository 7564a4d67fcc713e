/**
 * What the address says: a key to sign in with, or the view. The key is taken out of the address
 * bar and the history as soon as this module runs; a fragment is never sent to any server.
 */

let key = null;
let tell = () => {};

function read() {
	const [, found] = /^#key=(.+)$/.exec(location.hash) ?? [];
	if (!found) return;
	history.replaceState(null, "", location.pathname + location.search);
	try {
		key = decodeURIComponent(found);
	} catch {
		key = found;
	}
	tell();
}

/** The key that the address held, once; null where there was none. */
export function takeKey() {
	const taken = key;
	key = null;
	return taken;
}

/** Call back when another key comes by the address. */
export function onKey(callback) {
	tell = callback;
}

addEventListener("hashchange", read);
read();
