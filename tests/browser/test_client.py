"""`static/client.js` as a module of its own, used from a page that is not ours."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.browser.conftest import Tab
from tests.browser.driver import Page
from tests.browser.program import Program

pytestmark = pytest.mark.browser


#: Waits for a condition for so many ms; the policy of the page forbids Playwright's own way.
WITHIN = """async () => {{
    const end = performance.now() + {1};
    while (!({0}) && performance.now() < end) await new Promise((go) => setTimeout(go, 20));
    return {0};
}}"""


def blank(tab: Tab, server: Program) -> Page:
    """A page of the same origin that is not the board."""
    page = tab.open(server)
    page.goto(f"{server.url}/icon.svg")
    return page


def test_a_loop_gets_welcome_then_ticks_and_ends_with_close(tab: Tab, shared: Program) -> None:
    seen = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const client = connect({ apiKey, symbols: ["ETH-USD"], intervalMs: 50 });
            const types = [];
            for await (const message of client) {
                types.push(message.type);
                const only = message.data?.every(({ symbol }) => symbol === "ETH-USD");
                if (only && types.length > 5) client.close();
            }
            return { types, state: client.state };
        }""",
        shared.demo_key,
    )
    assert seen["types"][0] == "welcome"
    assert "subscribed" in seen["types"]
    assert seen["types"][-1] == "ticker"
    assert seen["state"] == {"name": "closed", "error": None}


def test_a_slow_loop_gets_the_newest_tick_never_an_old_one(tab: Tab, shared: Program) -> None:
    ages = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const client = connect({ apiKey });
            const ages = [];
            for await (const { type, time } of client) {
                if (type !== "ticker") continue;
                ages.push(Date.now() - time);
                if (ages.length === 5) client.close();
                await new Promise((resolve) => setTimeout(resolve, 300));
            }
            return ages;
        }""",
        shared.demo_key,
    )
    assert len(ages) == 5
    assert max(ages) < 250


def test_a_refused_key_is_a_final_error(tab: Tab, shared: Program) -> None:
    error = blank(tab, shared).evaluate(
        """async () => {
            const { connect } = await import("/client.js");
            try {
                for await (const message of connect({ apiKey: "tk_no" })) return message;
            } catch ({ name, kind, terminal, code }) {
                return { name, kind, terminal, code };
            }
        }"""
    )
    expected = {"name": "TickerError", "kind": "key_refused", "terminal": True, "code": 401}
    assert error == expected


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_status_that_passes_is_tried_again(tab: Tab, shared: Program, status: int) -> None:
    page = blank(tab, shared)
    page.route("**/auth/token", lambda route: route.fulfill(status=status, json={}), times=1)
    names = page.evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const client = connect({ apiKey });
            const names = [];
            return new Promise((resolve) => {
                client.addEventListener("state", ({ detail: { name } }) => {
                    names.push(name);
                    if (name === "open") client.close();
                    if (name === "closed") resolve(names);
                });
            });
        }""",
        shared.demo_key,
    )
    assert names == ["waiting", "connecting", "open", "closed"]


def test_a_token_alone_connects_but_is_not_renewed(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program(TICKER_TOKEN_TTL="2s")
    kind = blank(tab, server).evaluate(
        """async (apiKey) => {
            const { connect, exchange } = await import("/client.js");
            const { token } = await exchange(apiKey);
            const client = connect({ token });
            let ticks = 0;
            client.addEventListener("ticker", () => (ticks += 1));
            return new Promise((resolve) => {
                client.addEventListener("state", ({ detail: { name, error } }) => {
                    if (name === "closed") resolve([ticks > 0, error.kind]);
                });
            });
        }""",
        server.demo_key,
    )
    assert kind == [True, "signed_out"]


def test_waits_grow_with_full_jitter_and_end_when_told_to_try_now(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program()
    page = blank(tab, server)
    page.evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            Math.random = () => 0.999;
            window.client = connect({ apiKey });
            window.waits = [];
            client.addEventListener("state", ({ detail: { name, retryAt } }) => {
                if (name === "waiting") waits.push(retryAt - Date.now());
                if (name === "waiting" && waits.length < 8) client.retryNow();
            });
            await new Promise((resolve) => client.addEventListener("ticker", resolve));
        }""",
        server.demo_key,
    )
    server.stop()
    waits = page.evaluate(
        """async () => {
            while (waits.length < 8) await new Promise((resolve) => setTimeout(resolve, 50));
            return waits;
        }"""
    )
    assert waits[0] >= 400
    for before, after in pairwise(waits[1:]):  # the first is what the server asked for
        assert after == pytest.approx(min(30_000, before * 2), rel=0.2)


def test_too_many_symbols_for_one_message_are_refused_at_once(tab: Tab, shared: Program) -> None:
    name = blank(tab, shared).evaluate(
        """async () => {
            const { connect } = await import("/client.js");
            const symbols = Array.from({ length: 500 }, (_, at) => `COIN${at}-USD`);
            try {
                connect({ apiKey: "tk_no", symbols });
            } catch ({ name }) {
                return name;
            }
        }"""
    )
    assert name == "RangeError"


def test_an_unknown_symbol_rejects_however_one_waits(tab: Tab, shared: Program) -> None:
    kinds = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const options = { apiKey, symbols: ["FOO-USD"] };
            const kinds = [];
            try {
                await connect(options);
            } catch ({ name, kind }) {
                kinds.push([name, kind]);
            }
            const messages = [];
            try {
                for await (const { type } of connect(options)) messages.push(type);
            } catch ({ name, kind }) {
                kinds.push([name, kind]);
            }
            return [...kinds, messages.includes("ticker")];
        }""",
        shared.demo_key,
    )
    assert kinds == [["TickerError", "unknown_symbol"], ["TickerError", "unknown_symbol"], False]


def test_a_refused_change_rejects_and_leaves_the_subscription_as_it_was(
    tab: Tab, shared: Program
) -> None:
    seen = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const client = await connect({ apiKey, symbols: ["ETH-USD"] });
            const refused = await client.subscribe(["FOO-USD"]).catch(({ kind }) => kind);
            await new Promise((resolve) => client.addEventListener("ticker", resolve));
            const before = [...client.latest.keys()];
            const { symbols } = await client.subscribe(["SOL-USD"]);
            const during = [...client.latest.keys()];
            await new Promise((resolve) => client.addEventListener("ticker", resolve));
            const after = [...client.latest.keys()];
            client.close();
            return { refused, before, symbols, during, after };
        }""",
        shared.demo_key,
    )
    assert seen == {
        "refused": "unknown_symbol",
        "before": ["ETH-USD"],
        "symbols": ["SOL-USD"],
        "during": [],
        "after": ["SOL-USD"],
    }


def test_what_the_server_granted_last_goes_on_after_a_cut_also_where_it_was_superseded(
    tab: Tab, shared: Program
) -> None:
    seen = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const sockets = [];
            globalThis.WebSocket = class extends WebSocket {
                constructor(...how) {
                    super(...how);
                    sockets.push(this);
                }
            };
            const { connect } = await import("/client.js");
            const client = await connect({ apiKey, symbols: ["ETH-USD"], mode: "changes" });
            const tick = () => new Promise((done) => client.addEventListener("ticker", done));
            const kind = ({ kind }) => kind;
            const superseded = client.subscribe(["SOL-USD"], 100, { mode: "changes" }).catch(kind);
            const refused = client.subscribe(["FOO-USD"]).catch(kind);
            const kinds = [await superseded, await refused];
            await tick();
            const before = [...client.latest.keys()];
            sockets.at(-1).close();
            await new Promise((done) => client.addEventListener("reconnected", done));
            await tick();
            const after = [...client.latest.keys()];
            const { searchParams } = new URL(sockets.at(-1).url);
            client.close();
            return { kinds, before, after, symbols: searchParams.get("symbols") };
        }""",
        shared.demo_key,
    )
    assert seen == {
        "kinds": ["superseded", "unknown_symbol"],
        "before": ["SOL-USD"],
        "after": ["SOL-USD"],
        "symbols": "SOL-USD",
    }


def test_a_symbol_that_was_not_asked_for_never_shows_not_even_at_first_or_after_a_reconnect(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program()
    page = blank(tab, server)
    page.evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            window.told = [];
            window.client = connect({ apiKey, symbols: ["BTC-USD"] });
            for (const type of ["ticker", "disconnected", "reconnected"]) {
                client.addEventListener(type, ({ detail }) => {
                    const text = JSON.stringify(detail.data?.map(({ symbol }) => symbol) ?? type);
                    if (told.at(-1) !== text) told.push(text);
                });
            }
            await client;
            await new Promise((resolve) => client.addEventListener("ticker", resolve));
        }""",
        server.demo_key,
    )
    assert page.evaluate("client.isLive('BTC-USD')")
    server.stop(signal.SIGKILL)
    assert page.evaluate(WITHIN.format("told.includes('\"disconnected\"')", 1000))
    assert page.evaluate("[client.isLive('BTC-USD'), client.latest.has('BTC-USD')]") == [
        False,
        True,
    ]
    server.start()
    page.evaluate("client.retryNow()")
    assert page.evaluate(WITHIN.format("told.length === 4", 15_000))
    assert page.evaluate("told") == [
        '["BTC-USD"]',
        '"disconnected"',
        '"reconnected"',
        '["BTC-USD"]',
    ]
    assert page.evaluate("[...client.latest.keys()]") == ["BTC-USD"]
    assert page.evaluate("client.isLive('BTC-USD')")


def test_a_silent_server_is_told_within_three_seconds(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program()
    page = blank(tab, server)
    page.evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            window.client = await connect({ apiKey });
            window.lost = new Promise((resolve) => {
                client.addEventListener("disconnected", ({ detail }) => resolve(detail.reason));
            });
            await new Promise((resolve) => client.addEventListener("ticker", resolve));
        }""",
        server.demo_key,
    )
    server.send_signal(signal.SIGSTOP)
    page.set_default_timeout(3000)
    assert (
        page.evaluate("Promise.race([lost, new Promise((r) => setTimeout(r, 3000))])") == "silent"
    )


def test_a_page_of_its_own_hands_tokens_in_place_of_the_key(tab: Tab, shared: Program) -> None:
    seen = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const { connect, exchange } = await import("/client.js");
            let asked = 0;
            const getToken = async () => {
                asked += 1;
                if (asked === 1) throw new Error("not yet");
                return (await exchange(apiKey)).token;
            };
            const client = await connect({ getToken });
            client.close();
            return [asked, client.state.error];
        }""",
        shared.demo_key,
    )
    assert seen == [2, None]


def test_a_price_comes_as_a_number_and_as_the_text_of_the_wire(tab: Tab, shared: Program) -> None:
    texts = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const client = connect({ apiKey });
            await new Promise((resolve) => client.addEventListener("ticker", resolve));
            client.close();
            return [...client.latest.values()].map(({ price, text }) => [price, text]);
        }""",
        shared.demo_key,
    )
    assert len(texts) == 3
    for price, text in texts:
        assert float(text) == price
        assert len(text.partition(".")[2]) == 2
