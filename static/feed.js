import { connect, Tokens } from "./client.js";
import { market } from "./store.js";

const BOARD_MS = 100;
const HIDDEN_MS = 1000;
const STYLE = { mode: "changes", detail: "full" };
const NAMES_MOST = 3800; // characters that fit into a message; beyond, all are asked for
const BATCH = 250; // symbols in one request for history
const RETRY_MS = 2000;

export const hidden = () => document.visibilityState === "hidden";

const pace = (ms) => (hidden() ? HIDDEN_MS : ms);

/** `names()` are the symbols wanted, null for all; `on` has handlers of messages. */
export function createFeed(credentials, names, { closeup: onCloseup, ...on }) {
	const tokens = new Tokens(credentials);
	const seeded = new Set();
	let closeup = null;

	function stream(symbols, ms, listeners) {
		let asked = [symbols, pace(ms)].join();
		const client = connect({ tokens, ...STYLE, symbols, intervalMs: pace(ms) });
		client.ask = (symbols) => {
			if (asked !== (asked = [symbols, pace(ms)].join())) client.subscribe(symbols, pace(ms), STYLE).catch(() => {});
		};
		for (const [type, listen] of Object.entries(listeners)) client.addEventListener(type, ({ detail }) => listen(detail));
		return client;
	}

	const board = stream(null, BOARD_MS, {
		...on,
		welcome(message) {
			market.restart(message.symbols ?? []);
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

	function refresh() {
		const { known, followed } = market;
		const found = names()?.filter((symbol) => !known.length || known.includes(symbol));
		board.ask(found?.length && JSON.stringify(found).length < NAMES_MOST ? found : null);
		if (!followed) return;
		if (closeup && closeup.state.name !== "closed") closeup.ask([followed]);
		else closeup = stream([followed], 0, { ticker: (message) => onCloseup(market.tick(message)) });
	}

	async function get(path) {
		for (;;) {
			try {
				return (await board.get(path)).bars;
			} catch ({ kind, retryAfterMs }) {
				if (!["too_many", "unavailable"].includes(kind) || board.state.name !== "open") return;
				await new Promise((resolve) => setTimeout(resolve, retryAfterMs || RETRY_MS));
			}
		}
	}

	async function seed() {
		const fresh = [...market.series.values()].filter(({ seq, symbol }) => seq >= 0 && !seeded.has(symbol));
		const symbols = fresh.map(({ symbol }) => symbol);
		symbols.forEach((symbol) => seeded.add(symbol));
		while (symbols.length) {
			const found = await get(`history?step=1m&limit=62&symbols=${symbols.splice(0, BATCH).map(encodeURIComponent)}`);
			for (const [symbol, bars] of Object.entries(found ?? {})) market.seed(symbol, bars);
		}
	}

	const streams = () => [board, closeup].filter(Boolean);
	market.statusOf = (symbol) => streams().find(({ latest }) => latest.has(symbol))?.staleStatus(symbol);
	market.history = async (step, limit) =>
		market.followed && get(`prices/${encodeURIComponent(market.followed)}/history?step=${step}&limit=${limit}`);

	const toAll = (act) => () => streams().forEach((client) => client[act]());
	return {
		refresh,
		get state() {
			return board.state;
		},
		check: toAll("check"),
		retryNow: toAll("retryNow"),
		close: toAll("close"),
	};
}
