/**
 * Ticker's client for the browser; it needs nothing but this file. More: docs/page.md.
 *
 *     const client = await connect({ apiKey: "tk_…", symbols: ["BTC-USD"], intervalMs: 100 });
 *     client.addEventListener("ticker", ({ detail }) => show(detail.data));
 *     for await (const message of client) { … }   // or so
 *
 * `connect` returns the client at once; awaiting it waits for the stream, and rejects where
 * connecting again cannot mend what is wrong, as with an unknown symbol. Options: `apiKey`, or
 * `getToken`, or a `token`, which cannot be renewed; `url` (where this file came from), `symbols`
 * (all), `intervalMs` (every tick); `grant`, got by `exchange(apiKey)`.
 *
 * Events: each message under its type, `disconnected` and `reconnected` among them, and `state`
 * when `client.state` changes. Close codes 40xx end the client; but 4001 (token ended) gets one new
 * token where there is a way to. All else connects again. Secrets are kept in memory only.
 */

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 30_000;
const STABLE_MS = 10_000; // a stream that lived this long starts the backoff anew
const WAIT_MOST_MS = 300_000; // the longest wait a server may ask for
const REQUEST_MS = 10_000; // for an HTTP request, and for a handshake until `welcome`
const PROBE_AFTER_MS = 1000; // nothing heard: ask for a sign of life
const PROBE_ANSWER_MS = 1500; // none came: the path is dead
const WATCH_MS = 250;
const RENEW_AT = [0.6, 0.2]; // of the token's lifetime: from there, spread over so much
const TIMER_MOST_MS = 2 ** 31 - 1; // what setTimeout can hold
const MESSAGE_MOST_BYTES = 4096; // the server's limit
const INBOX_MOST = 64; // messages other than ticks kept for a slow loop
const UNNAMED_SOURCE = "simulated"; // what a quote without a source is from
const PROBE = "probe"; // the id of the client's own pings

const KINDS = {
	400: "key_required",
	401: "key_refused",
	403: "forbidden",
	413: "key_too_long",
	429: "too_many",
	503: "unavailable",
};

/** Why something was refused or ended. `terminal`: connecting again cannot mend it. */
export class TickerError extends Error {
	constructor(kind, message, { terminal = true, retryAfterMs = 0, code = 0 } = {}) {
		super(message);
		Object.assign(this, { name: "TickerError", kind, terminal, retryAfterMs, code });
	}
}

/** The server's address with a slash at its end; by default where this file was served. */
function baseOf(url) {
	const base = new URL(url ?? "./", import.meta.url);
	base.pathname = base.pathname.replace(/\/*$/, "/");
	base.search = base.hash = "";
	return base;
}

async function request(url, options) {
	let response;
	try {
		const signal = AbortSignal.timeout(REQUEST_MS);
		response = await fetch(url, { cache: "no-store", credentials: "omit", signal, ...options });
		if (response.ok) return await response.json();
	} catch {
		throw new TickerError("unreachable", "the server cannot be reached", { terminal: false });
	}
	const { status: code, statusText, headers } = response;
	const { error = statusText } = await response.json().catch(() => ({}));
	throw new TickerError(KINDS[code] ?? "unexpected", error, {
		terminal: code < 500 && ![408, 425, 429].includes(code),
		retryAfterMs: Number(headers.get("Retry-After")) * 1000 || 0,
		code,
	});
}

/** Exchange an API key for `{token, user_id, role, expires_in}`; a TickerError says why not. */
export const exchange = (apiKey, url) =>
	request(new URL("auth/token", baseOf(url)), {
		method: "POST",
		headers: { "Content-Type": "application/json" },
		body: JSON.stringify({ api_key: apiKey }),
	});

/** A message, each quote of it with its price also as `text`, digit for digit. */
function parse(data) {
	const message = JSON.parse(data);
	if (message.type !== "ticker") return message;
	const texts = data.match(/"price":[^,}]+/g) ?? [];
	for (const [at, quote] of message.data.entries()) quote.text = texts[at].slice(8).trim();
	return message;
}

/** Connect, and stay connected until `close()` or a refusal that is final. */
export function connect(options) {
	const client = new TickerClient(options);
	// A promise of itself, as long as nothing came of it: a promise never fulfils with a promise.
	client.then = (fulfil, reject) =>
		client.opened.then(() => {
			delete client.then;
			return fulfil ? fulfil(client) : client;
		}, reject);
	return client;
}

export class TickerClient extends EventTarget {
	state = { name: "connecting" };
	latest = new Map(); // symbol to newest quote, of the subscription in force
	opened; // a promise of the first stream, subscribed as wanted
	#settleOpened; // until the first stream
	#url;
	#obtain; // makes a grant, where there is a way to
	#token;
	#expiresAt = Infinity;
	#granting = null; // the exchange under way
	#renewal = 0; // its timer
	#renewed = false; // after a 4001, and not stable since
	#wanted; // the subscription in force, or the one to begin with
	#asked = null; // a newer one that waits for its answer
	#sentId = 0; // of the subscription that this stream was asked for last
	#socket = null; // while welcome
	#shown = false; // prices are passed on
	#lost = false; // `disconnected` was told, and `reconnected` not yet
	#stale = new Map(); // by source: its status
	#check = null;
	#hangUp = null;
	#wake = null;
	#attempt = 0;
	#lastId = 0;
	#inboxes = new Set();
	#arrivals = 0;

	constructor({ url, apiKey, getToken, token, grant, symbols, intervalMs }) {
		super();
		this.#url = baseOf(url);
		this.#obtain = getToken ? () => tokenFrom(getToken) : apiKey && (() => exchange(apiKey, this.#url));
		this.#token = token;
		this.#wanted = subscription(symbols, intervalMs);
		this.opened = new Promise((resolve, reject) => (this.#settleOpened = { resolve, reject }));
		this.opened.catch(() => {}); // it need not be looked at
		if (grant) this.#accept(grant);
		globalThis.addEventListener?.("online", this.retryNow);
		queueMicrotask(() => this.#run());
	}

	/**
	 * Replace the subscription, now and after each reconnect; resolves to `subscribed`. A refusal
	 * leaves the one before in force and rejects, as does a newer call.
	 */
	async subscribe(symbols, intervalMs) {
		const message = subscription(symbols, intervalMs);
		this.#asked?.reject(new TickerError("superseded", "asked again", { terminal: false }));
		return new Promise((resolve, reject) => {
			this.#asked = { message, resolve, reject };
			this.#sendSubscription();
		});
	}

	/** Whether the price in `latest` may be acted on: the stream is open, its source not stale. */
	isLive(symbol) {
		return this.#shown && this.latest.has(symbol) && !this.staleStatus(symbol);
	}

	/** The status message that says why a symbol's price is old, or null. */
	staleStatus(symbol) {
		const status = this.#stale.get(this.latest.get(symbol)?.source ?? UNNAMED_SOURCE);
		return status && (!status.symbols || status.symbols.includes(symbol)) ? status : null;
	}

	/** GET JSON from the same server with our token, as in `prices/BTC-USD/history`. */
	async get(path) {
		const headers = { Authorization: `Bearer ${await this.#freshToken()}` };
		return request(new URL(path.replace(/^\/+/, ""), this.#url), { headers });
	}

	/** Cut the wait for the next try short. */
	retryNow = () => this.#wake?.();

	/** Look now whether the stream still lives; the timers of a hidden page are slow. */
	check = () => this.#check?.();

	/** End the client and forget its secrets. */
	close() {
		this.#end(null);
	}

	/**
	 * Messages as they come. A loop slower than the stream gets the newest tick next, never
	 * old ones late. Ends with close(); throws the TickerError of a final refusal.
	 */
	async *[Symbol.asyncIterator]() {
		const inbox = { tick: null, others: [], wake: null };
		this.#inboxes.add(inbox);
		try {
			for (;;) {
				const { tick, others } = inbox;
				const next = tick && !(others[0]?.at < tick.at) ? tick : others.shift();
				if (next === tick) inbox.tick = null;
				if (next) yield next.message;
				else if (this.state.error) throw this.state.error;
				else if (this.#closed()) return;
				else await new Promise((wake) => (inbox.wake = wake));
			}
		} finally {
			this.#inboxes.delete(inbox);
		}
	}

	async #run() {
		while (!this.#closed()) {
			let wait;
			try {
				const token = await this.#freshToken();
				if (this.#closed()) return;
				wait = await this.#afterStream(await this.#stream(token));
			} catch (error) {
				if (error.terminal !== false) return this.#end(error);
				wait = { reason: error.kind, ms: error.retryAfterMs };
			}
			if (this.#closed()) return;
			if (wait.reason) await this.#pause(wait);
			if (!this.#closed()) this.#become({ name: "connecting" });
		}
	}

	#pause({ reason, ms = 0 }) {
		const most = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** this.#attempt++);
		const wait = Math.min(WAIT_MOST_MS, ms) + Math.random() * most;
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, wait);
			this.#wake = () => {
				clearTimeout(timer);
				resolve();
			};
			this.#become({ name: "waiting", reason, retryAt: Date.now() + wait });
			this.#tellLoss(reason, wait);
		});
	}

	#tellLoss(reason, retryInMs) {
		if (this.#lost || this.#settleOpened) return;
		this.#lost = true;
		this.#deliver({ type: "disconnected", reason, retryInMs });
	}

	/** One stream, from handshake to end: how it ended, and how far it had come. */
	#stream(token) {
		return new Promise((resolve) => {
			const url = new URL("ws/ticker", this.#url);
			url.protocol = url.protocol.replace("http", "ws");
			const socket = new WebSocket(url, ["ticker.v1", `bearer.${token}`]);
			const end = { token, opened: false, welcomedAt: 0, retryAfterMs: 0 };
			const begun = performance.now();
			let [heardAt, probedAt] = [begun, -Infinity];
			const finish = (code) => {
				clearInterval(watch);
				socket.onopen = socket.onmessage = socket.onclose = null;
				socket.close();
				this.#socket = this.#hangUp = this.#check = null;
				this.#shown = false;
				resolve({ ...end, code });
			};
			this.#check = () => {
				const now = performance.now();
				if (!this.#shown && now - (end.welcomedAt || begun) > REQUEST_MS) finish(4101);
				else if (!end.welcomedAt) return;
				else if (heardAt <= probedAt) {
					if (now - probedAt >= PROBE_ANSWER_MS) finish(4101);
				} else if (now - heardAt >= PROBE_AFTER_MS) {
					probedAt = now;
					this.#send({ type: "ping", id: PROBE });
				}
			};
			const watch = setInterval(this.#check, WATCH_MS);
			this.#hangUp = () => finish(1000);
			socket.onopen = () => (end.opened = true);
			socket.onclose = ({ code }) => finish(code);
			socket.onmessage = ({ data }) => {
				heardAt = performance.now();
				const message = parse(data);
				if (message.type === "closing") end.retryAfterMs = message.retry_after_ms;
				if (message.type === "welcome" && !end.welcomedAt) {
					end.welcomedAt = heardAt;
					this.#socket = socket;
				}
				this.#take(message);
			};
		});
	}

	/** Take a message of the server in, and pass it on where it is for the user. */
	#take(message) {
		const { type, id } = message;
		if (type === "pong" && id === PROBE) return;
		if (type === "ticker") {
			if (!this.#shown) return; // of the default subscription, which was not asked for
			if (message.snapshot) this.latest.clear();
			for (const quote of message.data) this.latest.set(quote.symbol, quote);
		} else if (type === "status") {
			if (message.state === "live") this.#stale.delete(message.source);
			else this.#stale.set(message.source, message);
		} else if (type === "welcome") {
			this.#stale.clear();
			this.#become({ name: "open" });
		} else if (type === "error" && id && id === this.#sentId) {
			this.#refused(new TickerError(message.code, message.message, { terminal: !this.#asked }));
		}
		this.#deliver(message);
		if (type === "welcome" && !this.#closed()) {
			if (this.#asked || this.#wanted.symbols || this.#wanted.interval_ms) this.#sendSubscription();
			else this.#show();
		}
		if (type === "subscribed" && id && id === this.#sentId) this.#confirmed(message);
	}

	#sendSubscription() {
		if (!this.#socket) return; // it is sent after the next `welcome`
		this.#sentId = ++this.#lastId;
		this.#send({ ...(this.#asked?.message ?? this.#wanted), id: this.#sentId });
	}

	#confirmed(answer) {
		const held = new Set(answer.symbols);
		for (const symbol of this.latest.keys()) if (!held.has(symbol)) this.latest.delete(symbol);
		if (this.#asked) {
			this.#wanted = this.#asked.message;
			this.#asked.resolve(answer);
			this.#asked = null;
		}
		this.#show();
	}

	#refused(error) {
		if (!this.#asked) return this.#end(error);
		this.#asked.reject(error);
		this.#asked = null;
		if (!this.#shown) this.#sendSubscription();
	}

	/** Prices are passed on from here on. */
	#show() {
		if (this.#shown) return;
		this.#shown = true;
		if (this.#lost) this.#deliver({ type: "reconnected" });
		this.#lost = false;
		this.#settleOpened?.resolve();
		this.#settleOpened = null;
	}

	/** What follows: `{reason, ms}` to wait, no reason to go on at once, or a final error. */
	async #afterStream({ code, token, opened, welcomedAt, retryAfterMs }) {
		if (welcomedAt && performance.now() - welcomedAt >= STABLE_MS) {
			this.#attempt = 0;
			this.#renewed = false;
		}
		if (code === 4001) return this.#renewOnce(token);
		if (code >= 4000 && code < 4100) throw new TickerError("ended", `close code ${code}`, { code });
		if (code === 1012) return { reason: "restarting", ms: retryAfterMs };
		if (opened) return { reason: code === 4101 ? "silent" : "lost", ms: retryAfterMs };
		// A browser does not tell why a handshake was refused: ask where it does tell.
		try {
			await this.get("prices");
		} catch (error) {
			if (error.code === 401) return this.#renewOnce(token);
			if (!error.terminal) return { reason: error.kind, ms: error.retryAfterMs };
		}
		return { reason: "refused" };
	}

	#renewOnce(token) {
		if (this.#token === token) this.#token = null;
		if (!this.#obtain || this.#renewed) throw new TickerError("signed_out", "the token has ended");
		this.#renewed = true;
		this.#tellLoss("token_ended", 0);
		return {};
	}

	async #freshToken() {
		if (this.#token && Date.now() < this.#expiresAt) return this.#token;
		if (!this.#obtain) throw new TickerError("signed_out", "the token has ended");
		this.#granting ??= this.#obtain().finally(() => (this.#granting = null));
		this.#accept(await this.#granting);
		return this.#token;
	}

	#accept({ token, expires_in: seconds = Infinity }) {
		if (this.#closed()) return;
		this.#token = token;
		this.#expiresAt = Date.now() + seconds * 1000;
		this.#renewIn(seconds * 1000 * (RENEW_AT[0] + Math.random() * RENEW_AT[1]));
	}

	#renewIn(ms) {
		clearTimeout(this.#renewal);
		if (ms < Infinity) this.#renewal = setTimeout(() => this.#renew(), Math.min(ms, TIMER_MOST_MS));
	}

	/** Hand the open stream a new token ahead of the old one's end. */
	async #renew() {
		try {
			this.#accept(await this.#obtain());
			this.#send({ type: "auth", token: this.#token });
		} catch (error) {
			if (error.terminal) this.#end(error);
			else this.#renewIn(error.retryAfterMs + Math.random() * BACKOFF_MOST_MS);
		}
	}

	#send(message) {
		this.#socket?.send(JSON.stringify(message));
	}

	#deliver(message) {
		const at = ++this.#arrivals;
		for (const inbox of this.#inboxes) {
			if (message.type === "ticker") {
				const snapshot = inbox.tick?.message.snapshot; // what takes its place is one
				inbox.tick = { at, message: snapshot ? { ...message, snapshot } : message };
			} else if (inbox.others.push({ at, message }) > INBOX_MOST) inbox.others.shift();
			inbox.wake?.();
		}
		this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
	}

	#become(state) {
		this.state = state;
		this.dispatchEvent(new CustomEvent("state", { detail: state }));
	}

	#closed() {
		return this.state.name === "closed";
	}

	#end(error) {
		if (this.#closed()) return;
		clearTimeout(this.#renewal);
		globalThis.removeEventListener?.("online", this.retryNow);
		this.#obtain = this.#token = null;
		this.#become({ name: "closed", error });
		this.#hangUp?.();
		this.#wake?.();
		const reason = error ?? new TickerError("closed", "the client was closed");
		this.#settleOpened?.reject(reason);
		this.#asked?.reject(reason);
		this.#asked = null;
		for (const inbox of this.#inboxes) inbox.wake?.();
	}
}

/** What a page's own `getToken` gives: a token, or `{token, expires_in}` in seconds. */
async function tokenFrom(getToken) {
	let given;
	try {
		given = await getToken();
	} catch (error) {
		if (error instanceof TickerError) throw error;
		throw new TickerError("unavailable", `getToken failed: ${error.message}`, { terminal: false });
	}
	return typeof given === "string" ? { token: given } : given;
}

function subscription(symbols, intervalMs) {
	if (typeof symbols === "string") throw new TypeError('symbols is a list, as in ["BTC-USD"]');
	const message = { type: "subscribe", symbols: symbols ?? undefined };
	if (intervalMs) message.interval_ms = intervalMs;
	// 32 bytes are left for the id.
	if (new TextEncoder().encode(JSON.stringify(message)).length > MESSAGE_MOST_BYTES - 32) {
		throw new RangeError("too many symbols for one subscription; leave them out for all");
	}
	return message;
}
