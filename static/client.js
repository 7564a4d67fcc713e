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
		response = await fetch(url, { cache: "no-store", credentials: "omit", redirect: "manual", signal, ...options });
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

/** The client at once, and, where it is awaited, once it is open. */
export function connect({ symbols, tokens, ...how }) {
	const client = new EventTarget();
	const base = baseOf(how.url);
	tokens ??= new Tokens(how);
	let wanted = subscription(symbols, how);
	let settleOpened;
	let renewed = false; // a token was refused before its time
	let granted = false;
	let held; // symbols of the last subscription
	let epoch;
	let asked;
	let sentId; // of what was asked for last; none for the handshake's query
	const sent = new Map();
	let greeted; // the socket, once it was welcomed
	let shown = false;
	let lost = false;
	const stale = new Map();
	let hangUp;
	let wake;
	let attempt = 0;
	let lastId = 0;
	const inboxes = new Set();
	Object.assign(client, { state: { name: "connecting" }, latest: new Map(), position: how.resume ?? null, check() {} });
	client.opened = new Promise((resolve, reject) => (settleOpened = { resolve, reject }));

	client.subscribe = async (symbols, intervalMs, how) => {
		const message = subscription(symbols, { ...how, intervalMs });
		settle("reject", new TickerError("superseded", "asked again", { terminal: false }));
		return new Promise((resolve, reject) => {
			asked = { message, resolve, reject };
			sendSubscription();
		});
	};

	client.token = () => tokens.fresh();
	client.retryNow = () => wake?.();
	client.close = () => finish(null);
	client.isLive = (symbol) => shown && client.latest.has(symbol) && !client.staleStatus(symbol);

	client.staleStatus = (symbol) => {
		const status = stale.get(client.latest.get(symbol)?.source ?? UNNAMED_SOURCE);
		return status && (!status.symbols || status.symbols.includes(symbol)) ? status : null;
	};

	client.get = async (path) => {
		const headers = { Authorization: `Bearer ${await tokens.fresh()}` };
		return request(new URL(path.replace(/^\/+/, ""), base), { headers });
	};

	client[Symbol.asyncIterator] = async function* () {
		const inbox = { queue: [] };
		inboxes.add(inbox);
		try {
			for (;;) {
				const error = inbox.error ?? client.state.error;
				if (inbox.queue.length) yield inbox.queue.shift();
				else if (error) throw error;
				else if (closed()) return;
				else await new Promise((wake) => (inbox.wake = wake));
			}
		} finally {
			inboxes.delete(inbox);
		}
	};

	async function run() {
		while (!closed()) {
			let wait;
			try {
				const token = await tokens.fresh();
				if (closed()) return;
				wait = await afterStream(await stream(token));
			} catch (error) {
				// Once there has been a stream, what no Ticker server says is a proxy's word.
				const passes = error.kind === "unexpected" && !settleOpened;
				if (error.terminal !== false && !passes) return finish(error);
				wait = { reason: error.kind, ms: error.retryAfterMs };
			}
			if (wait.reason && !closed()) await pause(wait);
			if (!closed()) become({ name: "connecting" });
		}
	}

	function pause({ reason, ms = 0 }) {
		const most = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** attempt++);
		const wait = Math.min(WAIT_MOST_MS, ms) + Math.random() * most;
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, wait);
			wake = () => resolve(clearTimeout(timer));
			become({ name: "waiting", reason, retryAt: Date.now() + wait });
			tellLoss(reason, wait);
		});
	}

	function tellLoss(reason, retryInMs) {
		if (lost || settleOpened) return;
		lost = true;
		deliver({ type: "disconnected", reason, retryInMs });
	}

	function stream(token) {
		return new Promise((resolve) => {
			const url = new URL("ws/ticker", base);
			url.protocol = url.protocol.replace("http", "ws");
			sentId = 0;
			sent.clear();
			if (granted && !asked) {
				url.search = query(asking());
				if (url.search) sentId = undefined;
			}
			const socket = new WebSocket(url, ["ticker.v1", `bearer.${token}`]);
			const end = { token };
			const begun = performance.now();
			let [heardAt, probedAt] = [begun, -Infinity];
			hangUp = (code = 1000) => {
				clearInterval(watch);
				socket.onopen = socket.onmessage = socket.onclose = null;
				socket.close();
				greeted = hangUp = null;
				client.check = () => {};
				shown = false;
				resolve({ ...end, code });
			};
			client.check = () => {
				keepToken(end);
				const now = performance.now();
				const probed = heardAt <= probedAt;
				const beginning = !shown && now - (end.welcomedAt || begun) > REQUEST_MS;
				if (beginning || (probed && now - probedAt >= PROBE_ANSWER_MS)) hangUp(4101);
				else if (end.welcomedAt && !probed && now - heardAt >= PROBE_AFTER_MS) {
					probedAt = now;
					send({ type: "ping", id: PROBE });
				}
			};
			const watch = setInterval(client.check, WATCH_MS);
			socket.onopen = () => (end.opened = true);
			socket.onclose = ({ code }) => hangUp(code);
			socket.onmessage = ({ data }) => {
				heardAt = performance.now();
				const message = parse(data);
				if (message.type === "closing") end.retryAfterMs = message.retry_after_ms;
				if (message.type === "welcome" && !end.welcomedAt) {
					end.welcomedAt = heardAt;
					greeted = socket;
				}
				take(message);
			};
		});
	}

	function take(message) {
		const { type, id } = message;
		if (type === "pong" && id === PROBE) return;
		epoch = message.epoch ?? epoch;
		if (type === "ticker") {
			if (!shown) {
				// Was the handshake's query passed over?
				if (sentId === undefined) sendSubscription();
				return;
			}
			client.position = message.prev > (client.position?.seq ?? -1) ? null : { epoch, seq: message.seq };
			if (!client.position) return hangUp();
			if (message.snapshot) client.latest.clear();
			for (const quote of message.data) client.latest.set(quote.symbol, quote);
		} else if (type === "status") {
			if (message.state === "live") stale.delete(message.source);
			else stale.set(message.source, message);
		} else if (type === "welcome") {
			stale.clear();
			become({ name: "open" });
		} else if (type === "error" && id && id === sentId) {
			refused(new TickerError(message.code, message.message, { terminal: !asked }));
		}
		deliver(message);
		if (type === "subscribed" && (id === sentId || sent.has(id))) confirmed(message);
		if (type !== "welcome" || sentId || closed()) return;
		const plain = sentId === 0;
		if (asked || (plain && query(wanted))) sendSubscription();
		else if (plain) show();
	}

	function sendSubscription() {
		if (!greeted) return;
		const message = asked?.message ?? asking();
		sentId = ++lastId;
		sent.set(sentId, message);
		send({ ...message, id: sentId });
	}

	function asking() {
		const resume = ["changes", "every"].includes(wanted.mode) && client.position;
		return { ...wanted, resume: resume || undefined };
	}

	function confirmed(answer) {
		const holds = new Set(answer.symbols);
		for (const symbol of client.latest.keys()) if (!holds.has(symbol)) client.latest.delete(symbol);
		// Of a symbol that was not held, as for a wider role, only changes would come.
		const lacking = answer.resumed && held && [...holds].some((symbol) => !held.has(symbol));
		held = holds;
		if (lacking) {
			client.position = null;
			return hangUp();
		}
		wanted = sent.get(answer.id) ?? wanted;
		sent.delete(answer.id);
		if (answer.id === sentId) settle("resolve", answer);
		granted = true;
		client.position = answer.resumed ? (client.position ?? wanted.resume) : null;
		show(answer.resumed);
	}

	function settle(how, value) {
		asked?.[how](value);
		asked = null;
	}

	function refused(error) {
		if (!asked) return finish(error);
		settle("reject", error);
		if (!shown) sendSubscription();
	}

	function show(resumed = false) {
		if (shown) return;
		shown = true;
		if (lost) deliver({ type: "reconnected", resumed });
		lost = false;
		settleOpened?.resolve();
		settleOpened = null;
	}

	async function afterStream({ code, token, opened, welcomedAt, retryAfterMs }) {
		if (performance.now() - welcomedAt >= STABLE_MS) {
			attempt = 0;
			renewed = false;
		}
		if (code === 4001) return renewOnce(token);
		if (code >= 4000 && code < 4100) throw new TickerError("ended", `close code ${code}`, { code });
		if (code === 1012) return { reason: "restarting", ms: retryAfterMs };
		if (opened) return { reason: code === 4101 ? "silent" : "lost", ms: retryAfterMs };
		// A browser does not tell why a handshake was refused.
		try {
			await client.get("prices");
		} catch (error) {
			if (error.code === 401) return renewOnce(token);
			if (!error.terminal) return { reason: error.kind, ms: error.retryAfterMs };
		}
		granted = false;
		return { reason: "refused" };
	}

	function renewOnce(token) {
		const early = tokens.drop(token);
		if ((early && renewed) || !tokens.renewable) throw ended();
		renewed ||= early;
		tellLoss("token_ended", 0);
		return {};
	}

	function keepToken(end) {
		tokens.keep().catch(finish);
		const now = tokens.held;
		if (greeted && now && now !== end.token) send({ type: "auth", token: (end.token = now) });
	}

	const send = (message) => greeted?.send(JSON.stringify(message));

	function deliver(message) {
		const every = wanted.mode === "every";
		const tick = ({ type }) => type === "ticker";
		for (const inbox of inboxes) {
			if (inbox.error) continue;
			const { queue } = inbox;
			const at = !every && tick(message) ? queue.findLastIndex(tick) : -1;
			const length = queue.push(at < 0 ? message : merged(...queue.splice(at, 1), message));
			if (length > INBOX_MOST && every) inbox.error = new TickerError("behind", "the loop is too slow");
			else if (length > INBOX_MOST) queue.shift();
			inbox.wake?.();
		}
		client.dispatchEvent(new CustomEvent(message.type, { detail: message }));
	}

	function become(state) {
		client.state = state;
		client.dispatchEvent(new CustomEvent("state", { detail: state }));
	}

	const closed = () => client.state.name === "closed";

	function finish(error) {
		if (closed()) return;
		globalThis.removeEventListener?.("online", client.retryNow);
		tokens = new Tokens({});
		become({ name: "closed", error });
		hangUp?.();
		wake?.();
		const reason = error ?? new TickerError("closed", "the client was closed");
		settleOpened?.reject(reason);
		settle("reject", reason);
		for (const inbox of inboxes) inbox.wake?.();
	}

	globalThis.addEventListener?.("online", client.retryNow);
	queueMicrotask(run);
	const opened = client.opened.then(() => {
		delete client.then; // a promise never fulfils with a promise
		return client;
	});
	client.then = (...handlers) => opened.then(...handlers);
	opened.catch(() => {});
	return client;
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
