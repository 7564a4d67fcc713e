"""No price is cut off, at any size; a short one is told in full where it is asked for."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Tab, stand_in
from tests.browser.driver import expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

WIDTHS = [320, 360, 390, 900, 1200, 1440, 2560]
#: As on the wire, with what is shown and what it means in full.
PRICES = {
    "TINY-USD": ("0.000000000001", "0.0₁₁1", "0.000000000001"),
    "SMALL-USD": ("0.000000001623", "0.0₈1623", "0.000000001623"),
    "PEPE-USD": ("0.00000105", "0.00000105", "0.00000105"),
    "ONE-USD": ("1.123456789012345678", "1.123456789012345678", "1.123456789012345678"),
    "BTC-USD": ("42000.10", "42,000.10", "42,000.10"),
    "BIG-USD": ("1590528003.12", "1,590,528,003.12", "1,590,528,003.12"),
    "HUGE-USDT": ("9999999999.12345678", "9,999,999,999.12345678", "9,999,999,999.12345678"),
    "TEN-USD": ("10000000000", "10,000,000,000", "10,000,000,000"),
}
#: The text nodes that reach out of their cell, or out of what is seen of it.
CUT = """(cell) => {
    const box = cell.getBoundingClientRect();
    const cut = [];
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(walker.currentNode);
        const { left, right, top, bottom, width } = range.getBoundingClientRect();
        const inside = left >= box.left - 0.5 && right <= box.right + 0.5
            && top >= box.top - 0.5 && bottom <= box.bottom + 0.5;
        if (width && !inside) cut.push([walker.currentNode.data, left, right, box.left, box.right]);
    }
    return cut;
}"""
LETTERS_PX = """(node) => parseFloat(getComputedStyle(node).fontSize)"""


@pytest.mark.parametrize("width", WIDTHS)
def test_no_price_is_cut_at_any_width(tab: Tab, shared: Program, width: int) -> None:
    stand = stand_in(tab, shared, viewport={"width": width, "height": 800})
    page = stand.page
    stand.tick({symbol: digits for symbol, (digits, _, _) in PRICES.items()})
    expect(page.locator("#rows tr")).to_have_count(len(PRICES))
    for symbol, (_, shown, full) in PRICES.items():
        row = page.locator(f'tr[data-symbol="{symbol}"]')
        value = row.locator(".price .value")
        expect(value).to_have_text(shown)
        assert row.locator(".price").evaluate(CUT) == []
        assert value.evaluate(LETTERS_PX) >= 8
        if shown != full:
            expect(value).to_have_attribute("title", full)
            expect(row.locator(".price .spoken")).to_have_text(full)
        row.locator("[aria-current]").click()
        expect(page.locator("#chart-symbol")).to_have_text(symbol)
        head = page.locator("#chart-price .value")
        expect(head).to_have_text(shown)
        assert page.locator("#chart-head").evaluate(CUT) == []
        expect(page).to_have_title(re.compile("^(⚠ .* · )?" + re.escape(f"{full} {symbol} · ")))
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_digits_come_through_as_they_were_sent(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    price = stand.page.locator("#rows .price .value")
    for digits, shown in (
        ("0.1000", "0.1000"),
        ("1.623e-09", "0.0₈1623"),
        ("123456789.123456789123", "123,456,789.123456789123"),
    ):
        stand.tick({"A-USD": digits})
        expect(price).to_have_text(shown)
