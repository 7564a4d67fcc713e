"""What is malformed costs itself and nothing that came with it, however odd its numbers are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from tests.exchange_standin import BINANCE, BITSTAMP, COINBASE, KRAKEN, OKX, Manners, Market
from ticker.market.exchanges.coinbase import DIALECT as COINBASE_DIALECT
from ticker.market.exchanges.decoding import BadMessage, Unavailable
from ticker.market.exchanges.dialect import Dialect, Listing
from ticker.market.exchanges.events import (
    Alive,
    DetailsSeen,
    PriceSeen,
    checked_details,
    volume_or_none,
)
from ticker.market.exchanges.kraken import DIALECT as KRAKEN_DIALECT
from ticker.market.exchanges.okx import DIALECT as OKX_DIALECT
from ticker.market.exchanges.recorded import dialects

NOW = 1_790_000_000_000
ODD: tuple[object, ...] = (
    *("NaN", "sNaN", "Infinity", "-Infinity", "1e9999999", "-1e9999999", "1e-9999999", "0", "-1"),
    *("", "x", "-0", "1e400", "9" * 400, "٣", "\u202e1", None, True, [], {}, 10**30, -5),
)
EXCHANGES = {
    manners.name: (manners, dialects()[manners.name])
    for manners in (COINBASE, KRAKEN, BINANCE, BITSTAMP, OKX)
}
each_exchange = pytest.mark.parametrize("name", list(EXCHANGES))


def markets() -> dict[str, Market]:
    found = [Market(f"{base}-USDT", "100.5") for base in ("BTC", "ETH", "SOL")]
    for market in found:
        market.candles_from = NOW - 3_600_000
    return {market.symbol: market for market in found}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    yield path


def replaced(text: str | bytes, path: tuple[Any, ...], odd: object) -> bytes:
    value = json.loads(text)
    if not path:
        return json.dumps(odd).encode()
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    return json.dumps(value).encode()


def variants(text: str | bytes) -> Iterator[bytes]:
    """Give a message with each part of it replaced by each odd thing."""
    for path in leaves(json.loads(text)):
        for odd in ODD:
            yield replaced(text, path, odd)


def asked(manners: Manners, path: str) -> bytes:
    manners.clock = lambda: NOW
    path, _, query = path.partition("?")
    return json.dumps(manners.rest(markets(), path, dict(parse_qsl(query)))).encode()


def listings(dialect: Dialect, manners: Manners) -> list[Listing]:
    ours = set(markets())
    body = asked(manners, dialect.rest.listings(None))
    return [each for each in dialect.rest.read_listings(body) if each.symbol in ours]


@each_exchange
def test_no_odd_number_or_shape_in_a_message_is_more_than_a_bad_message(name: str) -> None:
    manners, dialect = EXCHANGES[name]
    market = markets()["BTC-USDT"]
    texts = [manners.price(market), *manners.heartbeat(markets(), ["BTC-USDT"])]
    texts += manners.greeting("online")
    for text in texts:
        for raw in variants(text):
            try:
                events = dialect.parse(raw)
            except BadMessage:
                continue
            for event in events:
                if isinstance(event, PriceSeen):
                    assert event.price.is_finite()
                    assert event.price > 0
                if isinstance(event, PriceSeen | DetailsSeen) and event.details is not None:
                    figures = (event.details.bid, event.details.ask, event.details.high_24h)
                    assert all(each is None or each > 0 for each in figures)


@each_exchange
def test_no_odd_number_or_shape_in_an_answer_of_rest_is_more_than_a_bad_message(name: str) -> None:
    manners, dialect = EXCHANGES[name]
    rest, known = dialect.rest, listings(dialect, manners)
    reads: list[tuple[bytes, Callable[[bytes], object]]] = [
        (asked(manners, rest.listings(None)), rest.read_listings)
    ]
    for path, group in rest.prices(known):
        reads.append(
            (asked(manners, path), lambda body, group=group: rest.read_prices(body, group))  # type: ignore[misc]
        )
    if rest.candles is not None:
        path = rest.candles(known[0], "1m", NOW - 300_000, NOW)
        reads.append((asked(manners, path), rest.read_candles))
    for body, read in reads:
        assert read(body)
        for raw in variants(body):
            try:
                read(raw)
            except BadMessage:
                continue


@each_exchange
def test_one_malformed_entry_costs_no_other(name: str) -> None:
    manners, dialect = EXCHANGES[name]
    rest, known = dialect.rest, listings(dialect, manners)
    assert len(known) == 3
    body = asked(manners, rest.listings(None))
    for path in leaves(json.loads(body)):
        if path[-1:] in {("symbol",), ("wsname",), ("instId",), ("id",), ("market_symbol",)}:
            found = rest.read_listings(replaced(body, path, ["odd"]))
            assert len([each for each in found if each.symbol in markets()]) >= 2
    for path_asked, group in rest.prices(known):
        if len(group) == 1:
            continue
        prices = asked(manners, path_asked)
        for path in leaves(json.loads(prices)):
            if path[-1:] in {("price",), ("last",)} or path[-2:] == ("c", 0):
                for odd in ("", "0", None, "NaN"):
                    read = rest.read_prices(replaced(prices, path, odd), group)
                    assert len(read) == 2
                    assert {each.price for each in read.values()} == {Decimal("100.5")}
    if rest.candles is not None:
        candles = asked(manners, rest.candles(known[0], "1m", NOW - 900_000, NOW))
        whole = rest.read_candles(candles)
        row = next(path for path in leaves(json.loads(candles)) if path[-1:] == (2,))
        assert len(rest.read_candles(replaced(candles, row, "NaN"))) == len(whole) - 1


def test_a_malformed_ticker_of_several_costs_no_other() -> None:
    text = (
        '{"channel":"ticker","data":[{"symbol":"BTC/USD","last":1.5},{"symbol":"ETH/USD","last":0},'
        '{"symbol":"SOL/USD","last":null},{"symbol":"XRP/USD","last":2.5}]}'
    )
    assert [event.symbol for event in KRAKEN_DIALECT.parse(text)] == ["BTC/USD", "XRP/USD"]  # type: ignore[union-attr]
    text = (
        '{"arg":{"channel":"tickers","instId":"A-B"},"data":[{"instId":"A-B","last":""},'
        '{"instId":"C-D","last":"2"}]}'
    )
    assert [event.symbol for event in OKX_DIALECT.parse(text)] == ["C-D"]  # type: ignore[union-attr]


def test_a_heartbeat_without_a_number_proves_no_price() -> None:
    with pytest.raises(BadMessage, match="without a number"):
        COINBASE_DIALECT.parse('{"type":"heartbeat","product_id":"BTC-USD"}')


def test_a_malformed_detail_is_left_out_and_not_what_was_told_before() -> None:
    [seen] = COINBASE_DIALECT.parse(
        '{"type":"ticker","product_id":"BTC-USD","price":"5","best_bid":"x","best_ask":"6"}'
    )
    assert isinstance(seen, PriceSeen)
    assert seen.details == checked_details(ask=Decimal(6))


DETAILS = {
    "coinbase": (
        '{"type":"ticker","product_id":"BTC-USD","price":"100.5","trade_id":7,%s}',
        ("best_bid", "best_ask", "open_24h", "high_24h", "low_24h", "volume_24h"),
    ),
    "kraken": (
        '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","last":100.5,%s}]}',
        ("bid", "ask", "high", "low", "volume", "change", "change_pct"),
    ),
    "binance": ('{"e":"24hrTicker","s":"BTCUSDT","c":"100.5","L":7,%s}', tuple("baohlvP")),
    "okx": (
        '{"arg":{"channel":"tickers","instId":"A-B"},"data":[{"instId":"A-B","last":"100.5",%s}]}',
        ("bidPx", "askPx", "open24h", "high24h", "low24h", "vol24h"),
    ),
}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
@pytest.mark.parametrize("name", list(DETAILS))
def test_a_malformed_detail_costs_neither_the_price_nor_another_detail(
    name: str, odd: object
) -> None:
    message, fields = DETAILS[name]
    # Whatever one of them is replaced by, a bid stays below an ask and a low below a high.
    upper = {"best_ask", "ask", "a", "askPx", "high_24h", "high", "h", "high24h"}
    good = {field: "9" if field in upper else "1" for field in fields}
    if name != "kraken":
        good = {field: f'"{value}"' for field, value in good.items()}

    def details_of(values: dict[str, str]) -> dict[str, Decimal]:
        parts = ",".join(f'"{field}":{value}' for field, value in values.items())
        events = EXCHANGES[name][1].parse(message % parts)
        if name == "binance":
            assert Alive("BTCUSDT", 7, Decimal("100.5")) in events
        else:
            assert isinstance(events[0], PriceSeen)
            assert events[0].price == Decimal("100.5")
        seen = events[0]
        assert isinstance(seen, PriceSeen | DetailsSeen)
        assert seen.details is not None
        told = msgspec.to_builtins(seen.details, builtin_types=(Decimal,))
        assert all(len(f"{value:f}") < 60 for value in told.values())
        return dict(told)

    whole = details_of(good)
    assert len(whole) == len(fields)
    for field in fields:
        told = details_of({**good, field: json.dumps(odd)})
        left = {key for key, value in whole.items() if told.get(key) == value}
        assert len(left) >= len(fields) - 1, field


IMPOSSIBLE: tuple[object, ...] = (
    "NaN",
    "sNaN",
    "Infinity",
    "-1",
    "1E-999999",
    "1E+999999",
    "",
    "x",
    5.5,
    None,
    [],
)


@pytest.mark.parametrize("odd", IMPOSSIBLE, ids=lambda odd: repr(odd)[:12])
@pytest.mark.parametrize(
    ("dialect", "message"),
    [
        (
            dialects()["binance"],
            '{"e":"trade","s":"BTCUSDT","p":"100.5","T":1790000000000,"t":7,"q":%s}',
        ),
        (
            dialects()["bitstamp"],
            """{"event":"trade","channel":"live_trades_btcusd","data":{"id":7,"price_str":"100.5",
            "microtimestamp":"1790000000000000","amount_str":%s}}""",
        ),
        (
            OKX_DIALECT,
            """{"arg":{"channel":"tickers","instId":"A-B"},"data":[{"instId":"A-B","last":"100.5",
            "ts":"1790000000000","lastSz":%s}]}""",
        ),
    ],
    ids=["binance", "bitstamp", "okx"],
)
def test_what_cannot_have_been_traded_is_not_known_and_costs_no_price(
    dialect: Dialect, message: str, odd: object
) -> None:
    [seen] = dialect.parse(message % json.dumps(odd))
    assert isinstance(seen, PriceSeen)
    assert (seen.price, seen.time_ms) == (Decimal("100.5"), NOW)
    assert seen.size in {None, Decimal("5.5")}
    [seen] = dialect.parse(message % '"0E-999999"')
    assert isinstance(seen, PriceSeen)
    assert seen.size is None or len(f"{seen.size:f}") < 60


@pytest.mark.parametrize(
    ("dialect", "message"),
    [
        (COINBASE_DIALECT, '{"type":"ticker","product_id":"A-B","price":"5","time":%s}'),
        (KRAKEN_DIALECT, '{"channel":"ticker","data":[{"symbol":"A/B","last":5,"timestamp":%s}]}'),
        (dialects()["binance"], '{"e":"trade","s":"AB","p":"5","t":7,"T":%s}'),
    ],
    ids=["coinbase", "kraken", "binance"],
)
def test_a_malformed_time_is_not_known(dialect: Dialect, message: str) -> None:
    for odd in ('""', '"yesterday"', "[]", "1.5e999"):
        [seen] = dialect.parse(message % odd)
        assert isinstance(seen, PriceSeen)
        assert (seen.price, seen.time_ms) == (Decimal(5), None)


def test_zero_is_written_without_a_sign() -> None:
    assert [str(volume_or_none(Decimal(text))) for text in ("-0", "-0.00", "0.00")] == [
        "0",
        "0.00",
        "0.00",
    ]


def test_a_malformed_figure_of_one_symbol_costs_no_other_its_own() -> None:
    listings = [Listing(f"{base}usd", f"{base}-USD", keys=(f"{base}/USD",)) for base in ("A", "B")]
    body = (
        b'[{"pair":"A/USD","last":"5","high":"6","low":"x","volume":""},'
        b'{"pair":"B/USD","last":"7","high":"9","low":"6","volume":"3"}]'
    )
    prices = dialects()["bitstamp"].rest.read_prices(body, listings)
    assert prices["Ausd"].details == checked_details(high_24h=Decimal(6))
    assert prices["Busd"].details == checked_details(
        high_24h=Decimal(9), low_24h=Decimal(6), volume_24h=Decimal(3)
    )


def test_a_bid_above_the_ask_and_a_low_above_the_high_are_not_told() -> None:
    two, three = Decimal(2), Decimal(3)
    told = checked_details(bid=three, ask=two, high_24h=two, low_24h=three, open_24h=two)
    assert told == checked_details(open_24h=two)
    assert checked_details(bid=two, ask=two).bid == two


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (KRAKEN_DIALECT, b'{"error":["EAPI:Rate limit exceeded"]}'),
        (KRAKEN_DIALECT, b'{"error":["EGeneral:Temporary lockout"]}'),
        (KRAKEN_DIALECT, b'{"error":["EService:Unavailable"]}'),
        (KRAKEN_DIALECT, b"<!DOCTYPE html><html>Just a moment...</html>"),
        (COINBASE_DIALECT, b"<html>maintenance</html>"),
        (COINBASE_DIALECT, b""),
    ],
)
def test_too_many_requests_and_pages_of_html_are_no_answer(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(Unavailable):
        dialect.rest.read_candles(body)


def test_candles_of_another_pair_beside_are_no_candles() -> None:
    with pytest.raises(BadMessage, match="of 2 pairs"):
        KRAKEN_DIALECT.rest.read_candles(b'{"error":[],"result":{"A":[],"B":[],"last":5}}')
