"""What was published stands still between two ticks, and knows when each symbol changed."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.market.book import Book
from ticker.market.published import Published
from ticker.market.quote import Details, Quote

SYMBOLS = ("AAA-USD", "BBB-USD", "CCC-USD")


def quote(symbol: str, price: int) -> Quote:
    return Quote(symbol, Decimal(price), 1000, 1000, "simulated")


@given(st.lists(st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 9))), max_size=12))
def test_a_tick_publishes_the_book_and_nothing_moves_before_the_next(
    ticks: list[list[tuple[str, int]]],
) -> None:
    book = Book(SYMBOLS)
    published = Published(book, time_ms=5)
    assert (published.seq, published.time_ms, published.quotes) == (0, 5, [None] * 3)
    changed_at = dict.fromkeys(SYMBOLS, 0)
    prices: dict[str, int] = {}
    for number, batch in enumerate(ticks, 1):
        before = list(published.quotes)
        book.apply(quote(symbol, price) for symbol, price in batch)
        assert published.quotes == before
        published.tick(number * 3, number)
        now = prices | dict(batch)
        changed = {symbol for symbol in now if prices.get(symbol) != now[symbol]}
        changed_at.update(dict.fromkeys(changed, number * 3))
        prices = now
        assert {SYMBOLS[place] for place in published.changed["price"]} == changed
        assert published.quotes == book.quotes
        moved = set(published.changed["full"]) - set(published.changed["price"])
        # A price that came and went between two ticks may have been the day's highest.
        assert moved <= {book.place(symbol) for symbol, _ in batch}
        assert [published.get(symbol) for symbol in SYMBOLS] == book.quotes
        assert (published.seq, published.time_ms) == (number * 3, number)
        for seq in range(number * 3 + 1):
            places = published.changed_since(seq, "price")
            assert {SYMBOLS[place] for place in places} == {
                symbol for symbol, at in changed_at.items() if at > seq
            }
            order = [changed_at[SYMBOLS[place]] for place in places]
            assert order == sorted(order, reverse=True)


@pytest.mark.parametrize(
    ("later", "changed"),
    [
        (Quote("AAA-USD", Decimal("1.0"), 1999, 1999, "kraken"), False),
        (Quote("AAA-USD", Decimal("1.00"), 1000, 1000, "kraken"), True),
        (Quote("AAA-USD", Decimal("1.1"), 1000, 1000, "kraken"), True),
        (Quote("AAA-USD", Decimal("1.0"), 2000, 1000, "kraken"), True),
        (Quote("AAA-USD", Decimal("1.0"), 1000, 1000, "binance"), True),
    ],
)
def test_a_change_is_one_that_is_shown(later: Quote, *, changed: bool) -> None:
    book = Book(SYMBOLS)
    published = Published(book, time_ms=0)
    book.apply([Quote("AAA-USD", Decimal("1.0"), 1000, 1000, "kraken")])
    published.tick(1, 1)
    book.apply([later])
    published.tick(2, 2)
    assert published.changed["price"] == ((0,) if changed else ())
    assert published.get("AAA-USD") is later


def test_each_start_draws_another_epoch() -> None:
    epochs = {Published(Book(SYMBOLS), time_ms=0).epoch for _ in range(100)}
    assert len(epochs) == 100
    assert all(epoch.isalnum() for epoch in epochs)


DETAILS = Details(Decimal("1.5"), Decimal("2.5"), Decimal(1), Decimal(3), Decimal("0.5"))


@pytest.mark.parametrize(
    ("details", "changed"),
    [
        (Details(Decimal("1.5"), Decimal("2.5"), Decimal(1), Decimal(3), Decimal("0.5")), False),
        (Details(Decimal("1.50"), Decimal("2.5"), Decimal(1), Decimal(3), Decimal("0.5")), True),
        (Details(Decimal("1.6"), Decimal("2.5"), Decimal(1), Decimal(3), Decimal("0.5")), True),
        (Details(Decimal("1.5"), Decimal("2.5")), True),
        (None, True),
    ],
    ids=["same", "another digit", "another bid", "no day", "none"],
)
def test_what_only_the_detail_full_shows_changes_that_alone(
    details: Details | None, *, changed: bool
) -> None:
    book = Book(SYMBOLS)
    published = Published(book, time_ms=0)
    old = Quote("AAA-USD", Decimal(1), 1000, 1000, "kraken", details=DETAILS)
    book.apply([old, quote("BBB-USD", 1)])
    published.tick(1, 1)
    book.apply([Quote("AAA-USD", Decimal(1), 1000, 1500, "kraken", details=details)])
    book.apply([quote("BBB-USD", 2)])
    published.tick(2, 2)
    book.apply([quote("CCC-USD", 1)])
    published.tick(3, 3)
    assert published.changed == {"price": (2,), "full": (2,)}
    assert published.changed_since(1, "price") == [2, 1]
    assert sorted(published.changed_since(1, "full")) == ([0, 1, 2] if changed else [1, 2])


def test_where_a_source_tells_no_day_it_is_that_of_our_own_bars() -> None:
    book = Book(SYMBOLS)
    published = Published(book, time_ms=0)
    book.apply(
        [
            Quote("AAA-USD", Decimal(100), 5_500, 5_500, "simulated"),
            Quote("BBB-USD", Decimal(2), 5_500, 5_500, "kraken", details=DETAILS),
        ]
    )
    published.tick(1, 1)
    for price in (120, 80, 110):
        book.apply([Quote("AAA-USD", Decimal(price), 6_000, 6_000, "simulated")])
    published.tick(2, 2)
    ours, theirs = published.in_full("AAA-USD"), published.in_full("BBB-USD")
    assert ours is not None
    assert ours.details == Details(
        open_24h=Decimal(100),
        high_24h=Decimal(120),
        low_24h=Decimal(80),
        change_24h=Decimal("10.0000"),
        since=5_000,
    )
    assert theirs is not None
    assert theirs.details == msgspec.structs.replace(DETAILS, change_24h=Decimal("100.0000"))
    plain = published.get("AAA-USD")
    assert plain is not None
    assert plain.details is None


def test_a_day_that_moved_without_a_price_changes_the_detail_full_of_who_is_shown_it() -> None:
    book = Book(SYMBOLS)
    published = Published(book, time_ms=0)
    day_ms = 24 * 3_600_000
    for symbol, details in (("AAA-USD", None), ("BBB-USD", DETAILS)):
        for time_ms, price in ((60_000, 9), (120_000, 5)):
            book.apply([Quote(symbol, Decimal(price), time_ms, time_ms, "x", details=details)])
    published.tick(1, 1)
    for place in range(2):
        book.refresh_day(place, 120_000)
    published.tick(2, 2)
    assert published.changed["full"] == ()  # nothing has grown too old
    for place in range(2):
        book.refresh_day(place, day_ms + 60_000)
    published.tick(3, 3)
    assert not published.changed["price"]
    assert list(published.changed["full"]) == [0]
    shown = published.in_full("AAA-USD")
    assert shown is not None
    assert (shown.open_24h, shown.high_24h, shown.since) == (Decimal(5), Decimal(5), None)


class CountedDays(dict[int, Details | None]):
    """Figures of 24 hours that count how often they are asked for."""

    asked = 0

    def get(self, *args: object) -> object:  # type: ignore[override]
        self.asked += 1
        return super().get(*args)  # type: ignore[call-overload]

    def __getitem__(self, place: int) -> Details | None:
        self.asked += 1
        return super().__getitem__(place)


def test_a_tick_looks_at_the_figures_that_moved_however_many_stand_still() -> None:
    book = Book([f"A{number}-USD" for number in range(1000)])
    published = Published(book, time_ms=0)
    days = CountedDays({7: Details(open_24h=Decimal(1))})
    published.tick(1, 1, (), days)
    assert published.days[7] == Details(open_24h=Decimal(1))
    assert days.asked <= 2


def test_what_was_logged_of_the_figures_of_24_hours_stays_as_it_was() -> None:
    book = Book(SYMBOLS)
    published = Published(book, time_ms=0)
    first, second = Details(open_24h=Decimal(1)), Details(open_24h=Decimal(2))
    published.tick(1, 1, [quote("BBB-USD", 5)], {1: first})
    logged = published.changed_days()
    published.tick(2, 2, [quote("BBB-USD", 6)], {1: second})
    assert (logged, published.changed_days()) == ((first,), (second,))
