"""What was published stands still between two ticks, and knows when each symbol changed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.market.book import Book
from ticker.market.published import Published
from ticker.market.quote import Quote

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
        assert published.changed["full"] == published.changed["price"]
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


def test_what_only_the_detail_full_shows_changes_that_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ticker.market.published.FULL_FIELDS", ("received_ms",))
    book = Book(SYMBOLS)
    published = Published(book, time_ms=0)
    book.apply([quote("AAA-USD", 1), quote("BBB-USD", 1)])
    published.tick(1, 1)
    book.apply([Quote("AAA-USD", Decimal(1), 1000, 1500, "simulated"), quote("BBB-USD", 2)])
    published.tick(2, 2)
    book.apply([quote("CCC-USD", 1)])
    published.tick(3, 3)
    assert published.changed == {"price": (2,), "full": (2,)}
    assert published.changed_since(1, "price") == [2, 1]
    assert sorted(published.changed_since(1, "full")) == [0, 1, 2]
