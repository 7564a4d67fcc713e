/**
 * Ticker's client for the browser. It needs nothing but this file.
 *
 *     import { connect } from "/client.js";
 *
 *     const client = connect({ apiKey: "tk_…", symbols: ["BTC-USD"], intervalMs: 100 });
 *     client.addEventListener("ticker", ({ detail }) => console.log(detail.data));
 *     client.addEventListener("state", ({ detail }) => console.log(detail.name));
 *
 *     for await (const message of client) { … }   // or so: ends with the client
 *
 * Options, all but one of `apiKey` and `token` optional:
 *   url         where the server is; default: the page's own origin
 *   apiKey      exchanged for a token, and again ahead of the token's expiry
 *   token       a token got elsewhere; it cannot be renewed without a key
 *   grant       an answer of `exchange()` for that key, to spare the first exchange
 *   symbols     what to subscribe to; null is everything
 *   intervalMs  the time between two updates; null is every tick
 *
 * Events: every message under its own type (`welcome`, `ticker`, `status`, `closing`,
 * `error`, …) with the message as `detail`, and `state` whenever `client.state` changes:
 *   { name: "connecting" }
 *   { name: "open" }
 *   { name: "waiting", reason, retryAt, attempt }   retryAt in ms since the epoch
 *   { name: "closed", error }                       a TickerError, or null after close()
 *
 * Rules of reconnecting: close codes 40xx end the client, for the cause must be mended
 * first; only 4001 (token expired or revoked) is answered with one new token where a key
 * is at hand. Everything else connects again: after what `closing` asked for, else with
 * exponential backoff and full jitter. Token and key are kept in memory only.
 */

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 30_000; // nobody should wait longer for a server that is back
const STABLE_MS = 5_000; // a stream that lived this long starts the backoff anew
const REQUEST_MS = 10_000; // for one HTTP request, and for a handshake until `welcome`
const QUIET_MS = 10_000; // nothing heard: ask; nothing heard for twice as long: lost
const RENEW_AT = 0.8; // of the token's lifetime
const TIMER_MOST_MS = 2 ** 31 - 1; // what setTimeout can hold
const MESSAGE_MOST_BYTES = 4096; // the server's limit
const INBOX_MOST = 64; // messages other than ticks kept for a slow loop

/** Why something was refused or ended. `terminal`: connecting again cannot mend it. */
export class TickerError extends Error {
  constructor(kind, message, { terminal = false, retryAfterMs = null, code = null } = {}) {
    super(message);
    this.name = "TickerError";
    Object.assign(this, { kind, terminal, retryAfterMs, code });
  }
}

const REFUSALS = {
  400: ["key_required", true],
  401: ["key_refused", true],
  403: ["forbidden", true],
  404: ["not_found", true],
  413: ["key_too_long", true],
  429: ["too_many", false],
  503: ["unavailable", false],
};

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, {
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(REQUEST_MS),
      ...options,
    });
    if (response.ok) return await response.json();
  } catch {
    throw new TickerError("unreachable", "the server cannot be reached");
  }
  const [kind, terminal] = REFUSALS[response.status] ?? ["unexpected", false];
  const { error = response.statusText } = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  const retryAfterMs = seconds >= 0 ? seconds * 1000 : null;
  throw new TickerError(kind, error, { terminal, retryAfterMs, code: response.status });
}

/** Exchange an API key for `{token, user_id, role, expires_in}`; a TickerError says why not. */
export function exchange(apiKey, url = location.origin) {
  return request(new URL("/auth/token", url), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ api_key: apiKey }),
  });
}

/** Connect, and stay connected until `close()` or a refusal that is final. */
export const connect = (options) => new TickerClient(options);

export class TickerClient extends EventTarget {
  #url;
  #apiKey;
  #token = null;
  #expiresAt = Infinity;
  #granting = null;
  #renewal = 0;
  #renewedFor4001 = false;
  #wanted;
  #socket = null;
  #hangUp = null;
  #wake = null;
  #attempt = 0;
  #lastId = 0;
  #inboxes = new Set();

  constructor({ url = location.origin, apiKey, token, grant, symbols = null, intervalMs = null }) {
    super();
    this.#url = new URL(url);
    this.#apiKey = apiKey;
    this.#wanted = { symbols, intervalMs };
    this.state = { name: "connecting" };
    if (token) this.#token = token;
    if (grant) this.#accept(grant);
    globalThis.addEventListener("online", this.retryNow);
    queueMicrotask(() => this.#run());
  }

  /** Replace the subscription, now and after each reconnect. Returns the message's id. */
  subscribe(symbols = null, intervalMs = null) {
    const message = subscription(symbols, intervalMs);
    if (new Blob([message]).size > MESSAGE_MOST_BYTES - 32) throw new RangeError("too many symbols");
    this.#wanted = { symbols, intervalMs };
    return this.#send({ ...JSON.parse(message), id: ++this.#lastId });
  }

  /** GET a JSON resource of the same server with our token, as in `/prices/BTC-USD/history`. */
  async get(path) {
    const url = new URL(path, this.#url);
    const fetched = async () =>
      request(url, { headers: { Authorization: `Bearer ${await this.#freshToken()}` } });
    try {
      return await fetched();
    } catch (error) {
      if (error.code !== 401 || !this.#apiKey) throw error;
      this.#token = null;
      return fetched();
    }
  }

  /** Cut a wait for the next try short. */
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
        if (message) {
          if (message === inbox.tick) inbox.tick = null;
          yield message;
        } else if (this.state.name === "closed") {
          if (this.state.error) throw this.state.error;
          return;
        } else {
          await new Promise((wake) => (inbox.wake = wake));
        }
      }
    } finally {
      this.#inboxes.delete(inbox);
    }
  }

  async #run() {
    while (this.state.name !== "closed") {
      let wait;
      try {
        const token = await this.#freshToken();
        if (this.state.name === "closed") return;
        wait = await this.#afterStream(await this.#stream(token));
      } catch (error) {
        if (!(error instanceof TickerError) || error.terminal) return this.#end(error);
        wait = { reason: error.kind, ms: error.retryAfterMs };
      }
      if (this.state.name === "closed") return;
      const most = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** this.#attempt);
      const ms = wait.ms ?? Math.random() * most;
      if (wait.ms == null) this.#attempt += 1;
      if (ms > 0) {
        const retryAt = Date.now() + ms;
        this.#become({ name: "waiting", reason: wait.reason, retryAt, attempt: this.#attempt });
        await this.#sleep(ms);
      }
      if (this.state.name !== "closed") this.#become({ name: "connecting" });
    }
  }

  /** One stream, from handshake to its end: how it ended, and after how long. */
  #stream(token) {
    return new Promise((resolve) => {
      const url = new URL("/ws/ticker", this.#url);
      url.protocol = url.protocol.replace("http", "ws");
      const socket = new WebSocket(url, ["ticker.v1", `bearer.${token}`]);
      const end = { code: 1006, opened: false, welcomedAt: null, retryAfterMs: null };
      let heardAt = Date.now();
      let finish = (code) => {
        finish = () => {};
        clearInterval(watch);
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
        this.#socket = this.#hangUp = null;
        resolve({ ...end, code });
      };
      const watch = setInterval(() => {
        const quiet = Date.now() - heardAt;
        if (end.welcomedAt === null ? quiet > REQUEST_MS : quiet > 2 * QUIET_MS) finish(4101);
        else if (end.welcomedAt !== null && quiet > QUIET_MS) this.#send({ type: "ping" });
      }, QUIET_MS / 4);
      this.#hangUp = () => finish(1000);
      socket.onopen = () => (end.opened = true);
      socket.onclose = ({ code }) => finish(code);
      socket.onmessage = ({ data }) => {
        heardAt = Date.now();
        const message = JSON.parse(data);
        if (message.type === "welcome") {
          end.welcomedAt = heardAt;
          this.#socket = socket;
          const { symbols, intervalMs } = this.#wanted;
          if (symbols || intervalMs) this.subscribe(symbols, intervalMs);
          this.#become({ name: "open" });
        } else if (message.type === "closing") {
          end.retryAfterMs = message.retry_after_ms;
        }
        this.#deliver(message);
      };
    });
  }

  /** What to do after a stream's end: how long to wait and why, or a terminal error. */
  async #afterStream({ code, opened, welcomedAt, retryAfterMs }) {
    if (welcomedAt !== null && Date.now() - welcomedAt >= STABLE_MS) {
      this.#attempt = 0;
      this.#renewedFor4001 = false;
    }
    if (this.state.name === "closed") return {};
    if (code === 4001) return this.#tokenRefused();
    if (code >= 4000 && code < 4100) {
      const kind = code === 4000 || code === 4029 ? "misbehaved" : "ended";
      throw new TickerError(kind, `closed by the server (${code})`, { terminal: true, code });
    }
    if (code === 1012) return { reason: "restarting", ms: retryAfterMs };
    if (opened) return { reason: code === 4101 ? "silent" : "lost", ms: retryAfterMs };
    // A browser does not tell why a handshake was refused, so ask where it does.
    try {
      await request(new URL("/prices", this.#url), { headers: { Authorization: `Bearer ${this.#token}` } });
    } catch (error) {
      if (error.code === 401) return this.#tokenRefused();
      if (error.kind !== "forbidden") return { reason: error.kind, ms: error.retryAfterMs };
    }
    return { reason: "refused" };
  }

  #tokenRefused() {
    this.#token = null;
    if (!this.#apiKey || this.#renewedFor4001) {
      throw new TickerError("signed_out", "the token is no longer valid", { terminal: true, code: 4001 });
    }
    this.#renewedFor4001 = true;
    return { ms: 0 };
  }

  async #freshToken() {
    if (this.#token && Date.now() < this.#expiresAt) return this.#token;
    if (!this.#apiKey) throw new TickerError("signed_out", "the token has expired", { terminal: true });
    this.#granting ??= exchange(this.#apiKey, this.#url).finally(() => (this.#granting = null));
    this.#accept(await this.#granting);
    return this.#token;
  }

  #accept({ token, expires_in: seconds }) {
    if (this.state.name === "closed") return;
    this.#token = token;
    this.#expiresAt = Date.now() + seconds * 1000;
    this.#renewAfter(seconds * 1000 * RENEW_AT);
  }

  #renewAfter(ms) {
    clearTimeout(this.#renewal);
    if (this.#apiKey) this.#renewal = setTimeout(() => this.#renew(), Math.min(ms, TIMER_MOST_MS));
  }

  /** Get a new token and hand it to the stream that is open, ahead of the old one's end. */
  async #renew() {
    try {
      this.#accept(await exchange(this.#apiKey, this.#url));
      this.#send({ type: "auth", token: this.#token, id: ++this.#lastId });
    } catch (error) {
      if (error.terminal) this.#end(error);
      else this.#renewAfter(error.retryAfterMs ?? BACKOFF_FIRST_MS + Math.random() * BACKOFF_MOST_MS);
    }
  }

  #send(message) {
    this.#socket?.send(JSON.stringify(message));
    return message.id;
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

  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    }).finally(() => (this.#wake = null));
  }

  #end(error) {
    if (this.state.name === "closed") return;
    clearTimeout(this.#renewal);
    globalThis.removeEventListener("online", this.retryNow);
    this.#apiKey = this.#token = null;
    this.#become({ name: "closed", error });
    this.#hangUp?.();
    this.#wake?.();
    for (const inbox of this.#inboxes) inbox.wake?.();
  }
}

const subscription = (symbols, intervalMs) =>
  JSON.stringify({
    type: "subscribe",
    ...(symbols && { symbols }),
    ...(intervalMs && { interval_ms: intervalMs }),
  });
