"""What was published stands still between two ticks, and knows when each symbol changed."""

from __future__ import annotations

from decimal import Decimal

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
    for number, batch in enumerate(ticks, 1):
        before = list(published.quotes)
        book.apply(quote(symbol, price) for symbol, price in batch)
        assert published.quotes == before
        published.tick(number * 3, number)
        changed_at.update(dict.fromkeys((symbol for symbol, _ in batch), number * 3))
        assert published.quotes == book.quotes
        assert [published.get(symbol) for symbol in SYMBOLS] == book.quotes
        assert (published.seq, published.time_ms) == (number * 3, number)
        for seq in range(number * 3 + 1):
            places = published.changed_since(seq)
            assert {SYMBOLS[place] for place in places} == {
                symbol for symbol, at in changed_at.items() if at > seq
            }
            order = [changed_at[SYMBOLS[place]] for place in places]
            assert order == sorted(order, reverse=True)
