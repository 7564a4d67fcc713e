"""The core of the page in Chromium and in Firefox: the same journey, by the same hands."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import attrs
import pytest

from tests.browser import firefox
from tests.browser.conftest import Tab
from tests.browser.driver import Page
from tests.browser.firefox import Firefox
from tests.browser.program import Program

pytestmark = pytest.mark.browser

WAIT_MS = 15_000
#: How many colours the chart's largest canvas has: an empty one has a single one.
COLOURS = """(() => {
    const size = ({ width, height }) => width * height;
    const [canvas] = [...document.querySelectorAll("#chart canvas")]
        .sort((one, two) => size(two) - size(one));
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
})()"""


class Hands(Protocol):
    """What a reader can do with a page, in either browser."""

    def goto(self, url: str) -> None: ...
    def evaluate(self, expression: str) -> Any: ...
    def click(self, selector: str) -> None: ...
    def type(self, text: str) -> None: ...
    def press(self, keys: str) -> None: ...


@attrs.frozen
class ChromiumHands:
    """The same for a page of Playwright's."""

    page: Page

    def goto(self, url: str) -> None:
        self.page.goto(url)

    def evaluate(self, expression: str) -> Any:
        return self.page.evaluate(f"async () => {expression}")

    def click(self, selector: str) -> None:
        self.page.click(selector)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)


def until(hands: Hands, condition: str, within_ms: int = WAIT_MS) -> None:
    """Wait until an expression is true in the page; AssertionError where it does not become so."""
    became = hands.evaluate(
        f"""new Promise((resolve) => {{
            const begun = performance.now();
            const look = () => {{
                if ({condition}) resolve(true);
                else if (performance.now() - begun > {within_ms}) resolve(false);
                else setTimeout(look, 20);
            }};
            look();
        }})"""
    )
    assert became, f"{condition}: {hands.evaluate('document.body.innerText')}"


def shows(selector: str, pattern: str) -> str:
    """Return a condition: an element's text matches."""
    return f"/{pattern}/.test(document.querySelector({json.dumps(selector)})?.textContent)"


@pytest.fixture(scope="session")
def fox() -> Iterator[Firefox]:
    if firefox.COMMAND is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Firefox is needed")
        pytest.skip("Firefox is needed")
    with firefox.running() as running:
        yield running


@pytest.fixture(params=["chromium", "firefox"])
def open_page(request: pytest.FixtureRequest) -> Iterator[Callable[[Program], Hands]]:
    """Open a page in one of the browsers; at the end, nothing may have gone wrong in it."""
    if request.param == "chromium":
        tab: Tab = request.getfixturevalue("tab")
        yield lambda server: ChromiumHands(tab.open(server))
        return
    running: Firefox = request.getfixturevalue("fox")
    opened: list[firefox.FirefoxPage] = []

    def open_in_firefox(server: Program) -> Hands:
        opened.append(running.open(server.url))
        return opened[-1]

    yield open_in_firefox
    assert [wrong for page in opened for wrong in page.close()] == []


def test_a_reader_signs_in_sees_prices_move_finds_a_symbol_and_is_alerted(
    open_page: Callable[[Program], Hands], shared: Program
) -> None:
    hands = open_page(shared)
    until(hands, "document.activeElement.id === 'key'")
    hands.type(shared.demo_key)
    hands.press("Enter")
    until(hands, shows("#state", "^Live$"))
    until(hands, "document.querySelectorAll('#rows tr').length === 3")
    until(hands, r"/^\d.* BTC-USD · Ticker$/.test(document.title)")
    price = hands.evaluate("document.querySelector('#chart-price .value').textContent")
    until(hands, f"document.querySelector('#chart-price .value').textContent !== '{price}'")
    until(hands, f"{COLOURS} > 3")

    hands.press("/")
    hands.type("eth")
    hands.press("Enter")
    until(hands, shows("#chart-symbol", "^ETH-USD$"))
    assert hands.evaluate("location.hash") == "#ETH-USD/5m"
    until(hands, r"/^\d.* ETH-USD · Ticker$/.test(document.title)")

    hands.click("#alert-open")
    until(hands, "document.getElementById('alerts').open")
    # The simulated market crosses one of them soon, wherever it goes: both are asked for at once,
    # around the price of that moment.
    hands.evaluate(
        """(() => {
            const named = (name) => document.getElementById(`alert-${name}`);
            const [kind, value] = [named("kind"), named("value")];
            for (const [chosen, by] of [["above", 1.0001], ["below", 0.9999]]) {
                kind.value = chosen;
                kind.onchange();
                value.value = value.valueAsNumber * by;
                document.querySelector("#alert-form .primary").click();
            }
        })()"""
    )
    until(hands, "document.querySelectorAll('#alert-list li').length === 2")
    hands.press("Escape")
    until(hands, shows("#alerted-text", "ETH-USD (above|below)"))
    until(hands, r"/^\d.* ETH-USD · 🔔 ETH-USD (above|below) .* · Ticker$/.test(document.title)")
    hands.click("#alerted-ok")
    # The other one may be crossed at once.
    dismiss = "document.getElementById('alerted-ok').click()"
    until(hands, f"({dismiss}, document.getElementById('alerted').hidden)")


def test_the_tab_is_marked_within_two_seconds_of_the_servers_end_and_cleared_on_its_return(
    open_page: Callable[[Program], Hands], program: Callable[..., Program]
) -> None:
    server = program()
    hands = open_page(server)
    hands.goto("about:blank")
    hands.goto(f"{server.url}/#key={server.demo_key}")
    until(hands, r"/^\d.* BTC-USD · Ticker$/.test(document.title)")
    server.send_signal(signal.SIGSTOP)
    until(hands, "document.title.startsWith('⚠')", within_ms=2000)
    until(hands, "document.getElementById('icon').href.endsWith('icon-stale.svg')")
    server.send_signal(signal.SIGCONT)
    until(hands, r"/^\d.* BTC-USD · Ticker$/.test(document.title)")
