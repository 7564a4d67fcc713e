"""A recording of another Ticker plays like one of an exchange."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ticker.market.exchanges.decoding import BadMessage
from ticker.market.exchanges.recorded import recorded_prices

LINE = (
    b'{"type":"ticker","data":[{"symbol":"PEPE-USD","price":0.0000102300,"timestamp":17},'
    b'{"symbol":"BTC-USD","price":42000.10,"timestamp":18,"source":"kraken"}],"seq":7,'
    b'"time":18123,"prev":6}'
)


def test_its_prices_are_read_digit_for_digit() -> None:
    seen = recorded_prices(LINE)
    assert [(price.symbol, str(price.price)) for price in seen] == [
        ("PEPE-USD", "0.0000102300"),
        ("BTC-USD", "42000.10"),
    ]


@pytest.mark.parametrize(
    "message",
    [
        LINE.replace(b"PEPE-USD", b"P/E"),
        LINE.replace(b"0.0000102300", b"-1"),
        LINE.replace(b'"price":42000.10,', b""),
        LINE.replace(b'"data":[', b'"data":[1,'),
    ],
    ids=["symbol", "price", "no price", "no quote"],
)
def test_what_it_cannot_have_said_is_told_and_passed_over(message: bytes) -> None:
    with pytest.raises(BadMessage):
        recorded_prices(message)


def test_a_ticker_of_coinbase_is_still_one() -> None:
    message = (
        b'{"type":"ticker","sequence":1,"product_id":"BTC-USD","price":"42000.10",'
        b'"time":"2026-09-14T12:00:00.000000Z","trade_id":7}'
    )
    assert [price.price for price in recorded_prices(message)] == [Decimal("42000.10")]
