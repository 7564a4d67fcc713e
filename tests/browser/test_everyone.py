"""For everyone: axe finds nothing, motion and colours follow the reader, all sizes are drawn."""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.browser.conftest import Tab, sign_in, stand_in, wait_until
from tests.browser.driver import Page, Route, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
SIZES = {"phone": (360, 740), "laptop": (1366, 768), "wide": (2560, 1440)}
STATIC = Path(__file__).parents[2] / "static"
STATIC_MOST_BYTES = 90_000

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
DAY = {"high_24h": 1.012, "low_24h": 0.974, "bid": 0.9999, "ask": 1.0001}
#: What the pictures show: a price, its decimals, and what was traded in a day.
COINS = {
    "BTC": (41000.0, 2, 18432.7),
    "ETH": (2451.3, 2, 201877.0),
    "SOL": (95.42, 2, 3120441.0),
    "XRP": (0.6134, 4, 88120034.0),
    "ADA": (0.5021, 4, 61550120.0),
    "DOGE": (0.08123, 5, 912000441.0),
    "LINK": (14.873, 3, 2211034.0),
    "LTC": (71.05, 2, 410233.0),
    "DOT": (7.214, 3, 3320114.0),
    "UNI": (6.118, 3, 1200345.0),
    "XLM": (0.1187, 5, 70220410.0),
    "SHIB": (0.00000912, 8, 9120034100220.0),
}


def complaints(page: Page) -> list[str]:
    """What axe-core finds wrong, WCAG and best practice alike."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}" for one in found
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(tab: Tab, shared: Program, scheme: Scheme) -> None:
    page = tab.open(shared, color_scheme=scheme)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    assert complaints(page) == []
    sign_in(page, shared)
    page.locator("#rows tr").first.wait_for()
    expect(page.locator("#state")).to_have_text("Live")
    assert complaints(page) == []
    page.get_by_role("button", name="Alerts").click()
    assert complaints(page) == []
    page.keyboard.press("Escape")
    page.evaluate("document.body.dataset.state = 'stale'")
    assert complaints(page) == []


def test_axe_finds_nothing_wrong_with_what_the_banners_say(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "1"})
    stand.say(type="status", state="stale", source="simulated", since=1790000000000)
    expect(page.locator("#banner")).to_contain_text("those shown are old")
    assert complaints(page) == []
    stand.stop()
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    assert complaints(page) == []


def test_a_banner_stays_while_the_page_tries_again(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "1"})
    stand.stop()
    expect(page.locator("#banner")).to_be_visible()
    page.evaluate(
        """() => {
            globalThis.noted = [];
            const note = () => noted.push([document.body.dataset.state, banner.hidden]);
            new MutationObserver(note).observe(document.body, { attributeFilter: ["data-state"] });
        }"""
    )
    page.get_by_role("button", name="Try now").click()
    wait_until(page, "noted.some(([state]) => state === 'connecting') && noted.length > 1")
    assert page.evaluate("noted.some(([, hidden]) => hidden)") is False


def test_reduced_motion_draws_twice_a_second(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key, reduced_motion="reduce")
    changes = page.evaluate(
        """() => new Promise((resolve) => {
            let changes = 0;
            new MutationObserver(() => (changes += 1))
                .observe(
                    document.getElementById("chart-price"), { characterData: true, subtree: true });
            setTimeout(() => resolve(changes), 3000);
        })"""
    )
    assert 1 <= changes <= 7


def draw(page: Page, state: str, tick: Callable[[], None] = lambda: None) -> None:
    """Keep a picture of a state in each size and scheme; nothing may reach out of it."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            tick()
            page.evaluate(
                "new Promise((seen) => requestAnimationFrame(() => setTimeout(seen, 50)))"
            )
            page.screenshot(path=SCREENSHOTS / f"{size}-{scheme}-{state}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cut = """() => [...document.querySelectorAll("#rows tr:first-child > *, .bar button")]
            .filter((node) => node.checkVisibility() && node.scrollWidth > node.clientWidth)
            .map((node) => node.outerHTML)"""
        assert page.evaluate(cut) == []


def test_a_young_market_is_drawn_in_every_size(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    page.get_by_label("API key").wait_for()
    draw(page, "sign-in")
    sign_in(page, shared)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#updates")).not_to_have_text("0/s")
    draw(page, "young")


def test_an_old_market_a_stale_one_and_none_are_drawn_in_every_size(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    page.route("**/history?*", walk)

    def live() -> None:
        for name, (price, places, volume) in COINS.items():
            day: dict[str, Any] = {"volume_24h": volume}
            dice = random.Random(name)
            for field, factor in {**DAY, "open_24h": dice.uniform(0.975, 1.01)}.items():
                day[field] = round(price * factor, places)
            stand.tick({f"{name}-USD": f"{price:.{places}f}"}, **day)

    live()
    page.get_by_text("1 d", exact=True).click()
    page.get_by_role("button", name="Star ETH-USD").click()
    page.mouse.move(1, 1)  # no crosshair in the picture
    expect(page.locator("#legend")).to_contain_text("V ")
    live()
    expect(page.locator("#state")).to_have_text("Live")
    draw(page, "old", live)
    stand.say(type="status", state="stale", source="simulated", since=1790000000000)
    live()
    expect(page.locator("#state")).to_have_text("Stale")
    draw(page, "stale", live)
    page.context.set_offline(True)
    stand.stop()
    expect(page.locator("#state")).to_have_text("Offline")
    draw(page, "offline")


def wander(name: str, step: int, count: int) -> list[list[float]]:
    """Bars of a made-up market that end at its price, each market on a way of its own."""
    price, places, _ = COINS[name]
    dice = random.Random(name)
    now = int(time.time() * 1000) // step * step
    bars: list[list[float]] = []
    close = price  # the newest, from which it goes back
    for back in range(count):
        begin = close * (1 + dice.uniform(-0.0005, 0.0005))
        spread = abs(close - begin) + price * 0.0002
        bar = [begin, max(begin, close) + spread, min(begin, close) - spread, close]
        written = [round(each, places) for each in bar]
        bars.append([now - back * step, *written, dice.randint(1, 90)])
        close = begin
    bars.reverse()
    return bars


def walk(route: Route) -> None:
    """Answer a request for history; that of one symbol has a gap in it."""
    step = {"1s": 1000, "1m": 60_000, "1h": 3_600_000}[route.request.url.split("step=")[1][:2]]
    one = re.search(r"/prices/(\w+)-USD/history", route.request.url)
    found: object = {f"{name}-USD": wander(name, step, 61) for name in COINS}
    if one:
        bars = wander(one[1], step, 1501)
        found = bars[:-760] + bars[-700:]
    route.fulfill(body=json.dumps({"step_ms": step, "bars": found}))


def test_the_page_is_small_and_of_one_piece() -> None:
    kinds = {".js", ".css", ".html", ".svg"}
    size = sum(path.stat().st_size for path in STATIC.iterdir() if path.suffix in kinds)
    print(f"\nthe page is {size:,} bytes")  # noqa: T201
    assert size < STATIC_MOST_BYTES
    page = (STATIC / "index.html").read_text("utf-8")
    assert "style=" not in page
    assert "<style" not in page
    assert not re.findall(r"""(?:src|href)="(?!\./|https://www\.tradingview\.com/")""", page)


def test_each_library_of_others_is_as_it_came_with_its_licence_and_notice() -> None:
    vendor = STATIC / "vendor"
    table = (vendor / "README.md").read_text("utf-8")
    scripts = list(vendor.glob("*.js"))
    assert scripts
    for script in scripts:
        assert hashlib.sha256(script.read_bytes()).hexdigest() in table
        assert (vendor / f"{script.stem}.LICENSE").is_file()
        assert (vendor / f"{script.stem}.NOTICE").is_file()
