"""The board and the chart by mouse and by keyboard."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Tab, sign_in, stand_in
from tests.browser.driver import Page, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

FRAMES = """(count) => new Promise((resolve) => {
    const step = () => (count-- ? requestAnimationFrame(step) : resolve());
    step();
})"""
PIXELS = """() => [...document.querySelectorAll("#chart canvas")]
    .map((canvas) => canvas.toDataURL()).join()"""


def symbols(page: Page) -> list[str]:
    return page.locator("#rows .symbol").all_inner_texts()


def test_the_board_is_sorted_by_a_column_and_remembers_it(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    assert symbols(page) == ["BTC-USD", "ETH-USD", "SOL-USD"]
    page.get_by_role("button", name="Symbol", exact=True).click()
    assert symbols(page) == ["SOL-USD", "ETH-USD", "BTC-USD"]
    page.get_by_role("button", name="Price").click()
    assert symbols(page) == ["BTC-USD", "ETH-USD", "SOL-USD"]
    page.get_by_role("button", name="Price").click()
    assert symbols(page) == ["SOL-USD", "ETH-USD", "BTC-USD"]
    page.reload()
    expect(page.get_by_role("columnheader", name="Price")).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect(page.locator("#rows .symbol").first).to_have_text("SOL-USD")


def test_a_filter_leaves_the_symbols_that_match(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    page.get_by_label("Search symbols").fill("eth")
    assert symbols(page) == ["ETH-USD"]
    expect(page.locator("#shown")).to_have_text("1 of 3 symbols")
    page.get_by_label("Search symbols").fill("nothing")
    expect(page.get_by_text("No such symbol")).to_be_visible()
    page.get_by_label("Search symbols").fill("")
    assert len(symbols(page)) == 3


def test_a_starred_symbol_is_on_a_list_of_its_own_which_is_subscribed_to_and_remembered(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared, key=shared.demo_key)
    page.get_by_role("button", name="Star SOL-USD").click()
    expect(page.get_by_role("button", name="Star SOL-USD")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.locator('tr[data-symbol="BTC-USD"] [aria-current]').first.focus()
    page.keyboard.press("s")
    page.get_by_label("List", exact=True).select_option("★ Starred")
    expect(page.locator("#rows tr")).to_have_count(2)
    requests: list[str] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda frame: requests.append(str(frame))),
    )
    page.reload()
    expect(page.locator("#rows tr")).to_have_count(2)
    assert symbols(page) == ["BTC-USD", "SOL-USD"]
    assert '"symbols":["SOL-USD","BTC-USD"]' in requests[0]
    page.get_by_role("button", name="Star SOL-USD").click()
    expect(page.locator("#rows .symbol")).to_have_text(["BTC-USD"])


def test_there_can_be_several_lists(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    page.on("dialog", lambda dialog: dialog.accept("Majors"))
    choice = page.get_by_label("List", exact=True)
    choice.select_option("New list…")
    expect(choice).to_have_value("Majors")
    expect(page.get_by_text("put symbols on this list")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("eth")
    page.get_by_role("button", name="Star ETH-USD").click()
    page.get_by_label("Search symbols").press("Escape")
    expect(page.locator("#rows .symbol")).to_have_text(["ETH-USD"])
    choice.select_option("All symbols")
    expect(page.locator("#rows tr")).to_have_count(3)
    page.reload()
    choice.select_option("★ Majors")
    expect(page.locator("#rows .symbol")).to_have_text(["ETH-USD"])
    choice.select_option("Delete this list")
    expect(choice).to_have_value("")
    expect(page.locator("#rows tr")).to_have_count(3)


def test_a_listed_symbol_that_is_gone_is_let_go(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    lists = '{"list":"Starred","lists":[["Starred",["GONE-USD","SOL-USD"]]]}'
    page.evaluate("(lists) => localStorage.setItem('ticker', lists)", lists)
    page.reload()
    sign_in(page, shared)
    expect(page.locator("#rows .symbol")).to_have_text(["SOL-USD"])
    expect(page.locator("#chart-symbol")).to_have_text("SOL-USD")


def test_everything_can_be_done_by_keyboard(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(shared.demo_key)
    page.keyboard.press("Enter")
    page.locator("#rows tr").first.wait_for()
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    for control in ("sign-out", "range", "kind", "pause", "alert-open", "chart", "list", "filter"):
        assert control in reached
    page.locator("#rows [aria-current]").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#chart-symbol")).to_have_text("ETH-USD")
    page.keyboard.press("End")
    expect(page.locator("#rows [aria-current]").last).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_chart_pauses_and_goes_on(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    frozen = page.evaluate(PIXELS)
    page.evaluate(FRAMES, 30)
    assert page.evaluate(PIXELS) == frozen
    pause.click()
    page.evaluate(FRAMES, 30)
    assert page.evaluate(PIXELS) != frozen


def test_the_crosshair_reads_time_and_price_by_keyboard(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    page.get_by_text("1 m", exact=True).first.click()
    chart = page.get_by_role("slider")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    reading = re.compile(r"^\d\d:\d\d:\d\d, \d{1,3},\d{3}\.\d\d$")
    expect(chart).to_have_attribute("aria-valuetext", reading)
    expect(chart).to_have_attribute("aria-valuenow", re.compile(r"^\d+$"))


def test_a_chart_begins_with_the_history_of_its_symbol(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    with page.expect_response("**/prices/BTC-USD/history?step=1s&*") as seeded:
        sign_in(page, shared)
    assert len(seeded.value.json()["bars"]) > 0
    with page.expect_response("**/prices/SOL-USD/history?step=1s&*"):
        page.locator("#rows tr").last.click()
    expect(page.locator("#chart-symbol")).to_have_text("SOL-USD")


def test_a_cheap_coin_keeps_its_decimals(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    for price, shown in (("0.00000105", "0.00000105"), ("0.0000012", "0.00000120")):
        stand.tick({"PEPE-USD": price})
        expect(stand.page.locator("#rows .price")).to_contain_text(shown)


@pytest.mark.parametrize("keys", ["/", "Control+k"])
def test_a_symbol_is_found_and_charted_by_keyboard_alone(
    tab: Tab, shared: Program, keys: str
) -> None:
    page = tab.open(shared, key=shared.demo_key)
    search = page.get_by_label("Search symbols")
    page.keyboard.press(keys)
    expect(search).to_be_focused()
    page.keyboard.type("so")
    expect(page.locator("#rows .symbol")).to_have_text(["SOL-USD"])
    page.keyboard.press("Enter")
    expect(page.locator("#chart-symbol")).to_have_text("SOL-USD")
    expect(page.locator("#rows tr")).to_have_count(3)
    page.keyboard.press(keys)
    page.keyboard.type("nothing like it")
    expect(page.get_by_text("No such symbol")).to_be_visible()
    page.keyboard.press("Escape")
    expect(search).to_have_value("")
    page.keyboard.type("ethereum")
    expect(page.locator("#rows .symbol")).to_have_text(["ETH-USD"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#chart-symbol")).to_have_text("ETH-USD")


def test_a_slash_in_a_field_is_a_letter(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    page.get_by_label("Search symbols").press("/")
    expect(page.get_by_label("Search symbols")).to_have_value("/")


def test_the_address_names_the_view_and_brings_it_back(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    expect(page).to_have_url(f"{shared.url}/#BTC-USD/5m")
    page.locator("#rows tr").nth(1).click()
    page.get_by_text("1 h", exact=True).click()
    expect(page).to_have_url(f"{shared.url}/#ETH-USD/1h")
    other = page.context.new_page()
    other.goto(f"{shared.url}/#SOL-USD/1m")
    expect(other.locator("#chart-symbol")).to_have_text("SOL-USD")
    expect(other.get_by_label("1 m", exact=True)).to_be_checked()
    other.evaluate("location.hash = 'ETH-USD/1h'")
    expect(other.locator("#chart-symbol")).to_have_text("ETH-USD")
    expect(other.get_by_label("1 h", exact=True)).to_be_checked()


def test_a_symbol_that_is_not_on_the_list_is_charted_and_leaves_the_list_as_it_is(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared)
    lists = '{"list":"Starred","lists":[["Starred",["BTC-USD"]]]}'
    page.evaluate("(lists) => localStorage.setItem('ticker', lists)", lists)
    page.goto("about:blank")
    page.goto(f"{shared.url}/#SOL-USD/1m")
    sign_in(page, shared)
    expect(page.locator("#chart-symbol")).to_have_text("SOL-USD")
    expect(page.locator("#chart-price .value")).to_have_text(re.compile(r"\d\d\.\d\d"))
    expect(page).to_have_title(re.compile("SOL-USD"))
    assert symbols(page) == ["BTC-USD"]


def test_the_order_holds_while_the_pointer_is_over_a_row(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "1", "B-USD": "2", "C-USD": "3"})
    page.get_by_role("button", name="Price").click()
    expect(page.locator("#rows .symbol")).to_have_text(["C-USD", "B-USD", "A-USD"])
    page.locator("#rows tr").first.hover()
    stand.tick({"A-USD": "9", "B-USD": "2", "C-USD": "3"})
    expect(page.locator("#shown")).to_contain_text("order held")
    expect(page.locator('tr[data-symbol="A-USD"] .price')).to_contain_text("9")
    expect(page.locator("#rows .symbol")).to_have_text(["C-USD", "B-USD", "A-USD"])
    page.mouse.move(1, 1)
    expect(page.locator("#rows .symbol")).to_have_text(["A-USD", "C-USD", "B-USD"])


def test_compact_rows_are_lower_and_remembered(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    height = "document.querySelector('#rows tr').offsetHeight"
    roomy = page.evaluate(height)
    page.get_by_role("button", name="Compact").click()
    compact = page.evaluate(height)
    assert compact < roomy
    page.reload()
    expect(page.locator("#rows tr")).to_have_count(3)
    assert page.evaluate(height) == compact


def test_the_chart_is_zoomed_and_moved_and_comes_back_to_now(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    now = page.get_by_role("button", name="Back to now")
    chart = page.locator("#chart")
    expect(now).to_be_hidden()
    chart.hover()
    page.mouse.wheel(0, -400)
    expect(now).to_be_visible()
    now.click()
    expect(now).to_be_hidden()
    chart.focus()
    for key in ("-", "PageUp"):
        page.keyboard.press(key)
        expect(now).to_be_visible()
        page.keyboard.press("0")
        expect(now).to_be_hidden()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 100, steps=5)
    page.mouse.up()
    expect(now).to_be_visible()


def test_the_legend_has_open_high_low_and_close_of_the_candle_under_the_crosshair(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared, key=shared.demo_key)
    legend = page.locator("#legend")
    four = re.compile(r"^O \d+,\d+\.\d\dH \d+,\d+\.\d\dL \d+,\d+\.\d\dC \d+,\d+\.\d\d$")
    expect(legend).to_have_text(four)
    page.evaluate(FRAMES, 150)
    page.locator("#chart").focus()
    page.keyboard.press("Home")
    first = legend.inner_text()
    page.evaluate(FRAMES, 30)
    assert legend.inner_text() == first
    expect(legend).to_have_text(four)


def test_a_young_market_fills_the_chart_with_finer_candles(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    expect(page.locator("#legend")).to_contain_text("C ")
    # The year is asked for by the hour, by the minute, and by the second, until there is enough.
    with page.expect_response("**/history?step=1s*"):
        page.get_by_text("1 y", exact=True).click()
    page.evaluate(FRAMES, 5)
    page.locator("#chart").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#chart").get_attribute("aria-valuetext") != "no prices yet"
    assert int(page.locator("#chart").get_attribute("aria-valuenow") or 100) <= 50


def test_the_chart_is_drawn_as_candles_or_as_a_line_and_remembers_it(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared, key=shared.demo_key)
    line = page.get_by_role("button", name="Line")
    expect(line).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#legend")).to_contain_text("C ")  # there is something to draw
    page.get_by_role("button", name="Pause").click()
    candles = page.evaluate(PIXELS)
    line.click()
    page.evaluate(FRAMES, 5)
    assert page.evaluate(PIXELS) != candles
    page.reload()
    expect(line).to_have_attribute("aria-pressed", "true")


def test_only_rows_on_screen_exist_and_every_one_can_be_reached(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared, viewport={"width": 1366, "height": 768})
    page = stand.page
    stand.tick({f"C{number:04}-USD": "1" for number in range(2000)})
    expect(page.locator("#shown")).to_have_text("2,000 of 2,000 symbols")
    assert page.locator("#rows tr").count() < 60
    page.locator("#rows [aria-current]").first.focus()
    page.keyboard.press("End")
    last = page.locator('tr[data-symbol="C1999-USD"]')
    expect(last.locator("[aria-current]")).to_be_focused()
    expect(last).to_have_attribute("aria-rowindex", "2001")
    expect(last).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    expect(page.locator('tr[data-symbol="C1998-USD"] [aria-current]')).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator('tr[data-symbol="C0000-USD"] [aria-current]')).to_be_focused()
    page.locator("#rows").hover()
    page.mouse.wheel(0, 36 * 1000)
    expect(page.locator('tr[data-symbol="C1000-USD"]')).to_be_in_viewport()
    assert page.locator("#rows tr").count() < 60
    page.get_by_label("Search symbols").fill("C15")
    expect(page.locator("#shown")).to_have_text("100 of 2,000 symbols")
    expect(page.locator("#rows tr").first).to_have_attribute("data-symbol", "C1500-USD")


def test_the_search_begins_with_the_coin_that_is_meant(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    meant = {
        "bitcoin": "BTC-USD",
        "btc": "BTC-USD",
        "btcusd": "BTC-USD",
        "btc/eur": "BTC-EUR",
        "eth": "ETH-USD",
        "ripple": "XRP-USD",
        "cash": "BCH-USD",
        "inu": "SHIB-USD",
    }
    prices = dict.fromkeys(meant.values(), "5")
    stand.tick({**prices, "ETHFI-USD": "1", "BTC-USD": "9", "ETH-USD": "8"})
    page.get_by_role("button", name="Price").click()
    page.get_by_role("button", name="Price").click()
    for typed, symbol in meant.items():
        page.get_by_label("Search symbols").fill(typed)
        expect(page.locator("#rows tr").first).to_have_attribute("data-symbol", symbol)


def test_the_order_holds_while_the_keyboard_is_on_a_row(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "1", "B-USD": "2", "C-USD": "3"})
    page.get_by_role("button", name="Price").click()
    expect(page.locator("#rows .symbol")).to_have_text(["C-USD", "B-USD", "A-USD"])
    page.get_by_label("Search symbols").press("ArrowDown")
    stand.tick({"A-USD": "9", "B-USD": "2", "C-USD": "3"})
    expect(page.locator("#shown")).to_contain_text("order held")
    expect(page.locator("#rows .symbol")).to_have_text(["C-USD", "B-USD", "A-USD"])
    page.get_by_label("Search symbols").focus()
    expect(page.locator("#rows .symbol")).to_have_text(["A-USD", "C-USD", "B-USD"])


def test_a_row_that_is_given_to_another_symbol_takes_no_focus_with_it(
    tab: Tab, shared: Program
) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({f"C{number:03}-USD": "1" for number in range(300)})
    page.locator('tr[data-symbol="C002-USD"] [aria-current]').focus()
    page.locator("#rows").hover()
    page.mouse.wheel(0, 36 * 200)
    expect(page.locator('tr[data-symbol="C200-USD"]')).to_be_in_viewport()
    assert page.evaluate("document.activeElement.closest('tr')") is None


def test_a_found_symbol_that_is_not_on_the_list_has_a_price_of_now(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared)
    lists = '{"list":"Starred","lists":[["Starred",["BTC-USD"]]]}'
    page.evaluate("(lists) => localStorage.setItem('ticker', lists)", lists)
    page.reload()
    sign_in(page, shared)
    expect(page.locator("#rows .symbol")).to_have_text(["BTC-USD"])
    page.get_by_label("Search symbols").fill("sol")
    row = page.locator('tr[data-symbol="SOL-USD"]')
    expect(row.locator(".age")).to_have_text("now")
    expect(row).not_to_have_attribute("data-stale", "")


def test_a_price_that_no_stream_brings_is_not_shown_as_live(tab: Tab, shared: Program) -> None:
    stand = stand_in(tab, shared)
    page = stand.page
    stand.tick({"A-USD": "1", "B-USD": "2"})
    expect(page).to_have_title(re.compile("^1 A-USD"))
    before = len(stand.subscriptions)
    stand.stop()
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    stand.down = False
    while len(stand.subscriptions) < before + 2:
        page.wait_for_timeout(10)
    stand.tick({"B-USD": "2"})
    expect(page).to_have_title(re.compile("^⚠ .*1 A-USD"))
    expect(page.locator('tr[data-symbol="A-USD"]')).to_have_attribute("data-stale", "")
    stand.tick({"B-USD": "2"})
    expect(page.locator('tr[data-symbol="B-USD"]')).not_to_have_attribute("data-stale", "")


@pytest.mark.parametrize("width", [1440, 390])
def test_a_long_symbol_leaves_its_price_free(tab: Tab, shared: Program, width: int) -> None:
    stand = stand_in(tab, shared, viewport={"width": width, "height": 800})
    page = stand.page
    long = "ABCDEFGHIJKLMNOPQRST-ABCDEFGHIJKLMNOPQRST"
    stand.tick({long: "12345678901.12", "BTC-USD": "1"})
    row = page.locator(f'tr[data-symbol="{long}"]')
    name, price, day = (
        row.locator(which).bounding_box() for which in ("[aria-current]", ".price .value", ".day")
    )
    assert name is not None
    assert price is not None
    assert day is not None
    assert name["x"] + name["width"] <= price["x"]
    assert abs(name["y"] - price["y"]) < 12
    frame = row.bounding_box()
    assert frame is not None
    assert day["y"] + day["height"] <= frame["y"] + frame["height"]
    expect(row.locator("[aria-current]")).to_have_attribute("title", long)


def test_an_address_of_any_case_is_understood_and_one_of_no_symbol_says_so(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared)
    page.goto("about:blank")
    page.goto(f"{shared.url}/#eth-usd/1H")
    sign_in(page, shared)
    expect(page.locator("#chart-symbol")).to_have_text("ETH-USD")
    expect(page).to_have_url(f"{shared.url}/#ETH-USD/1h")
    page.evaluate("location.hash = 'NOPE-USD/1d'")
    expect(page.get_by_text("No such symbol")).to_be_visible()
    expect(page).to_have_url(f"{shared.url}/#ETH-USD/1d")


def test_what_is_chosen_shows_in_forced_colours(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key, forced_colors="active")
    page.get_by_role("button", name="Line").click()
    shade = "(node) => getComputedStyle(node).backgroundColor"
    line, pause = (page.get_by_role("button", name=name) for name in ("Line", "Pause"))
    assert line.evaluate(shade) != pause.evaluate(shade)
    ranges = page.locator("#ranges input:checked + span, #ranges input:not(:checked) + span")
    assert len(set(ranges.evaluate_all(f"(nodes) => nodes.map({shade})"))) == 2
    rows = page.locator("#rows tr")
    assert len(set(rows.evaluate_all(f"(nodes) => nodes.map({shade})"))) == 2
