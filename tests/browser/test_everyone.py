"""For everyone: axe finds nothing, motion and colours follow the reader, all sizes are drawn."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pytest

from tests.browser.conftest import Tab, sign_in
from tests.browser.driver import Page, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
SIZES = {"phone": (360, 740), "laptop": (1366, 768), "wide": (2560, 1440)}
STATIC = Path(__file__).parents[2] / "static"
PAGE_MOST_BYTES = 90_000
CLIENT_MOST_BYTES = 17_000  # `client.js`, which other pages use by itself

Scheme = Literal["light", "dark"]


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_drawn_without_overflow(
    tab: Tab, shared: Program, size: str, scheme: Scheme
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    page = tab.open(shared, viewport=viewport, color_scheme=scheme)
    page.get_by_label("API key").wait_for()
    page.screenshot(path=SCREENSHOTS / f"{size}-{scheme}-sign-in.png")
    sign_in(page, shared)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#updates")).not_to_have_text("0/s")
    page.screenshot(path=SCREENSHOTS / f"{size}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for cell in page.locator("#rows tr:first-child > :is(td, th)").all():
        if cell.is_visible():
            assert cell.evaluate("(cell) => cell.scrollWidth <= cell.clientWidth")


def test_the_page_is_small_and_of_one_piece() -> None:
    own = [path for path in STATIC.iterdir() if path.suffix in {".js", ".css", ".html"}]
    sizes = {path.name: path.stat().st_size for path in own}
    client = sizes.pop("client.js")
    print(f"\nthe page {sum(sizes.values()):,} bytes, its client {client:,}")  # noqa: T201
    assert client < CLIENT_MOST_BYTES
    assert sum(sizes.values()) < PAGE_MOST_BYTES
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
