/**
 * What the address says: a key to sign in with, or the view, as in `#ETH-USD/1h`. The key is taken
 * out of the address bar and the history as soon as this module runs; a fragment is never sent to
 * any server.
 */

let key = null;
let tell = { key() {}, view() {} };

const decoded = (text) => {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
};

function read() {
	const [, found] = /^#key=(.+)$/.exec(location.hash) ?? [];
	if (!found) return tell.view();
	history.replaceState(null, "", location.pathname + location.search);
	key = decoded(found);
	tell.key();
}

/** `{symbol, range}` that the address names, either undefined where it does not. */
export function view() {
	const [, symbol, range] = /^#([^/=]+)(?:\/(\w+))?$/.exec(location.hash) ?? [];
	return { symbol: symbol && decoded(symbol), range };
}

/** Name the view, so that the address can be shared; no entry in the history. */
export function nameView(symbol, range) {
	const hash = `#${encodeURIComponent(symbol)}/${range}`;
	if (location.hash !== hash) history.replaceState(null, "", hash);
}

/** The key that the address held, once; null where there was none. */
export function takeKey() {
	const taken = key;
	key = null;
	return taken;
}

/** Call back when another key comes by the address, or another view. */
export function onChange(callbacks) {
	tell = callbacks;
}

addEventListener("hashchange", read);
read();
