"""What the browser kept may be damaged or of another version: the page begins all the same."""

from __future__ import annotations

import json
import re

import pytest

from tests.browser.conftest import Tab, enter
from tests.browser.driver import expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

WRONG_LISTS: list[object] = [
    5,
    None,
    "A",
    ["B"],
    ["C", 7],
    ["D", [7]],
    [{}, []],
    ["Mine", ["ETH-USD"]],
]
DAMAGED = {
    "no_json": ("{", "{"),
    "null": ("null", "null"),
    "numbers": ("5", "5"),
    "texts": ('"text"', '"text"'),
    "lists": ("[1]", "[[1]]"),
    "wrong_kinds": (
        json.dumps(
            {
                "lists": WRONG_LISTS,
                "list": 7,
                "sort": "constructor",
                "symbol": {},
                "range": "long",
                "chart": 5,
                "density": [],
            }
        ),
        json.dumps(
            [
                None,
                5,
                {"kind": "constructor", "symbol": "BTC-USD", "value": 1},
                {"kind": "above", "symbol": "BTC-USD"},
                {"kind": "above", "symbol": 5, "value": 1},
                {"kind": "below", "value": 1},
            ]
        ),
    ),
    "no_lists": ('{"lists":5}', "{}"),
    "no_list": ('{"lists":null,"list":"Gone"}', "[{}]"),
}


@pytest.mark.parametrize("kept", DAMAGED)
def test_a_damaged_memory_does_not_stop_the_page(tab: Tab, shared: Program, kept: str) -> None:
    page = tab.open(shared)
    page.evaluate(
        """([prefs, alerts]) => {
            localStorage.setItem("ticker", prefs);
            localStorage.setItem("ticker alerts", alerts);
        }""",
        DAMAGED[kept],
    )
    page.reload()
    enter(page, shared.demo_key)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#rows .symbol")).to_have_text(["BTC-USD", "ETH-USD", "SOL-USD"])
    expect(page).to_have_title(re.compile(r"^\d.* BTC-USD · .*Ticker$"))
    page.get_by_role("button", name="Star SOL-USD").click()
    page.get_by_label("List", exact=True).select_option("★ Starred")
    expect(page.locator("#rows .symbol")).to_have_text(["SOL-USD"])
    if kept == "wrong_kinds":
        page.get_by_label("List", exact=True).select_option("★ Mine")
        expect(page.locator("#rows .symbol")).to_have_text(["ETH-USD"])
    page.get_by_role("button", name="Alerts").click()
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#alert-list li").last).to_contain_text("above")


def test_what_one_tab_remembers_the_other_leaves_as_it_is(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    other = page.context.new_page()
    other.goto(shared.url)
    expect(other.locator("#rows tr")).to_have_count(3)
    page.on("dialog", lambda dialog: dialog.accept("Foo"))
    page.get_by_role("button", name="Star ETH-USD").click()
    page.get_by_label("List", exact=True).select_option("New list…")
    star = other.get_by_role("button", name="Star ETH-USD")
    expect(star).to_have_attribute("aria-pressed", "true")
    other.get_by_role("button", name="Compact").click()
    other.get_by_role("button", name="Star BTC-USD").click()
    page.reload()
    expect(page.get_by_label("List", exact=True)).to_have_value("Foo")
    page.get_by_label("List", exact=True).select_option("★ Starred")
    expect(page.locator("#rows .symbol")).to_have_text(["BTC-USD", "ETH-USD"])
    expect(page.get_by_role("button", name="Compact")).to_have_attribute("aria-pressed", "true")
