"""`GET /stream` through the browser's own `EventSource`, which resumes by itself after a cut."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.browser.conftest import Tab
from tests.browser.cutting import cutting
from tests.browser.program import Program
from tests.browser.test_client import WITHIN

pytestmark = pytest.mark.browser

FOLLOW = """async (apiKey) => {
    const { exchange } = await import("/client.js");
    const { token } = await exchange(apiKey);
    document.cookie = `x-auth-token=${token}`;
    window.said = { answers: [], closings: [], gaps: 0, frames: 0, ids: [] };
    let at = -1;
    window.source = new EventSource("/stream?mode=every");
    source.onmessage = ({ data, lastEventId }) => {
        const message = JSON.parse(data);
        if (message.type === "subscribed") said.answers.push(message.resumed ?? null);
        else if (message.type === "closing") said.closings.push(message.code);
        else if (message.type === "ticker") {
            said.frames += 1;
            if (!message.snapshot && message.prev > at) said.gaps += 1;
            at = message.seq;
            if (!lastEventId.endsWith(`:${at}`)) said.ids.push(lastEventId);
        }
    };
}"""


def test_an_event_source_goes_on_after_a_cut_and_is_told_of_a_restart(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program(TICKER_TOKEN_FROM="header,subprotocol,cookie")
    page = tab.open(server)
    with cutting(server.port) as proxy:
        through = f"http://127.0.0.1:{proxy.port}/"
        tab.allowed.append(through)
        page.goto(f"{through}icon.svg")
        page.evaluate(FOLLOW, server.demo_key)
        assert page.evaluate(WITHIN.format("said.frames > 20", 10_000))
        proxy.cut()
        assert page.evaluate(WITHIN.format("said.answers.length === 2", 15_000))
        assert page.evaluate("said.answers") == [None, True]
        frames = page.evaluate("said.frames")
        assert page.evaluate(WITHIN.format(f"said.frames > {frames + 20}", 10_000))
        assert page.evaluate("[said.gaps, said.ids, said.closings]") == [0, [], []]
        server.stop(signal.SIGTERM)
        assert page.evaluate(WITHIN.format("said.closings.length === 1", 10_000))
        assert page.evaluate("said.closings") == [1012]
        page.evaluate("source.close()")
