"""What messages add up to: the newest prices, and which of them are stale."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ticker.client import Price
from ticker.client.book import Book
from ticker.client.disconnects import Retry
from ticker.client.messages import Status, Subscribed, Ticker, Unsubscribed, Welcome
from ticker.client.requests import Resume


def tick(*symbols: str, source: str | None = None, snapshot: bool = False) -> Ticker:
    prices = (Price(symbol=s, price=Decimal(1), timestamp=17, source=source) for s in symbols)
    return Ticker(data=tuple(prices), seq=1, time=17000, snapshot=snapshot)


def test_a_snapshot_takes_the_place_of_all_that_was_known() -> None:
    book = Book()
    book.take(tick("A-USD", "B-USD"))
    book.take(tick("B-USD", "C-USD"))
    assert set(book.latest) == {"A-USD", "B-USD", "C-USD"}
    book.take(tick("B-USD", snapshot=True))
    assert set(book.latest) == {"B-USD"}


def test_a_subscription_lets_go_of_what_it_does_not_hold() -> None:
    book = Book()
    book.take(tick("A-USD", "B-USD"))
    book.take(Subscribed(symbols=("B-USD", "C-USD")))
    assert set(book.latest) == {"B-USD"}
    book.take(Unsubscribed())
    assert book.latest == {}


def test_what_is_resumed_has_no_symbol_that_was_not_held() -> None:
    """What stands still of it would be missing."""
    book = Book()
    book.take(Subscribed(symbols=("A-USD", "B-USD"), epoch="one"))
    book.take(tick("A-USD", "B-USD", snapshot=True))
    book.take(Subscribed(symbols=("B-USD",), epoch="one", resumed=True))
    assert book.position == Resume("one", 1)
    with pytest.raises(Retry):
        book.take(Subscribed(symbols=("B-USD", "C-USD"), epoch="one", resumed=True))
    assert book.position is None


@pytest.mark.parametrize(
    ("status", "fresh"),
    [
        (Status(state="stale", source="kraken"), [False, False, True]),
        (Status(state="stale", source="kraken", symbols=("A-USD",)), [False, True, True]),
        (Status(state="stale", source="coinbase"), [True, True, False]),
        (Status(state="live", source="kraken"), [True, True, True]),
    ],
)
def test_a_stale_source_concerns_its_own_symbols_alone(status: Status, fresh: list[bool]) -> None:
    book = Book()
    book.take(tick("A-USD", "B-USD", source="kraken"))
    book.take(tick("C-USD", source="coinbase"))
    book.take(status)
    assert [book.is_fresh(symbol) for symbol in ("A-USD", "B-USD", "C-USD")] == fresh


def test_each_status_of_a_source_replaces_the_one_before() -> None:
    book = Book()
    book.take(tick("A-USD", "B-USD", source="kraken"))
    book.take(Status(state="stale", source="kraken", symbols=("A-USD",)))
    book.take(Status(state="stale", source="kraken", symbols=("B-USD",)))
    assert book.is_fresh("A-USD")
    assert not book.is_fresh("B-USD")
    book.take(Status(state="live", source="kraken"))
    assert book.is_fresh("B-USD")


def test_a_new_stream_begins_with_no_stale_source() -> None:
    book = Book()
    book.take(tick("A-USD"))
    book.take(Status(state="stale", source="simulated"))
    assert not book.is_fresh("A-USD")
    book.take(Welcome(user_id="user:demo"))
    assert book.is_fresh("A-USD")


def test_a_symbol_without_a_price_is_not_fresh() -> None:
    assert not Book().is_fresh("A-USD")
