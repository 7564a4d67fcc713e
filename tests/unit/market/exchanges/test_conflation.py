"""However many prices there were, bars are made of what goes on as they would be of all."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from ticker.limits import FEED_BATCH_QUOTES
from ticker.market.candles import SECOND, Candles, ShownBar
from ticker.market.exchanges.conflation import Conflated
from ticker.market.quote import Quote

NOW = 1_790_000_000_000

#: The price, its size, how long after the one before, and whether a batch ends after it.
TRADES = st.lists(
    st.tuples(
        st.integers(1, 9),
        st.one_of(st.none(), st.integers(1, 5)),
        st.sampled_from([0, 0, 0, 300, 1000]),
        st.booleans(),
    ),
    max_size=60,
)


def bars_of(quotes: list[Quote]) -> list[ShownBar]:
    candles = Candles()
    for quote in quotes:
        candles.add(quote.time_ms, quote.price, quote.traded)
    return list(candles.bars(SECOND, now_ms=NOW, begin=None, end=None, limit=None))


@given(TRADES)
@example([(1, 1, 0, False), (3, 1, 0, False), (2, 1, 0, False), (4, 1, 0, False), (1, 1, 0, False)])
def test_bars_of_what_goes_on_are_those_of_all_trades(
    trades: list[tuple[int, int | None, int, bool]],
) -> None:
    conflated, everything, gone_on = Conflated(), list[Quote](), list[Quote]()
    now = NOW
    for price, size, pause, ends in trades:
        now += pause
        traded = None if size is None else Decimal(size)
        quote = Quote("A-B", Decimal(price), now, now, "test", traded=traded)
        everything.append(quote)
        conflated.add(quote)
        if ends:
            gone_on += taken(conflated)
    gone_on += taken(conflated)
    assert bars_of(gone_on) == bars_of(everything)
    assert [quote.price for quote in gone_on[-1:]] == [quote.price for quote in everything[-1:]]


def taken(conflated: Conflated) -> list[Quote]:
    quotes = conflated.take()
    assert max(Counter(quote.time_ms // 1000 for quote in quotes).values(), default=0) <= 4
    return quotes


def test_there_is_an_end_to_what_goes_on_at_once() -> None:
    conflated = Conflated()
    for second in range(2 * FEED_BATCH_QUOTES):
        time_ms = NOW + 1000 * second
        conflated.add(
            Quote("A-B", Decimal(second + 1), time_ms, time_ms, "test", traded=Decimal(1))
        )
    quotes = conflated.take()
    assert len(quotes) == FEED_BATCH_QUOTES
    assert sum(quote.traded or 0 for quote in quotes) == 2 * FEED_BATCH_QUOTES


def test_what_comes_late_counts_and_the_newest_stays_the_newest() -> None:
    for pending, again in ((True, False), (False, False), (False, True)):
        conflated = Conflated()
        newest = Quote("A-B", Decimal(5), NOW + 900, NOW + 900, "test", traded=Decimal(2))
        conflated.add(newest)
        before = [] if pending else conflated.take()
        if again:
            conflated.renew(newest)
        late = Quote("A-B", Decimal(9), NOW + 100, NOW + 950, "test", traded=Decimal(1))
        conflated.add_late(late, newest)
        quotes = [*before, *conflated.take()]
        assert quotes[-1].price == 5
        [bar] = bars_of(quotes)
        assert (bar.prices[1], bar.prices[3], bar.volume) == ("9", "5", "3")
