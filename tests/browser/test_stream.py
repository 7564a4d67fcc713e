"""What happens to the stream is seen on the page: prices, silence, restarts, revocation."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import SEEN_AS, STREAM, StandIn, Tab, sign_in, stand_in
from tests.browser.driver import Page, Route, WebSocket, WebSocketRoute, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

RENEWALS = 4
COUNT_CHANGES = """(ms) => new Promise((resolve) => {
    let changes = 0;
    const price = document.querySelector("#rows .price");
    const observer = new MutationObserver(() => (changes += 1));
    observer.observe(price, { characterData: true, subtree: true });
    setTimeout(() => resolve(changes), ms);
})"""


def says(**fields: object) -> Callable[[str | bytes], bool]:
    """Return whether a frame's message has these fields, with these values."""
    return lambda frame: fields.items() <= json.loads(frame).items()


def state(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("#state")).to_have_text(text)


def test_live_prices_reach_the_screen(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    state(page, "Live")
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(page.locator("#rows .price").first).to_have_text(re.compile(r"\d{1,3},\d{3}\.\d\d$"))
    expect(page.locator("#updates")).to_have_text(re.compile(r"^([89]\d|1\d\d)/s$"))
    assert page.evaluate(COUNT_CHANGES, 2000) > 40
    expect(page).to_have_title(re.compile(r"\d\.\d\d BTC-USD · Ticker"))


def test_a_killed_server_is_waited_for(tab: Tab, program: Callable[..., Program]) -> None:
    server = program()
    page = tab.open(server)
    page.clock.install()
    sign_in(page, server)
    state(page, "Live")
    server.stop(signal.SIGKILL)
    state(page, "Reconnecting")
    expect(page.locator("#banner")).to_contain_text(re.compile(r"Trying again in \d+ s"))
    # Time stands still in the page: it is the button that tries, never the wait's end.
    page.clock.pause_at(page.evaluate("Date.now()") + 1)
    server.start()
    page.get_by_role("button", name="Try now").click()
    page.clock.resume()
    state(page, "Live")
    expect(page.locator("#banner")).to_be_hidden()
    assert page.evaluate(COUNT_CHANGES, 500) > 5


def test_a_restarting_server_is_told_apart_and_found_again(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program()
    page = tab.open(server, key=server.demo_key)
    page.evaluate(
        """() => {
            const state = document.getElementById("state");
            const note = () => (document.documentElement.dataset.seen += `|${state.textContent}`);
            new MutationObserver(note).observe(state, { childList: true });
        }"""
    )
    server.stop(signal.SIGTERM)
    server.start()
    page.evaluate("dispatchEvent(new Event('online'))")  # tries at once, however long that took
    seen = re.compile(r"\|Server restarting\|.*\|Live$")
    expect(page.locator("html")).to_have_attribute("data-seen", seen)


def test_a_revoked_key_signs_the_page_out(tab: Tab, program: Callable[..., Program]) -> None:
    server = program()
    key = server.create_key()
    page = tab.open(server, key=key)
    state(page, "Live")
    server.revoke_key(key)
    state(page, "Signed out")
    expect(page.get_by_role("alert")).to_contain_text("revoked")
    assert page.evaluate("sessionStorage.length") == 0


def test_a_stale_source_is_named_with_its_time(
    tab: Tab, program: Callable[..., Program], tmp_path: Path
) -> None:
    ticks = [
        {
            "received": second / 10,
            "message": {
                "type": "ticker",
                "product_id": "BTC-USD",
                "sequence": second,
                "price": f"42000.{second:02}",
                "time": "2026-01-01T00:00:00.000000Z",
            },
        }
        for second in range(50)
    ]
    recording = tmp_path / "short.jsonl"
    recording.write_text("".join(f"{json.dumps(tick)}\n" for tick in ticks), "utf-8")
    server = program(TICKER_SOURCE=f"replay:{recording}?loop=false")
    page = tab.open(server, key=server.demo_key)
    state(page, "Stale")
    banner = page.locator("#banner")
    expect(banner).to_contain_text(re.compile(r"No prices from replay since \d\d:\d\d:\d\d"))
    expect(page.locator("#rows .price")).to_contain_text(re.compile(r"42,000\.4\d"))
    expect(page.locator("#rows .age")).to_have_text(re.compile(r"^\d+ s$"))


def test_a_hidden_tab_asks_for_one_update_a_second_and_draws_nothing(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared)
    with page.expect_websocket() as opened:
        sign_in(page, shared)
    stream = opened.value
    received: list[str] = []
    stream.on("framereceived", lambda frame: received.append(str(frame)))
    state(page, "Live")
    with stream.expect_event("framereceived", says(type="subscribed", interval_ms=1000)):
        page.evaluate(SEEN_AS, "hidden")
    received.clear()
    assert page.evaluate(COUNT_CHANGES, 3000) == 0
    assert 2 <= sum('"ticker"' in frame for frame in received) <= 4
    with stream.expect_event("framereceived", says(type="subscribed", interval_ms=100)):
        page.evaluate(SEEN_AS, "visible")
    assert page.evaluate(COUNT_CHANGES, 1000) > 20


def test_one_token_is_renewed_in_both_open_streams_even_where_a_try_fails(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program(TICKER_TOKEN_TTL="3s", TICKER_AUTH_RATE="30/minute")
    page = tab.open(server)
    streams: list[list[str]] = []  # the types of the messages that each has brought
    exchanged: list[int] = []

    def watch(stream: WebSocket) -> None:
        types: list[str] = []
        streams.append(types)
        stream.on("framereceived", lambda frame: types.append(json.loads(frame)["type"]))

    def fail_once(route: Route) -> None:
        exchanged.append(0)
        if len(exchanged) == 2:
            route.fulfill(status=503, json={"error": "database unavailable"})
        else:
            route.continue_()

    page.on("websocket", watch)
    page.route("**/auth/token", fail_once)
    sign_in(page, server)
    state(page, "Live")
    while not all(types.count("authenticated") >= RENEWALS for types in streams):
        page.wait_for_timeout(10)
        assert len(streams) <= 2
    assert len(streams) == 2
    state(page, "Live")
    renewals = max(types.count("authenticated") for types in streams)
    assert len(exchanged) <= renewals + 3  # at first, the one that failed, and one under way


def test_one_live_source_is_enough_and_silence_is_told(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page

    def say(source: str, value: str) -> None:
        stand.say(type="status", state=value, source=source, since=1790000000000)

    state(page, "Live")
    say("coinbase", "stale")
    state(page, "Stale")
    expect(page.locator("#banner")).to_contain_text("from coinbase")
    say("kraken", "live")
    state(page, re.compile("Live|No updates"))
    state(page, "No updates")
    say("kraken", "stale")
    expect(page.locator("#banner")).to_contain_text("No prices from kraken")
    state(page, "Stale")


def test_a_source_that_is_stale_in_some_symbols_leaves_the_page_live(
    tab: Tab, shared: Program
) -> None:
    status = '{"type":"status","state":"stale","source":"kraken","symbols":["A-USD","B-USD"]}'

    def serve(route: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            route.send(message)
            if "welcome" in str(message):
                route.send(status)

        route.connect_to_server().on_message(pass_on)

    page = tab.open(shared)
    page.route_web_socket(STREAM, serve)
    page.reload()
    sign_in(page, shared)
    expect(page.locator("#banner")).to_contain_text("No prices of A-USD, B-USD from kraken;")
    state(page, "Live")


MARKED = re.compile("^⚠ ")
PRICE_FIRST = re.compile(r"^\d{1,3}(,\d{3})*\.\d\d BTC-USD · Ticker$")
COLOURED = """() => [...document.querySelectorAll("body *")].filter((node) => {
    const [red, green, blue] = getComputedStyle(node).color.match(/\\d+/g).map(Number);
    const spread = Math.max(red, green) - Math.min(red, green);
    const grey = getComputedStyle(node).filter !== "none" || node.closest("td");
    return node.checkVisibility() && node.dataset.way && spread > 60 && !grey;
}).length"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_the_tab_is_marked_within_two_seconds_of_a_servers_end_and_cleared_on_its_return(
    tab: Tab, program: Callable[..., Program], number: signal.Signals
) -> None:
    server = program()
    page = tab.open(server, key=server.demo_key)
    icon = page.locator("#icon")
    expect(page).to_have_title(PRICE_FIRST)
    expect(icon).to_have_attribute("href", "./icon.svg")
    server.send_signal(number)
    expect(page).to_have_title(MARKED, timeout=2000)
    expect(icon).to_have_attribute("href", "./icon-stale.svg", timeout=200)
    assert page.evaluate(COLOURED) == 0
    if number is signal.SIGKILL:
        server.stop(signal.SIGKILL)
        server.start()
    else:
        server.send_signal(signal.SIGCONT)
    expect(page).to_have_title(PRICE_FIRST)
    expect(icon).to_have_attribute("href", "./icon.svg")


def test_a_stale_charted_symbol_marks_the_tab_and_greys_its_own_prices(
    tab: Tab, shared: Program
) -> None:
    streams = stand_in(tab, shared)
    page, stream = streams.page, streams
    stream.tick({"BTC-USD": ("42000.5", "kraken"), "ETH-USD": ("2500.5", "coinbase")})
    expect(page).to_have_title(re.compile(r"^42,000\.50? BTC-USD"))
    stream.say(type="status", state="stale", source="kraken", since=1790000000000)
    stream.tick({"BTC-USD": ("42000.5", "kraken"), "ETH-USD": ("2501.5", "coinbase")})
    expect(page).to_have_title(re.compile(r"^⚠ Stale · 42,000\.50? BTC-USD"))
    row = page.locator('tr[data-symbol="BTC-USD"]')
    expect(row).to_have_attribute("data-stale", "")
    expect(page.locator('tr[data-symbol="ETH-USD"]')).not_to_have_attribute("data-stale", "")
    expect(page.locator("#banner")).to_contain_text("No prices from kraken since")
    stream.say(type="status", state="live", source="kraken", since=1790000000000)
    expect(row).not_to_have_attribute("data-stale", "")


def test_a_symbol_that_is_not_subscribed_to_any_more_does_not_keep_the_page_live(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "1", "B-USD": "2"})
    page.get_by_role("button", name="Star A-USD").click()
    page.get_by_label("List", exact=True).select_option("★ Starred")
    expect(page.locator("#rows .symbol")).to_have_text(["A-USD"])
    while not any(each.get("symbols") == ["A-USD"] for each in stand.subscriptions[-1:]):
        page.wait_for_timeout(10)
    stand.tick({"A-USD": "1"})
    stand.say(type="status", state="stale", source="simulated", since=1790000000000)
    state(page, "Stale")


def test_a_paused_chart_stays_paused_while_the_stream_comes_back(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "1"})
    page.get_by_role("button", name="Pause").click()
    before = len(stand.subscriptions)
    stand.stop()
    stand.down = False
    while len(stand.subscriptions) < before + 2:
        page.wait_for_timeout(10)
    stand.tick({"A-USD": "2"})
    expect(page.locator("#rows .price .value")).to_have_text("2")
    expect(page.locator("#paused")).to_be_visible()


def test_a_paused_chart_says_so_everywhere(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#paused")).to_have_text("Paused")
    expect(page).to_have_title(re.compile(r"^\d.* · chart paused · Ticker$"))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#paused")).to_be_hidden()
    expect(page).to_have_title(PRICE_FIRST)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1009, "Live"),
        (1011, "Live"),
        (4000, "Signed out"),
        (4001, "Live"),
        (4029, "Signed out"),
        (4101, "Live"),
    ],
)
def test_a_close_code_decides_whether_to_connect_again(
    tab: Tab, shared: Program, code: int, expected: str
) -> None:
    page = tab.open(shared)
    streams: list[WebSocketRoute] = []

    def serve(route: WebSocketRoute) -> None:
        streams.append(route)
        server = route.connect_to_server()
        if len(streams) == 1:
            server.on_message(lambda _: route.close(code=code))

    page.route_web_socket(STREAM, serve)
    page.reload()
    sign_in(page, shared)
    if expected == "Live":
        expect(page.locator("#rows tr")).to_have_count(3)
    else:
        expect(page.get_by_role("alert")).to_contain_text(f"close code {code}")
    state(page, expected)
    assert len(streams) >= 2 if expected == "Live" else len(streams) == 1


def test_a_second_4001_in_a_row_ends_the_session(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    streams: list[WebSocketRoute] = []

    def serve(route: WebSocketRoute) -> None:
        streams.append(route)
        route.close(code=4001)

    page.route_web_socket(STREAM, serve)
    page.reload()
    sign_in(page, shared)
    expect(page.get_by_role("alert")).to_contain_text("session was ended")
    state(page, "Signed out")
    assert len(streams) == 2


def test_an_offline_browser_is_told_so_with_its_prices_marked_old(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program()
    page = tab.open(server, key=server.demo_key)
    state(page, "Live")
    page.context.set_offline(True)
    server.stop(signal.SIGKILL)  # offline, Chromium goes on with connections that are open
    state(page, "Offline")
    expect(page.locator("#banner")).to_contain_text("You are offline. Trying again in")
    expect(page.locator("#banner")).to_contain_text("the prices shown are old")
    expect(page).to_have_title(MARKED)
    server.start()
    page.context.set_offline(False)
    state(page, "Live")


def test_a_server_that_comes_back_with_another_version_is_told_of(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared)
    stand.tick({"BTC-USD": "42000.5"})
    state(stand.page, "Live")
    stand.version = "2.0"
    before = len(stand.subscriptions)
    stand.stop()
    stand.down = False
    state(stand.page, re.compile("Reconnecting|No updates|Live"))
    while len(stand.subscriptions) < before + 2:
        stand.page.wait_for_timeout(10)
    stand.tick({"BTC-USD": "42001.5"}, time_ms=int(time.time() * 1000) + 1)
    expect(stand.page.locator("#banner")).to_contain_text("another version now. Reload the page")
    state(stand.page, "Live")


def test_a_server_that_does_not_know_modes_is_told_apart(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    stand = StandIn(page, knows_modes=False)
    page.context.route_web_socket(STREAM, lambda route: stand.serve(route))  # noqa: PLW0108
    page.reload()
    sign_in(page, shared)
    expect(page.get_by_role("alert").first).to_contain_text("another version than this page")
