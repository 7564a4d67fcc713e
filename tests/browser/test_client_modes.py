"""`static/client.js` in the modes `changes` and `every`: across cuts, restarts and slow loops."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Tab
from tests.browser.cutting import cutting
from tests.browser.program import Program
from tests.browser.test_client import WITHIN, blank

pytestmark = pytest.mark.browser

#: Follows a stream, and notes what is held at each seq, and what was told of cuts.
FOLLOW = """async (clients) => {
    const { connect } = await import("/client.js");
    window.held = {};
    window.told = [];
    for (const [name, options] of Object.entries(clients)) {
        const book = new Map();
        const at = (held[name] = {});
        const client = (window[name] = connect(options));
        client.addEventListener("ticker", ({ detail: { data, seq, prev, snapshot } }) => {
            if (snapshot) book.clear();
            for (const { symbol, text } of data) book.set(symbol, text);
            if (data.length) at[seq] = JSON.stringify([...book].sort());
            for (const [symbol, { text }] of client.latest) {
                if (text !== book.get(symbol)) told.push(`latest has another ${symbol}`);
            }
        });
        client.addEventListener("reconnected", ({ detail }) => told.push(detail.resumed));
        await client;
    }
}"""


@pytest.mark.parametrize("mode", ["changes", "every"])
def test_cuts_lose_nothing(tab: Tab, program: Callable[..., Program], mode: str) -> None:
    server = program(TICKER_ALLOWED_ORIGINS="*")
    # The page's own policy allows no other server than the one it came from.
    page = tab.open(server, bypass_csp=True)
    page.goto(f"{server.url}/icon.svg")
    with cutting(server.port) as proxy:
        options: dict[str, Any] = {"apiKey": server.demo_key, "mode": mode}
        through = f"http://127.0.0.1:{proxy.port}/"
        tab.allowed.append(through)
        clients = {"reference": {**options, "mode": "every"}, "cut": {**options, "url": through}}
        page.evaluate(FOLLOW, clients)
        for number in range(1, 6):
            page.evaluate("new Promise((go) => setTimeout(go, 200))")
            proxy.cut()
            assert page.evaluate(
                WITHIN.format(f"(cut.retryNow(), told.length === {number})", 15_000)
            )
        page.evaluate("new Promise((go) => setTimeout(go, 200))")
        page.evaluate("(reference.close(), cut.close())")
    assert page.evaluate("told") == [True] * 5
    held = page.evaluate("held")
    assert all(
        held["reference"][seq] == book
        for seq, book in held["cut"].items()
        if seq in held["reference"]
    )
    assert len(held["cut"].keys() & held["reference"].keys()) > 30
    if mode == "every":
        first, last = (pick(map(int, held["cut"])) for pick in (min, max))
        between = {seq for seq in held["reference"] if first <= int(seq) <= last}
        assert between == {seq for seq in held["cut"] if int(seq) <= max(map(int, between))}


def test_a_restart_is_told_and_begins_with_a_snapshot(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program()
    page = blank(tab, server)
    page.evaluate(FOLLOW, {"client": {"apiKey": server.demo_key, "mode": "changes"}})
    assert page.evaluate(WITHIN.format("client.position !== null", 5000))
    before = page.evaluate("client.position")
    server.stop(signal.SIGKILL)
    server.start()
    assert page.evaluate(WITHIN.format("(client.retryNow(), told.length > 0)", 15_000))
    assert page.evaluate(WITHIN.format("client.position !== null", 5000))
    assert page.evaluate("told") == [False]
    assert page.evaluate("client.position.epoch") != before["epoch"]
    assert page.evaluate("client.latest.size") == 3


def test_a_slow_loop_of_changes_holds_what_a_fast_one_does(tab: Tab, shared: Program) -> None:
    gaps, alike = blank(tab, shared).evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const client = connect({ apiKey, mode: "changes" });
            const book = new Map();
            let [at, gaps, alike] = [-1, 0, 0];
            for await (const { type, data, seq, prev, snapshot } of client) {
                if (type !== "ticker") continue;
                if (snapshot) book.clear();
                else if (prev !== at) gaps += 1;
                at = seq;
                for (const { symbol, text } of data) book.set(symbol, text);
                if (seq === client.position.seq) {
                    const same = ([symbol, { text }]) => text === book.get(symbol);
                    alike += [...client.latest].every(same);
                }
                if (alike === 5) client.close();
                await new Promise((resolve) => setTimeout(resolve, 100));
            }
            return [gaps, alike];
        }""",
        shared.demo_key,
    )
    assert (gaps, alike) == (0, 5)


def test_a_loop_too_slow_for_every_tick_is_told(tab: Tab, program: Callable[..., Program]) -> None:
    server = program(TICKER_TICK="1ms")
    seen = blank(tab, server).evaluate(
        """async (apiKey) => {
            const { connect } = await import("/client.js");
            const client = connect({ apiKey, mode: "every" });
            const seqs = [];
            try {
                for await (const { type, seq } of client) {
                    if (type !== "ticker") continue;
                    seqs.push(seq);
                    if (seqs.length > 1) continue;
                    let ticks = 0; // while this one is looked at
                    await new Promise((full) => {
                        client.addEventListener("ticker", () => ++ticks > 4200 && full());
                    });
                }
            } catch ({ kind }) {
                client.close();
                return [kind, seqs.length];
            }
        }""",
        server.demo_key,
    )
    assert seen == ["behind", 4098]  # the first, and those kept
