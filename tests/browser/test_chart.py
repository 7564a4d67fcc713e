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
