"""The book: the newest quote of each symbol, and the sequence number."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.market.book import Book
from ticker.market.candles import STEPS, ShownBar
from ticker.market.quote import Quote

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")


def quote(symbol: str, price: int, time_ms: int = 1000) -> Quote:
    return Quote(symbol, Decimal(price), time_ms, time_ms, "simulated")


def test_a_new_book_knows_its_symbols_and_no_price() -> None:
    book = Book(SYMBOLS)
    assert book.symbols == SYMBOLS
    assert [book.get(symbol) for symbol in SYMBOLS] == [None] * 3
    assert book.days == [None] * len(SYMBOLS)
    assert book.changes == 0
    assert "BTC-USD" in book
    assert "DOGE-USD" not in book


@pytest.mark.parametrize("ask", ["place", "get", "candles"])
def test_an_unknown_symbol_is_a_key_error(ask: str) -> None:
    with pytest.raises(KeyError):
        getattr(Book(SYMBOLS), ask)("DOGE-USD")


BATCHES = st.lists(
    st.lists(st.tuples(st.sampled_from([*SYMBOLS, "DOGE-USD"]), st.integers(1, 9)), max_size=6),
    max_size=10,
)


@given(BATCHES)
def test_the_last_quote_of_each_symbol_stands(batches: list[list[tuple[str, int]]]) -> None:
    book, newest, unknown, changes = Book(SYMBOLS), {}, 0, 0
    for batch in batches:
        left_out = book.apply(quote(symbol, price) for symbol, price in batch)
        assert left_out == sum(symbol not in SYMBOLS for symbol, _ in batch)
        unknown += left_out
        changes += len(batch) - left_out
        newest.update({symbol: price for symbol, price in batch if symbol in SYMBOLS})
    for place, symbol in enumerate(SYMBOLS):
        found = book.get(symbol)
        assert book.place(symbol) == place
        assert found is book.quotes[place]
        assert (None if found is None else found.price) == newest.get(symbol)
    assert book.changes == changes


def test_what_was_taken_in_since_the_last_look_is_told_once() -> None:
    book = Book(SYMBOLS)
    book.apply([quote("BTC-USD", 1), quote("SOL-USD", 2), quote("BTC-USD", 3)])
    taken, passed = book.take()
    assert taken == [quote("BTC-USD", 3), quote("SOL-USD", 2)]
    assert passed == []
    assert book.take() == ([], [])


def test_a_book_that_keeps_what_passed_gives_another_one_the_same_past() -> None:
    book, copy = Book(SYMBOLS), Book(SYMBOLS)
    book.keeps_passed = True
    book.apply([quote("BTC-USD", price, 5000) for price in (3, 7)])
    book.apply([quote("ETH-USD", 5), quote("BTC-USD", 2, 5000), quote("BTC-USD", 4, 5000)])
    taken, passed = book.take()
    assert passed == [quote("BTC-USD", price, 5000) for price in (3, 7, 2)]
    copy.apply([*passed, *taken])
    assert copy.quotes == book.quotes
    for each in (book, copy):
        candles = each.candles("BTC-USD")
        assert candles is not None
        bars = candles.bars(STEPS["1s"], now_ms=5000, begin=None, end=None, limit=None)
        assert list(bars) == [ShownBar(5000, ("3", "7", "2", "4"), None, theirs=False)]


def test_quotes_become_bars() -> None:
    book = Book(SYMBOLS)
    book.apply([quote("BTC-USD", price, 5000) for price in (3, 7, 2, 4)])
    candles = book.candles("BTC-USD")
    bars = candles.bars(STEPS["1s"], now_ms=5000, begin=None, end=None, limit=None)
    assert list(bars) == [ShownBar(5000, ("3", "7", "2", "4"), None, theirs=False)]
