"""What the chart shows: prices named at its edge however the market is, zoomed by two fingers."""

from __future__ import annotations

import re
import time

import pytest

from tests.browser.conftest import Tab, stand_in, wait_until
from tests.browser.driver import expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True}
#: How far two fingers are from the middle, as Chromium's own protocol takes them.
SPREADS = (30, 50, 80, 120)
#: Notes what is written on the price axis: the canvases of the table's last column.
AXIS = """() => {
    globalThis.axis = new Set();
    const fill = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
        const column = this.canvas.closest("td");
        if (column && column === column.parentNode.lastElementChild) axis.add(text);
        return fill.call(this, text, ...where);
    };
}"""
#: The prices of a second each, oldest first.
MARKETS = {
    "young": ["41000.10", "41012.55", "41003.00"],
    "flat": ["1.0000"] * 300,
    "two_prices": ["0.00000912", "0.00000913"] * 150,
    "old": [f"{2000 + at * 37 % 101}.{at % 100:02}" for at in range(300)],
    "huge": [f"{10**9 + at * 1000}" for at in range(300)],
}


@pytest.mark.parametrize("market", MARKETS)
def test_at_least_three_prices_are_named_at_280_pixels(
    tab: Tab, shared: Program, market: str
) -> None:
    stand = stand_in(tab, shared, viewport=PHONE["viewport"])
    page = stand.page
    prices = MARKETS[market]
    now = int(time.time()) * 1000
    bars = [
        [now - (len(prices) - at) * 1000, *[float(price)] * 4, None]
        for at, price in enumerate(prices)
    ]
    page.route(
        "**/prices/*/history?*", lambda route: route.fulfill(json={"step_ms": 1000, "bars": bars})
    )
    page.evaluate("document.querySelector('.plot').style.height = '280px'")
    page.evaluate(AXIS)
    stand.tick({"A-USD": prices[-1]})
    expect(page.locator("#legend")).to_contain_text("C ")
    assert page.locator("#chart").evaluate("(node) => node.clientHeight") == 280
    shown = page.locator("#chart-price .value")
    expect(shown).not_to_have_text("\u2013")
    # What is drawn from now on is the axis as it stays.
    page.evaluate("axis.clear()")
    stand.tick({"A-USD": prices[-1]})
    wait_until(page, "axis.size > 0")
    page.evaluate("new Promise((drawn) => setTimeout(drawn, 200))")
    named = set(page.evaluate("[...axis]"))
    assert len(named) >= 3, named


def test_two_fingers_zoom_the_chart_and_not_the_page(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key, **PHONE)
    now = page.get_by_role("button", name="Back to now")
    expect(page.locator("#legend")).to_contain_text("C ")
    page.get_by_role("button", name="Pause").click()
    expect(now).to_be_hidden()
    pixels = """() => [...document.querySelectorAll("#chart canvas")]
        .map((canvas) => canvas.toDataURL()).join()"""
    before = page.evaluate(pixels)
    box = page.locator("#chart").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    for spread in SPREADS:
        points = [{"x": x - spread, "y": y, "id": 0}, {"x": x + spread, "y": y, "id": 1}]
        kind = "touchStart" if spread == SPREADS[0] else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(now).to_be_visible()
    wait_until(page, f"({pixels})() !== {before!r}")
    assert page.evaluate("visualViewport.scale") == 1
    now.tap()
    expect(now).to_be_hidden()


def test_one_finger_moves_the_chart(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key, **PHONE)
    now = page.get_by_role("button", name="Back to now")
    expect(page.locator("#legend")).to_contain_text("C ")
    box = page.locator("#chart").bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    for at, right in enumerate((100, 130, 170, 220)):
        points = [{"x": box["x"] + right, "y": box["y"] + 100}]
        kind = "touchMove" if at else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(now).to_be_visible()
    now.tap()
    expect(now).to_be_hidden()


def test_the_crosshair_of_the_mouse_is_free_and_reads_the_candle_below_it(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    now = int(time.time()) * 1000
    bars = [[now - (60 - at) * 1000, *[100 + at] * 4, None] for at in range(60)]
    page.route(
        "**/prices/*/history?*", lambda route: route.fulfill(json={"step_ms": 1000, "bars": bars})
    )
    page.evaluate(AXIS)
    stand.tick({"A-USD": "160"})
    legend = page.locator("#legend")
    expect(legend).to_contain_text("C 159")
    box = page.locator("#chart").bounding_box()
    assert box is not None
    page.evaluate("axis.clear()")
    page.mouse.move(box["x"] + 4, box["y"] + 37)
    expect(legend).to_contain_text(re.compile("C 10[0-2]$"))
    # Its price is that of the pointer, between and beyond those of the candles.
    wait_until(page, "axis.size > 0")
    page.mouse.move(box["x"] + 4, box["y"] - 100)
    expect(legend).to_contain_text("C 159")


def test_a_chart_goes_on_after_an_outage_longer_than_its_range(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    page.route("**/history?*", lambda route: route.fulfill(json={"step_ms": 1000, "bars": []}))
    legend = page.locator("#legend")
    now = int(time.time()) * 1000
    for second in range(15):
        stand.tick({"A-USD": f"{100 + second}"}, time_ms=now - 200_000 + 1000 * second)
    page.get_by_text("1 m", exact=True).first.click()
    expect(legend).to_contain_text("C 114")
    for second in range(3):
        stand.tick({"A-USD": f"{150 + second}"}, time_ms=now + 1000 * second)
        expect(legend).to_contain_text(f"C {150 + second}")
    page.locator("#chart").press("PageUp")  # into the gap
    stand.tick({"A-USD": "160"}, time_ms=now + 4000)
    expect(legend).to_contain_text("C 160")


def test_a_price_axis_that_was_dragged_fits_the_next_symbol_again(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    for _ in range(2):  # the first one is charted from the next on
        stand.tick({"A-USD": "41000", "B-USD": "5"})
        expect(page.locator("#chart-symbol")).to_have_text("A-USD")
    expect(page.locator("#legend")).to_contain_text("C 41,000")
    box = page.locator("#chart").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 140, steps=4)
    page.mouse.up()
    page.evaluate(AXIS)
    page.locator('tr[data-symbol="B-USD"] .price').click()
    expect(page.locator("#chart-symbol")).to_have_text("B-USD")
    stand.tick({"B-USD": "5"})
    expect(page.locator("#legend")).to_contain_text("C 5")
    page.evaluate("axis.clear()")
    stand.tick({"B-USD": "6"})
    wait_until(page, "[...axis].filter((text) => Number(text) > 0 && Number(text) < 20).length > 2")


def test_a_chart_that_grows_is_filled(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared, viewport={"width": 390, "height": 800})
    page = stand.page
    now = int(time.time()) * 1000
    bars = [[now - (60 - at) * 1000, *[100 + at] * 4, None] for at in range(60)]
    page.route(
        "**/prices/*/history?*", lambda route: route.fulfill(json={"step_ms": 1000, "bars": bars})
    )
    stand.tick({"A-USD": "160"})
    expect(page.locator("#legend")).to_contain_text("C 159")
    page.get_by_text("1 m", exact=True).first.click()
    page.set_viewport_size({"width": 1440, "height": 900})
    wait_until(page, "document.getElementById('chart').clientWidth > 500")
    page.evaluate("new Promise((drawn) => setTimeout(drawn, 200))")
    box = page.locator("#chart").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + 137)
    expect(page.locator("#legend")).to_contain_text(re.compile("C 10[0-4]$"))


#: Notes what is written below the chart and where, with the label of the crosshair.
BELOW = """() => {
    globalThis.below = new Map();
    const fill = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, ...where) {
        const { width, height, clientHeight } = this.canvas;
        if (clientHeight < 50) below.set(text, x + this.getTransform().e);
        return fill.call(this, text, x, ...where);
    };
}"""


def test_a_day_begins_at_the_readers_midnight_and_a_candle_of_an_hour_says_which(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared, timezone_id="America/Bogota")
    page = stand.page
    hour = 3_600_000
    now = int(time.time() * 1000) // hour * hour
    bars = [[now - (600 - at) * hour, *[100 + at] * 4, None] for at in range(600)]
    page.route(
        "**/prices/*/history?*", lambda route: route.fulfill(json={"step_ms": hour, "bars": bars})
    )
    page.evaluate(BELOW)
    stand.tick({"A-USD": "160"})
    page.get_by_text("1 w", exact=True).click()
    expect(page.locator("#legend")).to_contain_text("C 699")
    page.evaluate("below.clear()")
    stand.tick({"A-USD": "700"})
    named = (
        r"[...below.keys()].find((text) => /^\d+ [A-Z][a-z]+$/.test(text) && below.get(text) > 60)"
    )
    wait_until(page, f"({named}) !== undefined")
    day = page.evaluate(named)
    box = page.locator("#chart").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + page.evaluate("(day) => below.get(day)", day), box["y"] + 137)
    wait_until(page, f"[...below.keys()].some((text) => text === '{day}, 00:00')")
