"""The figures beside the price: where they come from, how soon they are there, what they cost."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import pytest

from tests.browser.conftest import Tab, stand_in, wait_until
from tests.browser.driver import Route, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

MINUTE_MS = 60_000
SYMBOLS = 250
WIRE_MOST_KB = 200.0  # a second, for that many symbols
MEASURED_MS = 3000


def minutes_of(start: float, count: int) -> list[list[float]]:
    """Bars by the minute up to now, each a unit above the one before."""
    now = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
    return [
        [
            now - (count - 1 - at) * MINUTE_MS,
            start + at - 1,
            start + at + 1,
            start + at - 1,
            start + at,
            1.5,
        ]
        for at in range(count)
    ]


def with_history(bars: dict[str, list[list[float]]]) -> Callable[[Route], None]:
    """Answer every request for history with these bars."""

    def answer(route: Route) -> None:
        one = re.search(r"/prices/([^/]+)/history", route.request.url)
        found: Any = bars.get(one[1], []) if one else bars
        route.fulfill(body=json.dumps({"step_ms": MINUTE_MS, "bars": found}))

    return answer


def test_the_change_of_a_day_is_the_servers_and_says_since_when_a_younger_one_counts(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared, timezone_id="UTC")
    page = stand.page
    cell = page.locator('tr[data-symbol="A-USD"] .day')
    heading = page.locator("#columns .day")
    stand.tick({"A-USD": "110"}, open_24h=100)
    expect(cell).to_have_text("+10.00%")
    expect(heading).to_have_text("24 h")
    expect(page.locator("#chart-change")).to_have_text("+10.00% 24 h")
    stand.tick({"A-USD": "95"}, open_24h=100, since=1790000000000)
    expect(cell).to_have_text("-5.00%")
    expect(heading).to_have_text("since 14:13")
    expect(cell).to_have_attribute("title", "since 14:13")
    expect(page.locator("#chart-change")).to_have_text("-5.00% since 14:13")


#: Notes, whenever anything on the page has changed, what stands beside each other.
NOTE_FIGURES = """() => {
    globalThis.notes = [];
    const text = (selector) => document.querySelector(selector)?.textContent;
    const note = () => notes.push({
        price: text("#chart-price .value"), quote: text("#chart-quote"), day: text("#chart-change"),
        rowPrice: text("#rows .price .value"), rowDay: text("#rows .day"),
    });
    const all = { characterData: true, childList: true, subtree: true };
    new MutationObserver(note).observe(document.getElementById("desk"), all);
}"""


def test_the_figures_beside_a_price_never_contradict_it(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "100"}, open_24h=100, low_24h=99, high_24h=100)
    expect(page.locator("#chart-quote")).to_have_text("High 100 · Low 99")
    page.evaluate(NOTE_FIGURES)
    for price in (*range(101, 131), *range(130, 69, -1)):
        # The bounds of the source's day come later than its prices.
        stand.tick({"A-USD": str(price)}, open_24h=100, low_24h=99, high_24h=100)
        page.wait_for_timeout(20)
    expect(page.locator("#chart-price .value")).to_have_text("70")
    notes = page.evaluate("notes")
    assert len({note["price"] for note in notes}) > 20
    for note in notes:
        price = int(note["price"])
        bounds = re.fullmatch(r"High (\d+) · Low (\d+)", note["quote"])
        assert bounds, note
        assert int(bounds[2]) <= price <= int(bounds[1]), note
        assert note["day"].startswith(f"{price - 100:+}.00%" if price != 100 else "0.00%"), note
        row = int(note["rowPrice"])
        assert note["rowDay"] == (f"{row - 100:+}.00%" if row != 100 else "0.00%"), note


def test_a_quote_without_the_figures_of_a_newer_server_shows_dashes(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared, viewport={"width": 1920, "height": 900})
    stand.tick({"A-USD": "110"})
    expect(stand.page.locator("#rows .price .value")).to_have_text("110")
    expect(stand.page.locator("#rows .day")).to_have_text("\u2013")
    expect(stand.page.locator("#rows .bid")).to_be_hidden()
    expect(stand.page.locator("#chart-change")).to_have_text("")
    stand.tick({"A-USD": "111"}, mood="elated", bid=110.5)  # and one of a newer one
    expect(stand.page.locator("#rows .price .value")).to_have_text("111")


def test_offers_spread_and_volume_are_shown_where_they_are_known(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared, viewport={"width": 1024, "height": 900})
    page = stand.page
    stand.tick({"A-USD": "100.50"}, bid=100.45, ask=100.55, volume_24h=12345678, high_24h=120)
    row = page.locator('tr[data-symbol="A-USD"]')
    for name, text in (("bid", "100.45"), ("ask", "100.55"), ("spread", "0.10")):
        expect(row.locator(f".{name}")).to_be_visible()
        expect(row.locator(f".{name}")).to_have_text(text)
    expect(row.locator(".volume")).to_have_text(re.compile("^12.35M$", re.IGNORECASE))
    expect(page.locator("#chart-quote")).to_have_text(
        re.compile("^Bid 100.45 · Ask 100.55 · Spread 0.10 · High 120.00 · Volume 12.35[mM]$")
    )
    page.set_viewport_size({"width": 390, "height": 800})
    expect(row.locator(".bid")).to_be_hidden()
    expect(page.locator("#chart-quote")).to_contain_text("Bid 100.45")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_changes_and_sparklines_begin_with_the_servers_minutes(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    page.route("**/history?*", with_history({"A-USD": minutes_of(100, 61)}))
    stand.tick({"A-USD": "176"})
    row = page.locator('tr[data-symbol="A-USD"]')
    five = row.locator(".five")
    # Five minutes ago it went from 154 to 155: where in this minute does the test stand?
    expect(five).to_have_text(re.compile(r"^\+(13\.[5-9]|14\.[0-2])\d%$"))
    expect(row.locator(".minute")).to_have_text(re.compile(r"^\+\d+\.\d\d%$"))
    points = row.locator("path").get_attribute("d") or ""
    assert points.count("L") == 60
    expect(page.locator("#legend")).to_contain_text("V 1.5")


def test_a_sparkline_of_a_young_market_begins_with_the_servers_minutes(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    page.route("**/history?*", with_history({"A-USD": minutes_of(100, 5)}))
    stand.tick({"A-USD": "104"})
    path = page.locator('tr[data-symbol="A-USD"] path')
    expect(path).to_have_attribute("d", re.compile(r"^M0 0(L\d+ -\d+){4,6}$"))


def test_a_time_without_prices_is_a_gap_in_the_chart(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    bars = minutes_of(100, 61)
    page.route("**/history?*", with_history({"A-USD": bars[:20] + bars[40:]}))
    stand.tick({"A-USD": "160"})
    page.get_by_text("1 h", exact=True).click()
    chart = page.get_by_role("slider")
    chart.focus()
    empty = """(() => {
        const size = ({ width, height }) => width * height;
        const [canvas] = [...document.querySelectorAll("#chart canvas")]
            .sort((one, two) => size(two) - size(one));
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        let [run, longest] = [0, 0];
        for (let x = 0; x < width; x++) {
            let drawn = 0; // more than the line of the newest price, which crosses all of it
            for (let at = x * 4; at < data.length; at += width * 4) {
                drawn += data[at + 3] > 200 && Math.abs(data[at] - data[at + 1]) > 60;
            }
            run = drawn > 3 ? 0 : run + 1;
            longest = Math.max(longest, run);
        }
        return longest / width;
    })()"""
    wait_until(page, f"{empty} > 0.25 && {empty} < 0.4")


@attrs.define
class Counted(Program):
    """The same program, seen through a line that counts what it brings."""

    received: int = 0


@contextmanager
def counting(server: Program) -> Iterator[Counted]:
    """Stand between a browser and a server."""
    listener = socket.create_server(("127.0.0.1", 0))
    counted = Counted(server.directory, port=listener.getsockname()[1])

    def pump(source: socket.socket, target: socket.socket, *, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                counted.received += len(data) if counts else 0
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", server.port)) as far:
            back = threading.Thread(target=pump, args=(far, near), kwargs={"counts": True})
            back.start()
            pump(near, far, counts=False)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                connections.append(near)
                threads.append(threading.Thread(target=serve, args=(near,)))
                threads[-1].start()

    connections: list[socket.socket] = []
    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield counted
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for near in connections:  # what a test that failed has left open
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def test_a_large_board_is_filled_by_one_request_and_light_on_the_line(
    tab: Tab, program: Callable[..., Program], capsys: pytest.CaptureFixture[str]
) -> None:
    market = ",".join(f"C{at:03}-USD={at + 1}" for at in range(SYMBOLS))
    server = program(TICKER_SYMBOLS=market)
    with counting(server) as counted:
        page = tab.open(counted)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("about:blank")
        page.goto(f"{counted.url}/#key={server.demo_key}")
        filled = "document.querySelector('#rows path')?.getAttribute('d')?.includes('L')"
        wait_until(page, filled)
        took = page.evaluate(
            """() => performance.getEntriesByType("resource")
                .filter(({ name }) => name.includes("/history?step=1m"))
                .map(({ duration }) => duration)"""
        )
        assert len(took) == 1
        assert sum("/history?step=1m&limit=62&symbols=" in url for url in asked) == 1
        expect(page.locator("#board-updates")).to_have_text(re.compile(r"^([89]|1[01])/s$"))
        before, begun = counted.received, time.monotonic()
        page.wait_for_timeout(MEASURED_MS)
        rate = (counted.received - before) / 1000 / (time.monotonic() - begun)
        page.context.close()
        tab.contexts.clear()
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{SYMBOLS} symbols: {rate:.0f} kB/s on the line, history in {took[0]:.0f} ms"
        )
    assert rate <= WIRE_MOST_KB


def test_on_a_phone_a_tap_brings_the_chart_into_view(tab: Tab, shared: Program) -> None:
    phone = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True}
    stand = stand_in(tab, shared, **phone)
    page = stand.page
    stand.tick({f"C{number:02}-USD": "1" for number in range(60)})
    page.locator('tr[data-symbol="C00-USD"]').wait_for()
    page.evaluate("scrollTo(0, 1500)")
    expect(page.locator("#chart-head")).not_to_be_in_viewport()
    page.locator('tr[data-symbol="C20-USD"]').tap()
    expect(page.locator("#chart-symbol")).to_have_text("C20-USD")
    expect(page.locator("#chart-head")).to_be_in_viewport(ratio=1)
    expect(page.locator("#chart")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", [348, 360, 1366])  # 348: with a scroll bar
def test_the_tools_of_the_chart_stand_in_one_line(tab: Tab, shared: Program, width: int) -> None:
    page = tab.open(shared, key=shared.demo_key, viewport={"width": width, "height": 768})
    tops = """() => [...document.querySelectorAll(".tools > *")]
        .map((node) => node.getBoundingClientRect())
        .map(({ top, bottom }) => (top + bottom) / 2)"""
    middles = page.evaluate(tops)
    assert len(middles) == 4
    assert max(middles) - min(middles) < 4
