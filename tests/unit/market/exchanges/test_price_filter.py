"""What the price filter believes: jumps, clocks, numbers, affirmations, conflation."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.limits import FEED_CLOCK_AHEAD_MS, FEED_HOLD_MS, FEED_MISSING_TRADES
from ticker.market.candles import SECOND, Candles
from ticker.market.exchanges.events import PriceSeen
from ticker.market.exchanges.price_filter import PriceFilter
from ticker.market.exchanges.trade_numbers import MissingTrades
from ticker.market.quote import Details, Quote

NOW = 1_790_000_000_000


class Taking:
    """A price filter with its reports, and prices as text."""

    def __init__(self, *symbols: str) -> None:
        self.reports: Counter[str] = Counter()
        names = {symbol: [symbol] for symbol in symbols or ("A-B",)}
        self.filter = PriceFilter("test", names, lambda kind, _: self.reports.update([kind]))

    def take(
        self,
        price: str,
        at: int = NOW,
        *,
        time_ms: int | None = NOW,
        number: int | None = None,
        symbol: str = "A-B",
    ) -> list[str]:
        """Take a price in; return the prices that come out."""
        self.filter.take(PriceSeen(symbol, Decimal(price), time_ms, number), at)
        return [str(quote.price) for quote in self.filter.batch()]

    def affirm(self, at: int, number: int | None = None) -> list[str]:
        self.filter.affirm("A-B", number, at)
        return [str(quote.price) for quote in self.filter.batch()]


def test_a_snapshot_made_before_an_update_does_not_replace_it() -> None:
    taking = Taking()
    assert taking.take("100", time_ms=NOW) == ["100"]
    assert taking.take("99", time_ms=NOW - 1) == []
    assert taking.reports == {"out_of_order": 1}
    assert taking.affirm(NOW + 1) == ["100"]
    assert taking.take("101", NOW + 2, time_ms=NOW) == ["101"]


def test_a_clock_that_was_set_back_is_believed_after_a_while() -> None:
    taking = Taking()
    assert taking.take("100", time_ms=NOW) == ["100"]
    assert taking.take("101", NOW + 10, time_ms=NOW - 3_600_000) == []
    at = NOW + 10 + FEED_HOLD_MS
    assert taking.take("102", at, time_ms=NOW - 3_600_000 + FEED_HOLD_MS) == ["102"]
    assert taking.take("103", at + 1, time_ms=NOW - 3_600_000 + FEED_HOLD_MS + 1) == ["103"]


def test_a_price_without_a_time_has_ours_which_overtakes_none_of_the_exchanges() -> None:
    taking = Taking()
    assert taking.take("100", NOW + 500, time_ms=None) == ["100"]
    assert taking.take("101", NOW + 600, time_ms=NOW + 400) == ["101"]


def test_a_jump_is_held_back_until_the_next_price_confirms_it() -> None:
    taking = Taking()
    assert taking.take("100") == ["100"]
    assert taking.take("40") == []
    assert taking.take("41") == ["40", "41"]
    assert taking.reports == {"price_jump": 1}


def test_a_jump_that_the_next_price_contradicts_is_forgotten() -> None:
    taking = Taking()
    taking.take("100")
    assert taking.take("1") == []
    assert taking.take("101") == ["101"]
    assert taking.take("1") == []
    assert taking.reports == {"price_jump": 2}


def test_wild_prices_one_after_the_other_are_all_held_back() -> None:
    taking = Taking()
    taking.take("100")
    assert [taking.take(price) for price in ("1", "10000", "3", "70000")] == [[], [], [], []]
    assert taking.reports == {"price_jump": 4}


def test_a_jump_that_nothing_contradicts_is_believed_after_a_while() -> None:
    taking = Taking()
    taking.take("100")
    assert taking.take("10", NOW) == []
    assert taking.affirm(NOW + FEED_HOLD_MS - 1) == []
    assert taking.affirm(NOW + FEED_HOLD_MS) == ["10"]
    assert taking.affirm(NOW + FEED_HOLD_MS + 1000) == ["10"]


@pytest.mark.parametrize(
    ("price", "held"), [("51", False), ("149", False), ("50", True), ("150", True)]
)
def test_fifty_percent_is_too_far(price: str, held: bool) -> None:  # noqa: FBT001 - a table's column
    taking = Taking()
    taking.take("100")
    assert taking.take(price) == ([] if held else [price])


@pytest.mark.parametrize("time_ms", [0, -1, 10**15, NOW + FEED_CLOCK_AHEAD_MS + 1])
def test_a_time_that_cannot_be_is_counted_and_replaced_by_ours(time_ms: int) -> None:
    taking = Taking()
    taking.filter.take(PriceSeen("A-B", Decimal(1), time_ms), NOW)
    [quote] = taking.filter.batch()
    assert (quote.time_ms, quote.received_ms) == (NOW, NOW)
    assert taking.reports == {"bad_clock": 1}


def test_both_times_are_kept() -> None:
    taking = Taking()
    taking.filter.take(PriceSeen("A-B", Decimal(1), NOW - 250), NOW)
    [quote] = taking.filter.batch()
    assert (quote.time_ms, quote.received_ms) == (NOW - 250, NOW)


def test_an_affirmed_price_keeps_its_time_and_is_received_anew() -> None:
    taking = Taking()
    taking.take("1", time_ms=NOW - 250, number=7)
    taking.filter.affirm("A-B", 7, NOW + 5000)
    [quote] = taking.filter.batch()
    assert (quote.time_ms, quote.received_ms) == (NOW - 250, NOW + 5000)


def test_a_price_is_not_affirmed_by_another_ones_number() -> None:
    taking = Taking()
    taking.take("1", number=7)
    assert taking.affirm(NOW + 1000, 8) == []
    assert taking.affirm(NOW + 2000, 7) == ["1"]
    assert taking.affirm(NOW + 3000) == ["1"]


def test_nothing_is_affirmed_before_the_first_price() -> None:
    assert Taking().affirm(NOW) == []


def test_an_overtaken_price_changes_nothing() -> None:
    taking = Taking()
    assert taking.take("1", time_ms=NOW, number=7) == ["1"]
    assert taking.take("1.1", time_ms=NOW - 1, number=6) == []
    assert taking.take("1.1", time_ms=NOW, number=6) == []
    assert taking.take("1.2", time_ms=NOW + 1, number=8) == ["1.2"]


def test_numbers_that_begin_anew_do_not_stop_the_prices() -> None:
    taking = Taking()
    taking.take("1", time_ms=NOW, number=1_000_000)
    assert taking.take("1.1", time_ms=NOW + 1, number=1) == ["1.1"]
    assert taking.take("1.2", time_ms=NOW + 2, number=2) == ["1.2"]


def test_a_batch_has_the_ends_of_each_symbols_second_and_then_is_empty() -> None:
    taking = Taking("A-B", "C-D")
    for price in ("1", "1.1", "1.2"):
        taking.filter.take(PriceSeen("A-B", Decimal(price)), NOW)
    taking.filter.take(PriceSeen("C-D", Decimal(5)), NOW)
    assert taking.filter
    assert [(q.symbol, str(q.price)) for q in taking.filter.batch()] == [
        ("A-B", "1"),
        ("A-B", "1.2"),
        ("C-D", "5"),
    ]
    assert not taking.filter
    assert taking.filter.batch() == []


def test_a_symbol_with_two_names_is_quoted_under_both() -> None:
    price_filter = PriceFilter(
        "test", {"BTC-USDT": ["BTC-USD", "BTC-USDT"]}, lambda _kind, _detail: None
    )
    price_filter.take(PriceSeen("BTC-USDT", Decimal(5)), NOW)
    assert [quote.symbol for quote in price_filter.batch()] == ["BTC-USD", "BTC-USDT"]


# From 7 on, half of a price is more than the three steps that it may always move by.
@given(st.lists(st.tuples(st.integers(7, 10**6), st.integers(0, 5000)), max_size=60))
def test_no_price_goes_out_that_is_far_from_the_one_before_unless_confirmed(
    prices: list[tuple[int, int]],
) -> None:
    taking, now, shown = Taking(), NOW, None
    seen: list[int] = []
    for price, pause in prices:
        now += pause
        out = taking.take(str(price), now, time_ms=now)
        assert out in ([], [str(price)], [*map(str, seen[-1:]), str(price)])
        if out and shown is not None and abs(price - shown) >= shown / 2:
            assert abs(price - seen[-1]) < seen[-1] / 2, "believed without a price near it before"
        if out:
            shown = price
        seen.append(price)


@pytest.mark.parametrize(
    ("tick", "prices", "jumps"),
    [
        (None, ["0.00000002", "0.00000003", "0.00000001"], 0),
        ("0.00000001", ["0.00000002", "0.00000005"], 0),
        ("0.00000001", ["0.00000002", "0.00000006"], 1),
        ("0.01", ["0.02", "0.0200001", "0.05"], 0),
        (None, ["42000.10", "42000.13", "90000.00"], 1),
    ],
)
def test_a_price_may_move_a_few_of_its_smallest_steps(
    tick: str | None, prices: list[str], jumps: int
) -> None:
    reports: list[str] = []
    price_filter = PriceFilter("x", {"A-B": ["A-B"]}, lambda kind, _: reports.append(kind))
    if tick is not None:
        price_filter.set_tick("A-B", Decimal(tick))
    for number, price in enumerate(prices):
        price_filter.take(PriceSeen("A-B", Decimal(price)), number)
    assert reports == ["price_jump"] * jumps


SIDES = Details(Decimal(99), Decimal(101))


def batch(filter_: PriceFilter) -> Quote | None:
    found = filter_.batch()
    assert len(found) <= 1
    return found[0] if found else None


def test_what_is_told_without_a_price_makes_the_price_neither_younger_nor_a_trade() -> None:
    prices = PriceFilter("test", {"A-B": ["A-B"]}, lambda kind, _: pytest.fail(kind))
    prices.note("A-B", SIDES)
    assert batch(prices) is None
    prices.take(PriceSeen("A-B", Decimal(100), NOW), NOW + 50)
    first = batch(prices)
    assert first == Quote("A-B", Decimal(100), NOW, NOW + 50, "test", details=SIDES)
    prices.note("A-B", SIDES)
    assert batch(prices) is None
    other = Details(Decimal(98), Decimal(101))
    prices.note("A-B", other)
    assert batch(prices) == Quote("A-B", Decimal(100), NOW, NOW + 50, "test", details=other)
    prices.affirm("A-B", None, NOW + 900)
    assert batch(prices) == Quote("A-B", Decimal(100), NOW, NOW + 900, "test", details=other)


def test_the_same_trade_told_again_is_no_trade_but_affirms_the_price() -> None:
    prices = PriceFilter("test", {"A-B": ["A-B"]}, lambda kind, _: pytest.fail(kind))

    def take(price: int, size: str, at: int) -> Quote | None:
        seen = PriceSeen("A-B", Decimal(price), at, size=Decimal(size), details=SIDES)
        prices.take(seen, at)
        return batch(prices)

    for price, size, at, time_ms in [
        (100, "1", NOW, NOW),
        (100, "1", NOW + 2000, NOW),
        (100, "2", NOW + 3000, NOW + 3000),
        (101, "2", NOW + 4000, NOW + 4000),
        (101, "2", NOW + 5000, NOW + 4000),
    ]:
        quote = take(price, size, at)
        assert quote is not None
        assert (quote.time_ms, quote.received_ms) == (time_ms, at)


def test_what_was_traded_adds_up_however_many_trades_are_between_two_batches() -> None:
    prices = PriceFilter("test", {"A-B": ["A-B"]}, lambda *_: None, every_trade=True)

    def trade(number: int, size: str) -> None:
        prices.take(PriceSeen("A-B", Decimal(100), NOW, number, Decimal(size)), NOW)

    def traded() -> str:
        quote = batch(prices)
        assert quote is not None
        return str(quote.traded)

    trade(1, "0.5")
    trade(2, "0.25")
    trade(2, "0.25")  # of the connection before
    trade(1, "0.5")  # and an older one
    assert traded() == "0.75"
    prices.affirm("A-B", 2, NOW)
    assert traded() == "None"
    trade(3, "1.5")
    prices.affirm("A-B", 3, NOW)
    assert traded() == "1.5"


def test_a_price_is_affirmed_only_where_the_exchange_names_it() -> None:
    taking = Taking()
    taking.take("100", number=7)
    taking.filter.affirm("A-B", 7, NOW, Decimal(101))
    assert not taking.filter
    taking.filter.affirm("A-B", 7, NOW, Decimal("100.0"))
    assert taking.filter


class Trades:
    """A price filter of numbered trades, and the bars of what it hands out."""

    def __init__(self, *, consecutive: bool = True) -> None:
        self.filter = PriceFilter(
            "test",
            {"A-B": ["A-B"]},
            lambda *_: None,
            every_trade=True,
            consecutive=consecutive,
        )
        self.candles = Candles()

    def take(self, number: int, price: int, size: str | None = "1", *, at: int = NOW) -> None:
        amount = None if size is None else Decimal(size)
        self.filter.take(PriceSeen("A-B", Decimal(price), at, number, amount), at)

    def bar(self) -> tuple[tuple[str, str, str, str], str | None]:
        """Hand out what there is, and return its one bar: prices and volume."""
        for quote in self.filter.batch():
            self.candles.add(quote.time_ms, quote.price, quote.traded)
        [bar] = self.candles.bars(SECOND, now_ms=NOW, begin=None, end=None, limit=None)
        return bar.prices, bar.volume


def test_a_trade_without_a_size_leaves_what_was_traded_unknown() -> None:
    trades = Trades()
    trades.take(1, 100)
    trades.take(2, 101, None)
    trades.take(3, 102)
    assert trades.bar() == (("100", "102", "100", "102"), None)


def test_a_trade_that_was_left_out_leaves_what_was_traded_unknown() -> None:
    trades = Trades()
    trades.take(1, 100)
    trades.take(3, 101)
    assert trades.bar() == (("100", "101", "100", "101"), None)
    # Where numbers have gaps anyhow nothing follows from one.
    trades = Trades(consecutive=False)
    trades.take(1, 100)
    trades.take(3, 101)
    assert trades.bar() == (("100", "101", "100", "101"), "2")


@pytest.mark.parametrize("handed_out", [True, False])
def test_a_trade_that_comes_late_counts_once_in_its_own_second(
    handed_out: bool,  # noqa: FBT001 - a table
) -> None:
    trades = Trades()
    trades.take(1, 100)
    trades.take(3, 101)
    if handed_out:
        trades.bar()
    for _ in range(2):
        trades.take(2, 109)
    assert trades.filter.last("A-B") == 101
    assert trades.bar() == (("100", "109", "100", "101"), None)


def test_a_trade_far_away_counts_in_full_once_it_is_believed_and_never_before() -> None:
    trades = Trades()
    trades.take(1, 100)
    trades.take(2, 170, "7")
    assert trades.bar() == (("100", "100", "100", "100"), "1")
    trades.take(3, 171)
    assert trades.bar() == (("100", "171", "100", "171"), "9")
    # One that the next contradicts is no price, and what was traded is not known.
    trades.take(4, 17, "5")
    trades.take(5, 172)
    assert trades.bar() == (("100", "172", "100", "172"), None)


def test_what_was_traded_is_unknown_after_a_price_that_was_not_believed() -> None:
    trades = Trades(consecutive=False)
    trades.take(1, 100)
    trades.take(2, 17, "5")
    trades.take(3, 101)
    assert trades.bar() == (("100", "101", "100", "101"), None)


def test_a_late_trade_told_twice_counts_once_and_one_of_no_time_never() -> None:
    trades = Trades()
    trades.take(1, 100, at=NOW - 2000)
    trades.take(4, 101)
    for _ in range(2):
        trades.take(2, 109, "3", at=NOW - 1000)
    trades.take(3, 105, at=0)
    for quote in trades.filter.batch():
        trades.candles.add(quote.time_ms, quote.price, quote.traded)
    bars = list(trades.candles.bars(SECOND, now_ms=NOW, begin=None, end=None, limit=None))
    assert [(bar.begin - NOW, bar.volume) for bar in bars] == [
        (-2000, "1"),
        (-1000, "3"),
        (0, None),
    ]
    assert trades.candles.first_begin(SECOND) == NOW - 2000


def test_of_very_many_trades_that_are_missing_the_newest_are_remembered() -> None:
    missing = MissingTrades()
    assert not missing.pass_over(1, 2)
    assert missing.pass_over(2, 2 + FEED_MISSING_TRADES)
    assert missing.pass_over(5000, 10**12)
    assert not missing.came(3)
    assert not missing.came(5001)
    assert missing.came(10**12 - FEED_MISSING_TRADES)
    assert not missing.came(10**12 - FEED_MISSING_TRADES)
