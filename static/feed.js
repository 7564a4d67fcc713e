/**
 * What fills the market: the board's stream of changes, the charted symbol's at full pace beside
 * it, and the history.
 */

import { connect } from "./client.js";

const BOARD_MS = 100; // between two updates of the board
const HIDDEN_MS = 1000; // ... of anything while the page is hidden
const STYLE = { mode: "changes", detail: "full" };
const NAMES_MOST = 3800; // characters of names that fit into a message; beyond, all are asked for
const BATCH = 250; // symbols in one request for history
const RETRY_MS = 2000;

export const hidden = () => document.visibilityState === "hidden";

/** `names()` gives the symbols wanted, null for all; `on` has a handler for each message of the board. */
export function createFeed(credentials, market, names, on) {
	const seeded = new Set(); // symbols whose last hour was asked for
	let known = [];
	let board = null;
	let closeup = null;
	let asked = ""; // of the board, the last time

	function wanted() {
		const found = names()?.filter((symbol) => !known.length || known.includes(symbol));
		return found?.length && JSON.stringify(found).length < NAMES_MOST ? found : null;
	}

	const pace = (ms) => (hidden() ? HIDDEN_MS : ms);

	function begin(symbols) {
		const client = connect({ ...credentials, ...STYLE, symbols, intervalMs: pace(BOARD_MS) });
		asked = `${symbols} ${pace(BOARD_MS)}`;
		board = client;
		for (const type of ["state", "welcome", "subscribed", "status", "ticker"]) {
			client.addEventListener(type, ({ detail }) => {
				if (board !== client) return;
				const { kind, code } = detail.error ?? {};
				// One of them is gone: show all there is. With HTTP's code, it is the key that is forbidden.
				if (symbols && ["unknown_symbol", "forbidden"].includes(kind) && !code) begin(null);
				else hear(type, detail);
			});
		}
	}

	function hear(type, message) {
		if (type === "welcome") {
			known = message.symbols ?? [];
			market.restart();
			seeded.clear();
			if (market.followed) follow(market.followed); // what was missed while away
		}
		if (type === "ticker") {
			market.heardAt = Date.now();
			const fresh = market.tick(message);
			if (fresh) seedBoard();
			on.ticker(fresh);
		} else on[type](message);
	}

	/** A page of history, asked for again where the server is busy; null where that does not help. */
	async function get(path) {
		const asking = board;
		for (;;) {
			try {
				return await asking.get(path);
			} catch ({ kind, retryAfterMs }) {
				if (!["too_many", "unavailable"].includes(kind) || asking.state.name !== "open") return null;
				await new Promise((resolve) => setTimeout(resolve, retryAfterMs || RETRY_MS));
			}
		}
	}

	/** The last hour of all symbols that it was not asked of yet. */
	async function seedBoard() {
		const fresh = [...market.series.keys()].filter((symbol) => !seeded.has(symbol));
		for (let at = 0; at < fresh.length; at += BATCH) {
			const symbols = fresh.slice(at, at + BATCH);
			for (const symbol of symbols) seeded.add(symbol);
			const found = await get(`history?step=1m&limit=62&symbols=${symbols.map(encodeURIComponent)}`);
			for (const [symbol, bars] of Object.entries(found?.bars ?? {})) market.seed(symbol, bars);
		}
	}

	/** Show this symbol at full pace, whether it is on the board or not. */
	function follow(symbol) {
		if (closeup && closeup.state.name !== "closed") closeup.subscribe([symbol], pace(), STYLE).catch(() => {});
		else {
			closeup = connect({ getToken: () => board.token(), ...STYLE, symbols: [symbol], intervalMs: pace() });
			closeup.addEventListener("ticker", ({ detail }) => on.closeup(market.tick(detail)));
		}
	}

	begin(wanted());
	return {
		follow,

		/** The charted symbol's newest bars; null where there are none to be had. */
		history: async (step, limit) =>
			(await get(`prices/${encodeURIComponent(market.followed)}/history?step=${step}&limit=${limit}`))?.bars,

		/** Ask for what is wanted now: another list, or another pace. */
		refresh() {
			const [symbols, ms] = [wanted(), pace(BOARD_MS)];
			if (asked === (asked = `${symbols} ${ms}`)) return;
			board.subscribe(symbols, ms, STYLE).catch(() => {});
			if (market.followed) follow(market.followed);
		},

		/** Every symbol that may be seen. */
		symbols: () => [...new Set([...known, ...market.series.keys()])],
		/** Why a price is old, by either stream that has it; null where it is not. */
		staleStatus: (symbol) =>
			[board, closeup].map((client) => client?.latest.has(symbol) && client.staleStatus(symbol)).find(Boolean) || null,
		state: () => board.state,
		check: () => [board, closeup].forEach((client) => client?.check()),
		retryNow: () => [board, closeup].forEach((client) => client?.retryNow()),
		close() {
			closeup?.close();
			board.close();
		},
	};
}
