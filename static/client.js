/**
 * Ticker's client for the browser; it needs nothing but this file. More: docs/page.md.
 *
 *     const client = connect({ apiKey: "tk_…", symbols: ["BTC-USD"], intervalMs: 100 });
 *     client.addEventListener("ticker", ({ detail }) => show(detail.data));
 *     for await (const message of client) { … }   // or so
 *
 * Options: `apiKey`, or a `token`, which cannot be renewed; `url` of the server (the page's
 * origin), `symbols` (all), `intervalMs` (every tick); `grant`, got by `exchange(apiKey)`.
 *
 * Events: each message under its type, and `state` when `client.state` changes: its name is
 * `connecting`, `open`, `waiting` (with `reason`, `retryAt` in ms) or `closed` (with `error`).
 *
 * Close codes 40xx end the client, for their cause must be mended first; but 4001 (token ended)
 * gets one new token where there is a key. All else connects again: after what the server
 * asked for, plus exponential backoff with full jitter. Secrets are kept in memory only.
 */

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 30_000;
const STABLE_MS = 10_000; // a stream that lived this long starts the backoff anew
const PATIENCE_MS = 300_000; // the longest wait a server may ask for
const REQUEST_MS = 10_000; // for an HTTP request, and for a handshake until `welcome`
const QUIET_MS = 15_000; // nothing heard: ask; twice as long: lost
const RENEW_AT = [0.6, 0.2]; // of the token's lifetime: from there, spread over so much
const TIMER_MOST_MS = 2 ** 31 - 1; // what setTimeout can hold
const MESSAGE_MOST_BYTES = 4096; // the server's limit
const INBOX_MOST = 64; // messages other than ticks kept for a slow loop

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
export const exchange = (apiKey, url = location.origin) =>
	request(new URL("/auth/token", url), {
		method: "POST",
		headers: { "Content-Type": "application/json" },
		body: JSON.stringify({ api_key: apiKey }),
	});

/** Connect, and stay connected until `close()` or a refusal that is final. */
export const connect = (options) => new TickerClient(options);

export class TickerClient extends EventTarget {
	state = { name: "connecting" };
	#url;
	#apiKey;
	#token;
	#expiresAt = Infinity;
	#granting = null; // the exchange under way
	#renewal = 0; // its timer
	#renewed = false; // after a 4001, and not stable since
	#wanted; // the subscription
	#socket = null; // while welcome
	#hangUp = null;
	#wake = null;
	#attempt = 0;
	#lastId = 0;
	#inboxes = new Set();

	constructor({ url = location.origin, apiKey, token, grant, symbols, intervalMs }) {
		super();
		this.#url = new URL(url);
		this.#apiKey = apiKey;
		this.#token = token;
		if (grant) this.#accept(grant);
		this.#wanted = subscription(symbols, intervalMs);
		globalThis.addEventListener("online", this.retryNow);
		queueMicrotask(() => this.#run());
	}

	/** Replace the subscription, for good. Returns the id that `subscribed` or `error` repeats. */
	subscribe(symbols, intervalMs) {
		const id = ++this.#lastId;
		this.#wanted = { ...subscription(symbols, intervalMs), id };
		this.#send(this.#wanted);
		return id;
	}

	/** GET JSON from the same server with our token, as in `/prices/BTC-USD/history`. */
	async get(path) {
		const headers = { Authorization: `Bearer ${await this.#freshToken()}` };
		return request(new URL(path, this.#url), { headers });
	}

	/** Cut the wait for the next try short. */
	retryNow = () => this.#wake?.();

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
				const message = inbox.others.shift() ?? inbox.tick;
				if (message === inbox.tick) inbox.tick = null;
				if (message) yield message;
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
			if (wait) await this.#pause(wait);
			if (!this.#closed()) this.#become({ name: "connecting" });
		}
	}

	#pause({ reason, ms = 0 }) {
		const most = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** this.#attempt++);
		const wait = Math.min(PATIENCE_MS, ms) + Math.random() * most;
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, wait);
			this.#wake = () => {
				clearTimeout(timer);
				resolve();
			};
			this.#become({ name: "waiting", reason, retryAt: Date.now() + wait });
		});
	}

	/** One stream, from handshake to end: how it ended, and how far it had come. */
	#stream(token) {
		return new Promise((resolve) => {
			const url = new URL("/ws/ticker", this.#url);
			url.protocol = url.protocol.replace("http", "ws");
			const socket = new WebSocket(url, ["ticker.v1", `bearer.${token}`]);
			const end = { token, opened: false, welcomedAt: 0, retryAfterMs: 0 };
			let heardAt = Date.now();
			const finish = (code) => {
				clearInterval(watch);
				socket.onopen = socket.onmessage = socket.onclose = null;
				socket.close();
				this.#socket = this.#hangUp = null;
				resolve({ ...end, code });
			};
			const watch = setInterval(() => {
				const quiet = Date.now() - heardAt;
				if (quiet > (end.welcomedAt ? 2 * QUIET_MS : REQUEST_MS)) finish(4101);
				else if (quiet > QUIET_MS) this.#send({ type: "ping" });
			}, QUIET_MS / 3);
			this.#hangUp = () => finish(1000);
			socket.onopen = () => (end.opened = true);
			socket.onclose = ({ code }) => finish(code);
			socket.onmessage = ({ data }) => {
				heardAt = Date.now();
				const message = JSON.parse(data);
				if (message.type === "closing") end.retryAfterMs = message.retry_after_ms;
				if (message.type === "welcome") {
					end.welcomedAt = heardAt;
					this.#socket = socket;
					if (this.#wanted.symbols || this.#wanted.interval_ms) this.#send(this.#wanted);
					this.#become({ name: "open" });
				}
				this.#deliver(message);
			};
		});
	}

	/** What follows: `{reason, ms}` to wait, null to go on at once, or a final error. */
	async #afterStream({ code, token, opened, welcomedAt, retryAfterMs }) {
		if (welcomedAt && Date.now() - welcomedAt >= STABLE_MS) {
			this.#attempt = 0;
			this.#renewed = false;
		}
		if (code === 4001) return this.#renewOnce(token);
		if (code >= 4000 && code < 4100) throw new TickerError("ended", `close code ${code}`, { code });
		if (code === 1012) return { reason: "restarting", ms: retryAfterMs };
		if (opened) return { reason: code === 4101 ? "silent" : "lost", ms: retryAfterMs };
		// A browser does not tell why a handshake was refused: ask where it does tell.
		try {
			await this.get("/prices");
		} catch (error) {
			if (error.code === 401) return this.#renewOnce(token);
			if (!error.terminal) return { reason: error.kind, ms: error.retryAfterMs };
		}
		return { reason: "refused" };
	}

	#renewOnce(token) {
		if (this.#token === token) this.#token = null;
		if (!this.#apiKey || this.#renewed) throw new TickerError("signed_out", "the token has ended");
		this.#renewed = true;
		return null;
	}

	async #freshToken() {
		if (this.#token && Date.now() < this.#expiresAt) return this.#token;
		if (!this.#apiKey) throw new TickerError("signed_out", "the token has ended");
		this.#granting ??= exchange(this.#apiKey, this.#url).finally(() => (this.#granting = null));
		this.#accept(await this.#granting);
		return this.#token;
	}

	#accept({ token, expires_in: seconds }) {
		if (this.#closed()) return;
		this.#token = token;
		this.#expiresAt = Date.now() + seconds * 1000;
		this.#renewIn(seconds * 1000 * (RENEW_AT[0] + Math.random() * RENEW_AT[1]));
	}

	#renewIn(ms) {
		clearTimeout(this.#renewal);
		this.#renewal = setTimeout(() => this.#renew(), Math.min(ms, TIMER_MOST_MS));
	}

	/** Hand the open stream a new token ahead of the old one's end. */
	async #renew() {
		try {
			this.#accept(await exchange(this.#apiKey, this.#url));
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
		for (const inbox of this.#inboxes) {
			if (message.type === "ticker") inbox.tick = message;
			else if (inbox.others.push(message) > INBOX_MOST) inbox.others.shift();
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
		globalThis.removeEventListener("online", this.retryNow);
		this.#apiKey = this.#token = null;
		this.#become({ name: "closed", error });
		this.#hangUp?.();
		this.#wake?.();
		for (const inbox of this.#inboxes) inbox.wake?.();
	}
}

function subscription(symbols, intervalMs) {
	const message = { type: "subscribe", symbols: symbols ?? undefined };
	if (intervalMs) message.interval_ms = intervalMs;
	// 32 bytes are left for the id.
	if (new Blob([JSON.stringify(message)]).size > MESSAGE_MOST_BYTES - 32) {
		throw new RangeError("too many symbols for one subscription; leave them out for all");
	}
	return message;
}
