"""The messages of each exchange, byte by byte: its documentation's examples and nonsense."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.exchange_standin import BINANCE, COINBASE, KRAKEN
from ticker.market.exchanges import binance_messages as binance
from ticker.market.exchanges import coinbase_messages as coinbase
from ticker.market.exchanges import kraken_messages as kraken
from ticker.market.exchanges.events import (
    Alive,
    BadMessage,
    Ending,
    Event,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
    Tradable,
    checked_price,
)

CAPTURES = Path(__file__).parents[4] / ".." / "shared" / "captures"
PARSERS = [coinbase, kraken, binance]


def test_the_documentation_of_coinbase_is_understood() -> None:
    assert coinbase.parse(COINBASE.example) == (
        PriceSeen("ETH-USD", Decimal("1285.22"), 1666222102062, 370843401),
    )


def test_the_documentation_of_kraken_is_understood() -> None:
    assert list(kraken.parse(KRAKEN.example)) == [PriceSeen("ALGO-USD", Decimal("0.10035"))]


def test_the_documentation_of_binance_is_understood() -> None:
    assert binance.parse(BINANCE.example) == (
        PriceSeen("BNB-BTC", Decimal("0.001"), 1672515782136, 12345),
    )


@pytest.mark.parametrize(
    ("parser", "raw", "events"),
    [
        (
            coinbase,
            (
                '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",'
                '"time":"2014-11-07T08:19:28.464459Z"}'
            ),
            [Alive("BTC-USD", 20)],
        ),
        (
            coinbase,
            (
                '{"type":"subscriptions","channels":[{"name":"level2","product_ids":["ETH-EUR"]},'
                '{"name":"ticker","product_ids":["ETH-USD","BTC-USD"]}]}'
            ),
            [Subscribed(("ETH-USD", "BTC-USD"))],
        ),
        (
            coinbase,
            (
                '{"type":"error","message":"Failed to subscribe",'
                '"reason":"X-Y is not a valid product"}'
            ),
            [Refused("Failed to subscribe: X-Y is not a valid product")],
        ),
        (coinbase, '{"type":"error","message":"error message"}', [Refused("error message")]),
        (coinbase, '{"type":"subscriptions","channels":[]}', [Subscribed(())]),
        (coinbase, '{"type":"status","products":[{"id":"A-B"}]}', [Tradable(("A-B",))]),
        (coinbase, '{"type":"match","product_id":"A-B","price":"1"}', [Ignored("match")]),
        (kraken, '{"channel":"heartbeat"}', [Alive()]),
        (
            kraken,
            (
                '{"method":"subscribe","result":{"channel":"ticker","snapshot":true,'
                '"symbol":"ALGO/USD"},"success":true}'
            ),
            [Subscribed(("ALGO-USD",))],
        ),
        (
            kraken,
            (
                '{"error":"Currency pair not supported X/Y","method":"subscribe","success":false,'
                '"symbol":"X/Y"}'
            ),
            [Refused("Currency pair not supported X/Y")],
        ),
        (kraken, '{"channel":"status","type":"update","data":[{"system":"online"}]}', []),
        (
            kraken,
            '{"channel":"status","type":"update","data":[{"system":"maintenance"}]}',
            [Refused("the exchange says it is in maintenance")],
        ),
        (
            kraken,
            '{"channel":"instrument","type":"snapshot","data":{"pairs":[{"symbol":"A/B"}]}}',
            [Tradable(("A-B",))],
        ),
        (
            kraken,
            (
                '{"channel":"ticker","type":"update","data":[{"symbol":"A/B","last":1.50,'
                '"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
            ),
            [PriceSeen("A-B", Decimal("1.50"), 1696613755440)],
        ),
        (kraken, '{"method":"pong"}', [Ignored("pong")]),
        (binance, '{"result":null,"id":1}', [Subscribed()]),
        (
            binance,
            '{"error":{"code":2,"msg":"Invalid request"},"id":1}',
            [Refused("Invalid request (2)")],
        ),
        (
            binance,
            '{"stream":"btcusdt@aggTrade","data":{"s":"BTCUSDT","p":"2.50","T":7,"a":5}}',
            [PriceSeen("BTC-USDT", Decimal("2.50"), 7, 5)],
        ),
        (
            binance,
            (
                '{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT",'
                '"b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}'
            ),
            [PriceSeen("BNB-USDT", Decimal("25.35855000"))],
        ),
        (binance, '{"e":"serverShutdown","E":1770123456789}', [Ending()]),
        (binance, '{"stream":"btcusdt@kline_1m","data":{}}', [Ignored("kline_1m")]),
        (
            binance,
            (
                '{"id":1,"status":200,"result":[{"symbol":"LTCBTC","price":"4.00000200"},'
                '{"symbol":"XXXQQQ","price":"1"}]}'
            ),
            [PriceSeen("LTC-BTC", Decimal("4.00000200")), Tradable(("LTC-BTC",))],
        ),
    ],
)
def test_each_message_is_the_event_it_stands_for(
    parser: ModuleType, raw: str, events: list[Event]
) -> None:
    assert list(parser.parse(raw)) == events
    assert list(parser.parse(raw.encode())) == events


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("NKNUSDT", "NKN-USDT"),
        ("LRCBTC", "LRC-BTC"),
        ("BTCFDUSD", "BTC-FDUSD"),
        ("USDTTRY", "USDT-TRY"),
        ("TUSDUSDT", "TUSD-USDT"),
        ("1000SATSUSDT", "1000SATS-USDT"),
    ],
)
def test_a_symbol_of_binance_is_split_at_its_quote_asset(theirs: str, ours: str) -> None:
    assert binance.split_symbol(theirs) == ours


@pytest.mark.parametrize("theirs", ["", "USDT", "ABCXYZ", "btcusdt", "BTC/USDT", "币安人生USDT"])
def test_a_symbol_that_cannot_be_split_is_a_bad_message(theirs: str) -> None:
    with pytest.raises(BadMessage):
        binance.split_symbol(theirs)


@pytest.mark.parametrize(
    "price", ["0", "-1", "NaN", "sNaN", "Infinity", "1e19", "1e-19", "1." + "1" * 28]
)
def test_what_cannot_be_a_price_is_refused(price: str) -> None:
    with pytest.raises(BadMessage):
        checked_price(Decimal(price))


@given(st.decimals("0.00000001", "99999999", places=8))
def test_a_price_is_passed_on_exactly(price: Decimal) -> None:
    raw = f'{{"type":"ticker","product_id":"A-B","price":"{price}"}}'
    [seen] = coinbase.parse(raw)
    assert isinstance(seen, PriceSeen)
    assert str(seen.price) == str(price)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=10,
)
fields = st.sampled_from(
    [
        "type",
        "product_id",
        "price",
        "time",
        "channels",
        "channel",
        "data",
        "method",
        "result",
        "stream",
        "id",
        "error",
        "s",
        "p",
        "T",
        "t",
        "b",
        "a",
        "symbol",
        "last",
        "success",
        "e",
    ]
)
kinds = st.sampled_from(
    [
        "ticker",
        "heartbeat",
        "subscriptions",
        "error",
        "status",
        "instrument",
        "x@trade",
        "x@bookTicker",
    ]
)


@pytest.mark.parametrize("parser", PARSERS)
@given(message=st.dictionaries(fields, json | kinds, max_size=8) | json)
def test_any_json_is_read_or_refused_and_nothing_else(parser: ModuleType, message: object) -> None:
    raw = msgspec.json.encode(message)
    try:
        events = parser.parse(raw)
    except BadMessage:
        return
    for event in events:
        if isinstance(event, PriceSeen):
            assert event.price.is_finite()
            assert event.price > 0


@pytest.mark.parametrize("parser", PARSERS)
@given(raw=st.binary(max_size=100) | st.text(max_size=100))
def test_any_bytes_are_read_or_refused_and_nothing_else(
    parser: ModuleType, raw: bytes | str
) -> None:
    try:
        parser.parse(raw)
    except BadMessage:
        return


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("field", ["x", "type", "data", "result", "channels"])
def test_endless_nesting_is_a_bad_message(parser: ModuleType, field: str) -> None:
    with pytest.raises(BadMessage):
        parser.parse(f'{{"{field}":' + "[" * 100_000 + "]" * 100_000 + "}")


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="../shared/captures is absent")
@pytest.mark.parametrize("name", ["coinbase", "binance"])
def test_every_message_of_the_captures_is_understood(name: str) -> None:
    parser = {"coinbase": coinbase, "binance": binance}[name]
    seen = 0
    for line in (CAPTURES / f"{name}.jsonl").read_bytes().splitlines():
        message = msgspec.json.decode(line, type=dict[str, msgspec.Raw])["message"]
        seen += sum(isinstance(event, PriceSeen) for event in parser.parse(bytes(message)))
    assert seen == {"coinbase": 107, "binance": 86}[name]
