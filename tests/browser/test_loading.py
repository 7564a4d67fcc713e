"""A page whose files cannot all be had says so, and loads again by itself."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Tab
from tests.browser.driver import Page, Route, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

LOADING = re.compile("could not be loaded.*Trying again in [12] s")


def refuse_once(tab: Tab, server: Program, name: str) -> tuple[list[str], Page]:
    """Open a page one of whose files is refused the first time; return what was refused."""
    page = tab.open(server)
    page.goto("about:blank")
    refused: list[str] = []

    def answer(route: Route) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": "too many requests"})

    page.route(f"**/{name}", answer)
    return refused, page


@pytest.mark.parametrize("name", ["main.js", "store.js", "lightweight-charts.js", "style.css"])
def test_a_file_that_is_refused_is_told_of_and_asked_for_again(
    tab: Tab, shared: Program, name: str
) -> None:
    refused, page = refuse_once(tab, shared, name)
    page.goto(f"{shared.url}/#key={shared.demo_key}")
    expect(page.get_by_role("alert").first).to_have_text(LOADING)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#boot, #failed")).to_have_count(0)
    assert len(refused) == 1


@pytest.mark.parametrize("name", ["boot.js", "clock.js", "icon.svg"])
def test_a_page_works_without_a_file_that_it_can_do_without(
    tab: Tab, shared: Program, name: str
) -> None:
    refused, page = refuse_once(tab, shared, name)
    page.goto(f"{shared.url}/#key={shared.demo_key}")
    expect(page.locator("#state")).to_have_text("Live")
    expect(page).to_have_title(re.compile("BTC-USD"))
    assert len(refused) == 1


def test_the_wait_grows_from_one_try_to_the_next(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    page.goto("about:blank")
    page.route("**/store.js", lambda route: route.fulfill(status=503))
    page.clock.install()
    page.goto(shared.url)
    waits = []
    for _ in range(4):
        words = page.locator("#failed").inner_text()
        waits.append(int(re.findall(r"in (\d+) s", words)[0]))
        with page.expect_navigation():
            page.clock.fast_forward(waits[-1] * 1000)
    assert waits == sorted(waits)
    assert 1 <= waits[0] <= 2
    assert 8 <= waits[3] <= 16
