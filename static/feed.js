/**
 * What fills the market: the board's stream of changes, the charted symbol's at full pace beside
 * it, and the history. Both streams share one token.
 */

import { connect, Tokens } from "./client.js";

const BOARD_MS = 100; // between two updates of the board
const HIDDEN_MS = 1000; // ... of anything while the page is hidden
const STYLE = { mode: "changes", detail: "full" };
const NAMES_MOST = 3800; // characters of names that fit into a message; beyond, all are asked for
const BATCH = 250; // symbols in one request for history
const RETRY_MS = 2000;

export const hidden = () => document.visibilityState === "hidden";

const pace = (ms) => (hidden() ? HIDDEN_MS : ms);

/** `names()` gives the symbols wanted, null for all; the handlers are those of the board's messages, and `closeup`. */
export function createFeed(credentials, market, names, { closeup: onCloseup, ...on }) {
	const tokens = new Tokens(credentials);
	const seeded = new Set(); // symbols whose last hour was asked for
	let known = [];
	let closeup = null;

	/** A stream that asks for nothing that it has asked for already. */
	function stream(symbols, ms, listeners) {
		let asked = [symbols, pace(ms)].join();
		const client = connect({ tokens, ...STYLE, symbols, intervalMs: pace(ms) });
		client.ask = (symbols) => {
			if (asked === (asked = [symbols, pace(ms)].join())) return;
			client.subscribe(symbols, pace(ms), STYLE).catch(() => {});
		};
		for (const [type, listen] of Object.entries(listeners)) client.addEventListener(type, ({ detail }) => listen(detail));
		return client;
	}

	const board = stream(null, BOARD_MS, {
		...on,
		welcome(message) {
			known = message.symbols ?? [];
			market.restart();
			seeded.clear();
			refresh();
			on.welcome(message);
		},
		ticker(message) {
			market.heardAt = Date.now();
			const fresh = market.tick(message);
			if (fresh) seed();
			on.ticker(fresh);
		},
	});

	/** Ask for what is wanted now: another list, another symbol at full pace, or another pace. */
	function refresh() {
		const found = names()?.filter((symbol) => !known.length || known.includes(symbol));
		board.ask(found?.length && JSON.stringify(found).length < NAMES_MOST ? found : null);
		if (!market.followed) return;
		const symbols = [market.followed];
		if (closeup && closeup.state.name !== "closed") closeup.ask(symbols);
		else closeup = stream(symbols, 0, { ticker: (message) => onCloseup(market.tick(message)) });
	}

	/** A page of history, asked for again where the server is busy; null where that does not help. */
	async function get(path) {
		for (;;) {
			try {
				return await board.get(path);
			} catch ({ kind, retryAfterMs }) {
				if (!["too_many", "unavailable"].includes(kind) || board.state.name !== "open") return null;
				await new Promise((resolve) => setTimeout(resolve, retryAfterMs || RETRY_MS));
			}
		}
	}

	/** The last hour of all symbols that it was not asked of yet. */
	async function seed() {
		const fresh = [...market.series.keys()].filter((symbol) => !seeded.has(symbol));
		for (let at = 0; at < fresh.length; at += BATCH) {
			const symbols = fresh.slice(at, at + BATCH);
			for (const symbol of symbols) seeded.add(symbol);
			const found = await get(`history?step=1m&limit=62&symbols=${symbols.map(encodeURIComponent)}`);
			for (const [symbol, bars] of Object.entries(found?.bars ?? {})) market.seed(symbol, bars);
		}
	}

	const streams = () => [board, closeup].filter(Boolean);
	// Either stream that has it knows.
	market.statusOf = (symbol) =>
		streams().map((client) => client.latest.has(symbol) && client.staleStatus(symbol)).find(Boolean) || null;
	return {
		refresh,

		/** The charted symbol's newest bars; null where there are none to be had. */
		history: async (step, limit) =>
			(await get(`prices/${encodeURIComponent(market.followed)}/history?step=${step}&limit=${limit}`))?.bars,

		/** Every symbol that may be seen. */
		symbols: () => [...new Set([...known, ...market.series.keys()])],
		get state() {
			return board.state;
		},
		check: () => streams().forEach((client) => client.check()),
		retryNow: () => streams().forEach((client) => client.retryNow()),
		close: () => streams().forEach((client) => client.close()),
	};
}
