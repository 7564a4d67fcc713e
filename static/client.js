/** Ticker's client for browsers and Node, in this one file: docs/page.md. */

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 30_000;
const STABLE_MS = 10_000;
const WAIT_MOST_MS = 300_000;
const REQUEST_MS = 10_000;
const PROBE_AFTER_MS = 1000;
const PROBE_ANSWER_MS = 1500;
const WATCH_MS = 250;
const RENEW_AT = [0.6, 0.2]; // of the token's life, and the spread
const MESSAGE_MOST_BYTES = 4096;
const INBOX_MOST = 4096;
const UNNAMED_SOURCE = "simulated";
const PROBE = "probe";

const KINDS = {
	400: "key_required",
	401: "key_refused",
	403: "forbidden",
	413: "key_too_long",
	429: "too_many",
	503: "unavailable",
};

/** `terminal`: connecting again cannot mend it. */
export class TickerError extends Error {
	constructor(kind, message, { terminal = true, retryAfterMs = 0, code = 0 } = {}) {
		super(message);
		Object.assign(this, { name: "TickerError", kind, terminal, retryAfterMs, code });
	}
}

const ended = () => new TickerError("signed_out", "the token has ended");

function baseOf(url) {
	const base = new URL(url ?? "./", import.meta.url);
	base.pathname = base.pathname.replace(/\/*$/, "/");
	base.search = base.hash = "";
	return base;
}

async function request(url, options) {
	let response, answer;
	try {
		const signal = AbortSignal.timeout(REQUEST_MS);
		// No redirect is followed: a key is for this server alone.
		const safe = { cache: "no-store", credentials: "omit", redirect: "manual", signal };
		response = await fetch(url, { ...safe, ...options });
		answer = Object(await response.json());
	} catch (error) {
		if (!(error instanceof SyntaxError))
			throw new TickerError("unreachable", "the server cannot be reached", { terminal: false });
	}
	if (response.ok && answer) return answer;
	const { status: code, headers } = response;
	const error = answer?.error ?? `status ${code}, as from no Ticker server`;
	const terminal = code < 500 && ![408, 425, 429].includes(code);
	const retryAfterMs = Number(headers.get("Retry-After")) * 1000 || 0;
	throw new TickerError(KINDS[code] ?? "unexpected", error, { terminal, retryAfterMs, code });
}

/** Exchange an API key for `{token, user_id, role, expires_in}`. */
export const exchange = (apiKey, url) =>
	request(new URL("auth/token", baseOf(url)), {
		method: "POST",
		headers: { "Content-Type": "application/json" },
		body: JSON.stringify({ api_key: apiKey }),
	});

function parse(data) {
	const message = JSON.parse(data);
	if (message.type !== "ticker") return message;
	const texts = data.match(/"price":[^,}]+/g) ?? [];
	for (const [at, quote] of message.data.entries()) quote.text = texts[at].slice(8).trim();
	return message;
}

export function connect(options) {
	const client = new TickerClient(options);
	const opened = client.opened.then(() => {
		delete client.then; // a promise never fulfils with a promise
		return client;
	});
	client.then = (...handlers) => opened.then(...handlers);
	opened.catch(() => {});
	return client;
}

export class TickerClient extends EventTarget {
	state = { name: "connecting" };
	latest = new Map();
	position;
	opened;
	#settleOpened;
	#url;
	#tokens;
	#renewed = false; // a token was refused before its time
	#wanted;
	#granted = false;
	#held; // symbols of the last subscription
	#epoch;
	#asked;
	#sentId; // of what was asked for last; none for the handshake's query
	#sent = new Map();
	#socket;
	#shown = false;
	#lost = false;
	#stale = new Map();
	#check;
	#hangUp;
	#wake;
	#attempt = 0;
	#lastId = 0;
	#inboxes = new Set();

	constructor({ symbols, tokens, ...how }) {
		super();
		this.#url = baseOf(how.url);
		this.#tokens = tokens ?? new Tokens(how);
		this.#wanted = subscription(symbols, how);
		this.position = how.resume ?? null;
		this.opened = new Promise((resolve, reject) => (this.#settleOpened = { resolve, reject }));
		this.opened.catch(() => {});
		globalThis.addEventListener?.("online", this.retryNow);
		queueMicrotask(() => this.#run());
	}

	async subscribe(symbols, intervalMs, how) {
		const message = subscription(symbols, { ...how, intervalMs });
		this.#asked?.reject(new TickerError("superseded", "asked again", { terminal: false }));
		return new Promise((resolve, reject) => {
			this.#asked = { message, resolve, reject };
			this.#sendSubscription();
		});
	}

	isLive(symbol) {
		return this.#shown && this.latest.has(symbol) && !this.staleStatus(symbol);
	}

	staleStatus(symbol) {
		const status = this.#stale.get(this.latest.get(symbol)?.source ?? UNNAMED_SOURCE);
		return status && (!status.symbols || status.symbols.includes(symbol)) ? status : null;
	}

	async get(path) {
		const headers = { Authorization: `Bearer ${await this.token()}` };
		return request(new URL(path.replace(/^\/+/, ""), this.#url), { headers });
	}

	token = () => this.#tokens.fresh();

	retryNow = () => this.#wake?.();

	check = () => this.#check?.();

	close = () => this.#end(null);

	async *[Symbol.asyncIterator]() {
		const inbox = { queue: [] };
		this.#inboxes.add(inbox);
		try {
			for (;;) {
				const error = inbox.error ?? this.state.error;
				if (inbox.queue.length) yield inbox.queue.shift();
				else if (error) throw error;
				else if (this.#closed) return;
				else await new Promise((wake) => (inbox.wake = wake));
			}
		} finally {
			this.#inboxes.delete(inbox);
		}
	}

	async #run() {
		while (!this.#closed) {
			let wait;
			try {
				const token = await this.token();
				if (this.#closed) return;
				wait = await this.#afterStream(await this.#stream(token));
			} catch (error) {
				// Once there has been a stream, what no Ticker server says is a proxy's word.
				const passes = error.kind === "unexpected" && !this.#settleOpened;
				if (error.terminal !== false && !passes) return this.#end(error);
				wait = { reason: error.kind, ms: error.retryAfterMs };
			}
			if (wait.reason && !this.#closed) await this.#pause(wait);
			if (!this.#closed) this.#become({ name: "connecting" });
		}
	}

	#pause({ reason, ms = 0 }) {
		const most = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** this.#attempt++);
		const wait = Math.min(WAIT_MOST_MS, ms) + Math.random() * most;
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, wait);
			this.#wake = () => resolve(clearTimeout(timer));
			this.#become({ name: "waiting", reason, retryAt: Date.now() + wait });
			this.#tellLoss(reason, wait);
		});
	}

	#tellLoss(reason, retryInMs) {
		if (this.#lost || this.#settleOpened) return;
		this.#lost = true;
		this.#deliver({ type: "disconnected", reason, retryInMs });
	}

	#stream(token) {
		return new Promise((resolve) => {
			const url = new URL("ws/ticker", this.#url);
			url.protocol = url.protocol.replace("http", "ws");
			this.#sentId = 0;
			this.#sent.clear();
			if (this.#granted && !this.#asked) {
				url.search = query(this.#request());
				if (url.search) this.#sentId = undefined;
			}
			const socket = new WebSocket(url, ["ticker.v1", `bearer.${token}`]);
			const end = { token, opened: false, welcomedAt: 0, retryAfterMs: 0 };
			const begun = performance.now();
			let [heardAt, probedAt] = [begun, -Infinity];
			this.#hangUp = (code = 1000) => {
				clearInterval(watch);
				socket.onopen = socket.onmessage = socket.onclose = null;
				socket.close();
				this.#socket = this.#hangUp = this.#check = null;
				this.#shown = false;
				resolve({ ...end, code });
			};
			this.#check = () => {
				this.#keepToken(end);
				const now = performance.now();
				const probed = heardAt <= probedAt;
				const beginning = !this.#shown && now - (end.welcomedAt || begun) > REQUEST_MS;
				if (beginning || (probed && now - probedAt >= PROBE_ANSWER_MS)) this.#hangUp(4101);
				else if (end.welcomedAt && !probed && now - heardAt >= PROBE_AFTER_MS) {
					probedAt = now;
					this.#send({ type: "ping", id: PROBE });
				}
			};
			const watch = setInterval(this.#check, WATCH_MS);
			socket.onopen = () => (end.opened = true);
			socket.onclose = ({ code }) => this.#hangUp(code);
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

	#take(message) {
		const { type, id } = message;
		if (type === "pong" && id === PROBE) return;
		if (type === "ticker") {
			if (!this.#shown) {
				// Was the handshake's query passed over?
				if (this.#sentId === undefined) this.#sendSubscription();
				return;
			}
			const before = this.position?.seq ?? -1;
			this.position = message.prev > before ? null : { epoch: this.#epoch, seq: message.seq };
			if (!this.position) return this.#hangUp();
			if (message.snapshot) this.latest.clear();
			for (const quote of message.data) this.latest.set(quote.symbol, quote);
		} else if (type === "status") {
			if (message.state === "live") this.#stale.delete(message.source);
			else this.#stale.set(message.source, message);
		} else if (type === "epoch") {
			this.#epoch = message.epoch;
		} else if (type === "welcome") {
			this.#epoch = message.epoch;
			this.#stale.clear();
			this.#become({ name: "open" });
		} else if (type === "error" && id && id === this.#sentId) {
			this.#refused(new TickerError(message.code, message.message, { terminal: !this.#asked }));
		}
		this.#deliver(message);
		if (type === "subscribed" && (id === this.#sentId || this.#sent.has(id))) this.#confirmed(message);
		if (type !== "welcome" || this.#sentId || this.#closed) return;
		const plain = this.#sentId === 0;
		if (this.#asked || (plain && query(this.#wanted))) this.#sendSubscription();
		else if (plain) this.#show();
	}

	#sendSubscription() {
		if (!this.#socket) return;
		const message = this.#asked?.message ?? this.#request();
		this.#sentId = ++this.#lastId;
		this.#sent.set(this.#sentId, message);
		this.#send({ ...message, id: this.#sentId });
	}

	#request() {
		const resume = ["changes", "every"].includes(this.#wanted.mode) && this.position;
		return { ...this.#wanted, resume: resume || undefined };
	}

	#confirmed(answer) {
		const held = new Set(answer.symbols);
		for (const symbol of this.latest.keys()) if (!held.has(symbol)) this.latest.delete(symbol);
		// Of a symbol that was not held, as for a wider role, only changes would come.
		const lacking = answer.resumed && this.#held && [...held].some((symbol) => !this.#held.has(symbol));
		this.#held = held;
		if (lacking) {
			this.position = null;
			return this.#hangUp();
		}
		this.#wanted = this.#sent.get(answer.id) ?? this.#wanted;
		this.#sent.delete(answer.id);
		if (answer.id === this.#sentId) {
			this.#asked?.resolve(answer);
			this.#asked = null;
		}
		this.#granted = true;
		this.#epoch = answer.epoch;
		if (answer.resumed) this.position ??= this.#wanted.resume;
		else this.position = null;
		this.#show(answer.resumed);
	}

	#refused(error) {
		if (!this.#asked) return this.#end(error);
		this.#asked.reject(error);
		this.#asked = null;
		if (!this.#shown) this.#sendSubscription();
	}

	#show(resumed = false) {
		if (this.#shown) return;
		this.#shown = true;
		if (this.#lost) this.#deliver({ type: "reconnected", resumed });
		this.#lost = false;
		this.#settleOpened?.resolve();
		this.#settleOpened = null;
	}

	async #afterStream({ code, token, opened, welcomedAt, retryAfterMs }) {
		if (welcomedAt && performance.now() - welcomedAt >= STABLE_MS) {
			this.#attempt = 0;
			this.#renewed = false;
		}
		if (code === 4001) return this.#renewOnce(token);
		if (code >= 4000 && code < 4100) throw new TickerError("ended", `close code ${code}`, { code });
		if (code === 1012) return { reason: "restarting", ms: retryAfterMs };
		if (opened) return { reason: code === 4101 ? "silent" : "lost", ms: retryAfterMs };
		// A browser does not tell why a handshake was refused.
		try {
			await this.get("prices");
		} catch (error) {
			if (error.code === 401) return this.#renewOnce(token);
			if (!error.terminal) return { reason: error.kind, ms: error.retryAfterMs };
		}
		this.#granted = false;
		return { reason: "refused" };
	}

	#renewOnce(token) {
		const early = this.#tokens.drop(token);
		if ((early && this.#renewed) || !this.#tokens.renewable) throw ended();
		this.#renewed ||= early;
		this.#tellLoss("token_ended", 0);
		return {};
	}

	#keepToken(end) {
		this.#tokens.keep().catch((error) => this.#end(error));
		const { held } = this.#tokens;
		if (this.#socket && held && held !== end.token) this.#send({ type: "auth", token: (end.token = held) });
	}

	#send(message) {
		this.#socket?.send(JSON.stringify(message));
	}

	#deliver(message) {
		const every = this.#wanted.mode === "every";
		const tick = ({ type }) => type === "ticker";
		for (const inbox of this.#inboxes) {
			if (inbox.error) continue;
			const { queue } = inbox;
			const at = !every && tick(message) ? queue.findLastIndex(tick) : -1;
			const length = queue.push(at < 0 ? message : merged(...queue.splice(at, 1), message));
			if (length > INBOX_MOST && every) inbox.error = new TickerError("behind", "the loop is too slow");
			else if (length > INBOX_MOST) queue.shift();
			inbox.wake?.();
		}
		this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
	}

	#become(state) {
		this.state = state;
		this.dispatchEvent(new CustomEvent("state", { detail: state }));
	}

	get #closed() {
		return this.state.name === "closed";
	}

	#end(error) {
		if (this.#closed) return;
		globalThis.removeEventListener?.("online", this.retryNow);
		this.#tokens = new Tokens({});
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

/** One token for several streams, renewed ahead of its end. */
export class Tokens {
	held = null;
	#obtain;
	#asking;
	#endsAt = Infinity;
	#dueAt = Infinity;
	#tryAt = Infinity;

	constructor({ url, apiKey, getToken, token, grant = token && { token } }) {
		this.#obtain = getToken ? () => tokenFrom(getToken) : apiKey && (() => exchange(apiKey, url));
		if (grant) this.#accept(grant);
	}

	get renewable() {
		return Boolean(this.#obtain);
	}

	async fresh() {
		if (!this.held || Date.now() >= this.#endsAt) await this.#renew();
		return this.held;
	}

	async keep() {
		if (!this.renewable || Date.now() < this.#tryAt) return;
		try {
			await this.#renew();
		} catch (error) {
			if (error.terminal && error.kind !== "unexpected") throw error;
			const left = Math.min(BACKOFF_MOST_MS, this.#endsAt - Date.now());
			this.#tryAt = Date.now() + error.retryAfterMs + Math.max(BACKOFF_FIRST_MS, (left / 2) * Math.random());
		}
	}

	/** Let go of a refused token. Returns whether that came before its time. */
	drop(token) {
		if (token !== this.held) return false;
		this.held = null;
		return Date.now() < this.#dueAt;
	}

	#renew() {
		if (!this.#obtain) throw ended();
		const asking = async () => this.#accept(await this.#obtain());
		return (this.#asking ??= asking().finally(() => (this.#asking = null)));
	}

	#accept({ token, expires_in: seconds = Infinity }) {
		if (!token?.match?.(/^[!-~]+$/)) throw new TickerError("unexpected", "there is no token in the answer");
		const lifeMs = seconds * 1000;
		this.held = token;
		this.#endsAt = Date.now() + lifeMs;
		this.#tryAt = this.#dueAt = Date.now() + lifeMs * (RENEW_AT[0] + Math.random() * RENEW_AT[1]);
	}
}

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

function merged(old, message) {
	if (!old) return message;
	const { prev, snapshot } = old;
	if (message.prev === undefined) return snapshot ? { ...message, snapshot } : message;
	const quotes = new Map([...old.data, ...message.data].map((quote) => [quote.symbol, quote]));
	return { ...message, data: [...quotes.values()], prev, snapshot };
}

function subscription(symbols, { intervalMs, mode, detail, resume }) {
	if (typeof symbols === "string") throw new TypeError('symbols is a list, as in ["BTC-USD"]');
	const interval_ms = intervalMs || undefined;
	const message = { type: "subscribe", symbols: symbols ?? undefined, interval_ms, mode, detail, resume };
	if (new TextEncoder().encode(JSON.stringify(message)).length > MESSAGE_MOST_BYTES - 32) {
		throw new RangeError("too many symbols for one subscription; leave them out for all");
	}
	return message;
}

function query({ type, resume, ...fields }) {
	const pairs = Object.entries(fields).filter(([, value]) => value !== undefined);
	if (resume) pairs.push(["resume", `${resume.epoch}:${resume.seq}`]);
	return String(new URLSearchParams(pairs));
}
