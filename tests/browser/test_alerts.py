"""Alerts: told once per crossing, by banner, title, notification and sound, also while hidden."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import SEEN_AS, StandIn, Tab, stand_in, wait_until
from tests.browser.driver import Page, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

#: Notes notifications and sounds, which a headless browser neither shows nor plays.
NOTED = """() => {
    globalThis.notes = [];
    globalThis.sounds = 0;
    globalThis.Notification = class {
        static requestPermission() { notes.push("asked"); }
        constructor(title) { notes.push(title); }
    };
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...when) { sounds += 1; start.apply(this, when); };
}"""
#: Notes each rise above 105 by a stream of its own, at full pace, which no hiding slows down.
CROSSED = """async (apiKey) => {
    const { connect } = await import("/client.js");
    globalThis.crossed = [];
    const client = await connect({ apiKey });
    let before = NaN;
    client.addEventListener("ticker", ({ detail: { data: [{ price }] } }) => {
        if (before < 105 && price > 105) crossed.push(price);
        before = price;
    });
}"""
MINUTE_MS = 60_000
TOP = "(node) => node.getBoundingClientRect().top"


def begin(tab: Tab, server: Program, **options: object) -> StandIn:
    stand = stand_in(tab, server, **options)
    stand.tick({"A-USD": "100", "B-USD": "5"})
    expect(stand.page.locator("#chart-symbol")).to_have_text("A-USD")
    expect(stand.page.locator("#chart-price .value")).to_have_text("100")
    stand.page.evaluate(NOTED)
    return stand


def add(page: Page, kind: str, value: str, minutes: str = "5") -> None:
    page.get_by_role("button", name="Alerts").click()
    page.get_by_label("When the price").select_option(kind)
    page.get_by_label("Value").fill(value)
    if kind == "moves by":
        page.get_by_label("within").fill(minutes)
    page.get_by_role("button", name="Add").click()
    page.get_by_role("button", name="Close").click()


def told(page: Page) -> list[str]:
    return [note for note in page.evaluate("notes") if note != "asked"]


def test_a_crossing_is_told_once_by_banner_title_notification_and_sound(
    tab: Tab, shared: Program
) -> None:
    stand = begin(tab, shared)
    page = stand.page
    add(page, "rises above", "101")
    assert page.evaluate("notes") == ["asked"]
    banner = page.locator("#alerted")
    for price in ("100.5", "101.5", "102"):
        stand.tick({"A-USD": price})
    expect(banner).to_contain_text("A-USD above 101")
    expect(page).to_have_title(re.compile(r"^102.* A-USD · 🔔 A-USD above 101.* · Ticker$"))
    assert told(page) == ["A-USD above 101.0"]
    assert page.evaluate("sounds") == 1
    page.get_by_role("button", name="Dismiss").click()
    expect(banner).to_be_hidden()
    expect(page).to_have_title(re.compile(r"^102.* A-USD · Ticker$"))
    for price in ("103", "100", "101"):
        stand.tick({"A-USD": price})
    expect(banner).to_contain_text("A-USD above 101")
    assert len(told(page)) == 2


def test_a_fall_and_a_move_are_told_and_each_only_of_its_own_symbol(
    tab: Tab, shared: Program
) -> None:
    stand = begin(tab, shared)
    page = stand.page
    add(page, "falls below", "99")
    add(page, "moves by", "2", "3")
    later = int(time.time() * 1000) + 1000  # what is within one second is known by its end
    stand.tick({"B-USD": "1"}, time_ms=later)
    stand.tick({"A-USD": "98.5"}, time_ms=later)
    expect(page.locator("#alerted")).to_contain_text("A-USD below 99")
    assert told(page) == ["A-USD below 99.0"]
    stand.tick({"A-USD": "97.9"}, time_ms=later + 1000)
    expect(page.locator("#alerted")).to_contain_text("A-USD moved 2 % in 3 min")


def test_what_lies_further_back_than_the_minutes_of_a_move_does_not_count(
    tab: Tab, shared: Program
) -> None:
    stand = begin(tab, shared)
    page = stand.page
    add(page, "moves by", "2", "1")
    later = int(time.time() * 1000) + 5 * MINUTE_MS
    stand.tick({"A-USD": "110"}, time_ms=later)
    expect(page.locator("#chart-price .value")).to_have_text("110")
    stand.tick({"A-USD": "111"}, time_ms=later + 1000)
    expect(page.locator("#chart-price .value")).to_have_text("111")
    assert told(page) == []
    stand.tick({"A-USD": "113"}, time_ms=later + 2000)
    expect(page.locator("#alerted")).to_contain_text("A-USD moved 2 % in 1 min")


def test_an_alert_is_kept_in_the_browser_and_tells_what_was_crossed_while_away(
    tab: Tab, shared: Program
) -> None:
    stand = begin(tab, shared)
    page = stand.page
    add(page, "rises above", "101")
    stand.tick({"A-USD": "100.1"})
    expect(page.locator("#chart-price .value")).to_have_text("100.1")
    page.reload()
    expect(page.locator("#alerted")).to_be_hidden()
    while len(stand.subscriptions) < 3:
        page.wait_for_timeout(10)
    stand.tick({"A-USD": "105"})
    expect(page.locator("#alerted")).to_contain_text("A-USD above 101")
    page.reload()
    expect(page.locator("#alerted")).to_contain_text("A-USD above 101")


def test_an_alert_is_deleted_by_keyboard(tab: Tab, shared: Program) -> None:
    stand = begin(tab, shared)
    page = stand.page
    page.locator("#alert-open").press("Enter")
    page.get_by_label("Value").fill("101")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Delete A-USD above 101").press("Enter")
    expect(page.locator("#alert-list li")).to_have_count(0)
    page.keyboard.press("Escape")
    stand.tick({"A-USD": "105"})
    expect(page.locator("#chart-price .value")).to_have_text("105")
    expect(page.locator("#alerted")).to_be_hidden()


def test_an_old_price_gives_no_alert(tab: Tab, shared: Program) -> None:
    stand = begin(tab, shared)
    page = stand.page
    add(page, "rises above", "101")
    stand.say(type="status", state="stale", source="kraken", since=1790000000000)
    stand.tick({"A-USD": ("105", "kraken")})
    expect(page.locator("#chart-head")).to_have_attribute("data-stale", "")
    stand.tick({"A-USD": ("106", "kraken")})
    expect(page.locator("#chart-price .value")).to_have_text("106")
    assert told(page) == []


def test_alerts_are_drawn_on_the_chart(tab: Tab, shared: Program) -> None:
    stand = begin(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "101"})
    expect(page.locator("#chart-price .value")).to_have_text("101")
    blue = """() => {
        const [red, green, blue] = [0x1d, 0x4e, 0xd8];
        return [...document.querySelectorAll("#chart canvas")].reduce((sum, canvas) => {
            const { width, height } = canvas;
            if (!width || !height) return sum;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            for (let at = 0; at < data.length; at += 4) {
                sum += data[at] === red && data[at + 1] === green && data[at + 2] === blue;
            }
            return sum;
        }, 0);
    }"""
    assert page.evaluate(blue) == 0
    add(page, "rises above", "101.01")
    wait_until(page, f"({blue})() > 50")


def test_a_hidden_tab_alerts_within_two_seconds(
    tab: Tab, program: Callable[..., Program], tmp_path: Path
) -> None:
    ticks = [
        {
            "received": second,
            "message": {
                "type": "ticker",
                "product_id": "BTC-USD",
                "sequence": second,
                "price": "100" if second < 4 else "110",
                "time": "2026-01-01T00:00:00.000000Z",
            },
        }
        for second in range(8)
    ]
    recording = tmp_path / "waves.jsonl"
    recording.write_text("".join(f"{json.dumps(tick)}\n" for tick in ticks), "utf-8")
    server = program(TICKER_SOURCE=f"replay:{recording}?loop=true")
    page = tab.open(server, key=server.demo_key)
    page.evaluate(NOTED)
    page.evaluate(CROSSED, server.demo_key)
    page.evaluate(SEEN_AS, "hidden")
    add(page, "rises above", "105")
    page.evaluate("(notes.length = crossed.length = 0)")
    # A price that rises while the alert is being added may be told of before it was noted here.
    wait_until(page, "crossed.length > 0 && notes.length > 0", 30_000)
    page.evaluate("(notes.length = crossed.length = 0)")
    wait_until(page, "crossed.length > 0", 30_000)
    wait_until(page, "notes.length > 0", 2000)
    expect(page).to_have_title(re.compile("🔔 BTC-USD above"), timeout=2000)


def test_of_two_tabs_one_tells_and_both_show(tab: Tab, shared: Program) -> None:
    stand = begin(tab, shared)
    page = stand.page
    add(page, "rises above", "101")
    other = page.context.new_page()
    other.goto(shared.url)
    expect(other.locator("#state")).to_have_text("Live")
    other.evaluate(NOTED)
    stand.tick({"A-USD": "105"})
    expect(page.locator("#alerted")).to_contain_text("A-USD above 101")
    expect(other.locator("#alerted")).to_contain_text("A-USD above 101")
    assert len(told(page)) == 1
    assert told(other) == []
    other.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#alerted")).to_be_hidden()


def test_an_alert_beyond_the_prices_of_the_chart_is_named_at_its_edge(
    tab: Tab, shared: Program
) -> None:
    stand = begin(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "101"})
    expect(page.locator("#legend")).to_contain_text("C 101")
    above, below = page.locator("#beyond-top"), page.locator("#beyond-bottom")
    add(page, "rises above", "250")
    add(page, "falls below", "10")
    expect(above).to_have_text("▲ above 250")
    expect(below).to_have_text("▼ below 10")
    for place in (above, below):
        expect(place).to_be_in_viewport()
    assert above.evaluate(TOP) < below.evaluate(TOP)
    stand.tick({"A-USD": "249"})
    stand.tick({"A-USD": "260"})
    expect(above).to_have_text("")  # it is on the chart now
    expect(below).to_have_text("▼ below 10")
    stand.tick({"B-USD": "5"})
    page.locator('tr[data-symbol="B-USD"]').click()
    expect(below).to_have_text("")  # of another symbol


def test_an_alert_is_told_where_storage_is_forbidden(tab: Tab, shared: Program) -> None:
    stand = begin(tab, shared)
    page = stand.page
    page.add_init_script(
        "navigator.locks.request = () => Promise.reject(new DOMException('', 'SecurityError'))"
    )
    before = len(stand.subscriptions)
    page.reload()
    while len(stand.subscriptions) <= before:
        page.wait_for_timeout(10)
    stand.tick({"A-USD": "100"})
    expect(page.locator("#chart-price .value")).to_have_text("100")
    add(page, "rises above", "101")
    stand.tick({"A-USD": "102"})
    expect(page.locator("#alerted")).to_contain_text("A-USD above 101")


def test_an_alert_keeps_every_digit_and_another_kind_what_was_typed(
    tab: Tab, shared: Program
) -> None:
    stand = begin(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "0.00000123"})
    expect(page.locator("#chart-price .value")).to_have_text("0.00000123")
    page.get_by_role("button", name="Alerts").click()
    page.get_by_label("Value").fill("0.0000012345678")
    page.get_by_label("When the price").select_option("falls below")
    expect(page.get_by_label("Value")).to_have_value("0.0000012345678")
    page.get_by_role("button", name="Add").click()
    first = page.locator("#alert-list li").first
    expect(first).to_contain_text("A-USD below 0.0000012345678")
    page.get_by_label("When the price").select_option("moves by")
    expect(page.get_by_label("Value")).to_have_value("1")
    page.reload()
    page.evaluate("document.getElementById('alerts').showModal()")
    expect(first).to_contain_text("A-USD below 0.0000012345678")
