"""Chromium, the program, and pages that fail their test where they break the page's own rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from tests.browser.driver import (
    INSTALLED,
    Browser,
    BrowserContext,
    Page,
    WebSocketRoute,
    expect,
    sync_playwright,
)
from tests.browser.program import Program

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 15_000
#: Where the page opens its streams.
STREAM = re.compile(r"/ws/ticker(\?.*)?$")
#: Let the page believe that it is hidden, or seen again.
SEEN_AS = """(state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None or not INSTALLED:
        reason = "Chromium and Playwright are needed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with the default settings and the demo key, for tests that leave it be."""
    program = Program(tmp_path_factory.mktemp("shared"))
    program.start()
    yield program
    program.stop()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start servers of a test's own, as in `program(TICKER_TOKEN_TTL="4s")`."""
    started: list[Program] = []

    def start(**settings: str) -> Program:
        started.append(Program(tmp_path, settings))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


@attrs.frozen
class Tab:
    """Opens pages and notes what they do wrong.

    Attributes:
        allowed: the beginnings of addresses besides the server's that a page may ask.
    """

    browser: Browser
    contexts: list[BrowserContext] = attrs.field(factory=list)
    wrongs: list[str] = attrs.field(factory=list)
    allowed: list[str] = attrs.field(factory=list)

    def open(self, server: Program, *, key: str | None = None, **options: object) -> Page:
        """Open the page; with a key, sign in and wait for the first price."""
        context = self.browser.new_context(**{"locale": "en-GB", **options})  # type: ignore[arg-type]
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.wrongs.append(f"exception: {error}"))
        page.on("console", lambda message: self._hear(message.text))
        page.on("request", lambda request: self._see(request.url, server.url))
        page.goto(server.url)
        if key is not None:
            enter(page, key)
            page.locator("#rows tr").first.wait_for()
        return page

    def _hear(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.wrongs.append(text)

    def _see(self, url: str, ours: str) -> None:
        if not url.startswith((ours, "data:", "blob:", *self.allowed)):
            self.wrongs.append(f"request to a third party: {url}")


def enter(page: Page, key: str) -> None:
    """Sign in by the form."""
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def wait_until(page: Page, condition: str, within_ms: int = WAIT_MS) -> None:
    """Wait until an expression holds in the page, whose policy forbids Playwright's own waiting."""
    held = page.evaluate(
        f"""() => new Promise((resolve) => {{
            const begun = performance.now();
            const look = () => {{
                if ({condition}) resolve(true);
                else if (performance.now() - begun > {within_ms}) resolve(false);
                else setTimeout(look, 20);
            }};
            look();
        }})"""
    )
    assert held, condition


def sign_in(page: Page, server: Program) -> None:
    """Sign in by the form with the demo key."""
    enter(page, server.demo_key)


@attrs.define
class StandIn:
    """A stream whose messages the test makes up, shown by the real page."""

    page: Page
    routes: list[WebSocketRoute] = attrs.field(factory=list)
    subscriptions: list[dict[str, Any]] = attrs.field(factory=list)
    down: bool = False
    version: str = "1.0"
    knows_modes: bool = True
    _seq: int = 0

    def stop(self) -> None:
        """Close every stream, and any that is opened from now on."""
        self.down = True
        for route in self.routes:
            route.close()
        self.routes.clear()

    def send(self, message: str) -> None:
        """Send a message of the server to each stream: the board's, and the charted symbol's."""
        for route in self.routes:
            route.send(message)

    def say(self, **message: object) -> None:
        """Send a message, given by its fields."""
        self.send(json.dumps(message))

    def tick(
        self, prices: Mapping[str, str | tuple[str, str]], *, time_ms: int = 0, **fields: object
    ) -> None:
        """Send prices, each as the digits on the wire, or those and their source."""
        self._seq += 1
        now_ms = time_ms or int(time.time() * 1000)
        quotes = []
        for symbol, given in prices.items():
            digits, source = (given, None) if isinstance(given, str) else given
            more = {"timestamp": now_ms // 1000, **fields} | ({"source": source} if source else {})
            quotes.append(f'{{"symbol":"{symbol}","price":{digits},{json.dumps(more)[1:]}')
        quoted = ",".join(quotes)
        self.send(f'{{"type":"ticker","data":[{quoted}],"seq":{self._seq},"time":{now_ms}}}')

    def serve(self, route: WebSocketRoute) -> None:
        """Answer one stream of the page."""
        if self.down:
            route.close()
            return
        self.routes.append(route)

        def forget(_code: int | None, _reason: str | None) -> None:
            self.routes = [each for each in self.routes if each is not route]

        route.on_close(forget)
        welcome = {"type": "welcome", "user_id": "user:demo", "epoch": "one"}
        route.send(json.dumps({**welcome, "version": self.version}))

        if query := parse_qs(urlsplit(route.url).query):
            asked = {"mode": query["mode"][0], "symbols": query.get("symbols", [""])[0].split(",")}
            self.subscriptions.append(asked)
            confirmed = {"type": "subscribed", "epoch": "one", "resumed": False, **asked}
            route.send(json.dumps(confirmed))

        def answer(message: str | bytes) -> None:
            request = json.loads(message)
            if request["type"] == "ping":
                route.send(json.dumps({"type": "pong", "id": request["id"]}))
            if request["type"] == "subscribe" and not self.knows_modes:
                text = "Object contains unknown field `mode`"
                refused = {"type": "error", "code": "bad_message", "message": text}
                route.send(json.dumps({**refused, "id": request["id"]}))
            elif request["type"] == "subscribe":
                self.subscriptions.append(request)
                answer = {"symbols": [], "interval_ms": 10, "epoch": "one", **request}
                route.send(json.dumps({**answer, "type": "subscribed"}))

        route.on_message(answer)


def stand_in(tab: Tab, server: Program, **options: Any) -> StandIn:
    """Open the page and sign in, with a made-up stream in the place of the server's."""
    page = tab.open(server, **options)
    stand = StandIn(page)
    page.context.route_web_socket(STREAM, lambda route: stand.serve(route))  # noqa: PLW0108
    page.reload()
    sign_in(page, server)
    expect(page.locator("#desk")).to_be_visible()
    while stand.knows_modes and not stand.subscriptions:
        page.wait_for_timeout(10)
    return stand


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    """Pages with no exception, no violation of the CSP and no request to anyone else."""
    tab = Tab(chromium)
    yield tab
    for context in tab.contexts:
        context.close()
    assert tab.wrongs == []
