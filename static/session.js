const NAME = "ticker";
const WAIT_MS = 300; // for another tab's answer

const channel = new BroadcastChannel(`${NAME} ${new URL("./", import.meta.url).pathname}`);
let held = null;
let answer = () => {};

/** What an act returns; null where it throws, as storage does where it is forbidden. */
export const attempt = (act) => {
	try {
		return act();
	} catch {
		return null;
	}
};

export const decoded = (text) => attempt(() => decodeURIComponent(text)) ?? text;

const stored = (method, ...values) => attempt(() => sessionStorage[method](NAME, ...values));

export const key = {
	get: () => (held ??= stored("getItem")),
	set: (value) => stored("setItem", (held = value)),
	forget() {
		held = null;
		stored("removeItem");
	},
};

function take() {
	const [, found] = /^#key=(.+)$/.exec(location.hash) ?? [];
	if (!found) return false;
	history.replaceState(null, "", location.pathname + location.search);
	key.set(decoded(found));
	return true;
}

export const on = { came() {}, ended() {} };

channel.onmessage = ({ data: { type, key } }) => {
	if (type === "ask" && held) channel.postMessage({ type: "key", key: held });
	if (type === "key") answer(key);
	if (type === "ended") on.ended();
};

export const askOthers = () =>
	new Promise((resolve) => {
		answer = resolve;
		setTimeout(resolve, WAIT_MS, null);
		channel.postMessage({ type: "ask" });
	});

export const endAll = () => channel.postMessage({ type: "ended" });

addEventListener("hashchange", () => take() && on.came());
take();
