"""The messages of each exchange, byte by byte: its documentation's examples and nonsense."""

from __future__ import annotations

import json as standard_json
from decimal import Decimal
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.exchange_standin import BINANCE, BITSTAMP, COINBASE, KRAKEN, OKX, Manners
from tests.support.captures import CAPTURES, with_captures
from tests.support.details import details
from ticker.market.exchanges import binance, bitstamp, coinbase, kraken, okx
from ticker.market.exchanges.decoding import BadMessage
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.events import (
    Alive,
    DetailsSeen,
    Ending,
    Event,
    Halted,
    Holding,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
    checked_price,
)
from ticker.market.exchanges.recorded import dialects, recorded_prices
from ticker.market.quote import Details

PARSERS = [coinbase, kraken, binance, bitstamp, okx]


def test_the_documentation_of_coinbase_is_understood() -> None:
    assert coinbase.parse(COINBASE.example) == (
        PriceSeen(
            "ETH-USD",
            Decimal("1285.22"),
            1666222102062,
            370843401,
            details=details("1285.04 1285.27 1310.79 1313.8 1280.52 245532.79269678"),
        ),
    )


def test_the_documentation_of_kraken_is_understood() -> None:
    told = details("0.10025 0.10036 0.10052 0.10285 0.09979 997038.98383185 -0.17")
    assert list(kraken.parse(KRAKEN.example)) == [
        PriceSeen("ALGO/USD", Decimal("0.10035"), details=told)
    ]


def test_the_documentation_of_binance_is_understood() -> None:
    assert binance.parse(BINANCE.example) == (
        PriceSeen("BNBBTC", Decimal("0.001"), 1672515782136, 12345, Decimal(100)),
    )


def test_the_ticker_of_binance_tells_of_the_day_and_names_the_last_trade() -> None:
    # The documentation's example of `<symbol>@ticker`.
    raw = """{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00",
    "w":"0.0018","x":"0.0009","c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100",
    "o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","O":0,"C":86400000,"F":0,
    "L":18150,"n":18151}"""
    told = details("0.0024 0.0026 0.0010 0.0025 0.0010 10000 250.00")
    seen = [DetailsSeen("BNBBTC", told), Alive("BNBBTC", 18150, Decimal("0.0025"))]
    assert list(binance.parse(raw)) == seen
    assert list(binance.parse(f'{{"stream":"bnbbtc@ticker","data":{raw}}}')) == seen
    without = raw.replace('"L":18150', '"F":18150')
    assert list(binance.parse(without)) == seen[:1]  # it would prove any price


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
        (coinbase, '{"type":"match","product_id":"A-B","price":"1"}', [Ignored("match")]),
        (kraken, '{"channel":"heartbeat"}', [Alive()]),
        (
            kraken,
            (
                '{"method":"subscribe","result":{"channel":"ticker","snapshot":true,'
                '"symbol":"ALGO/USD"},"success":true}'
            ),
            [Subscribed(("ALGO/USD",))],
        ),
        (
            kraken,
            (
                '{"error":"Currency pair not supported X/Y","method":"subscribe","success":false,'
                '"symbol":"X/Y"}'
            ),
            [Refused("Currency pair not supported X/Y", ("X/Y",))],
        ),
        (
            kraken,
            '{"channel":"status","type":"update","data":[{"system":"online"}]}',
            [Halted(None)],
        ),
        (
            kraken,
            '{"channel":"status","type":"update","data":[{"system":"maintenance"}]}',
            [Halted("maintenance")],
        ),
        (
            kraken,
            (
                '{"channel":"ticker","type":"update","data":[{"symbol":"A/B","last":1.50,'
                '"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
            ),
            [PriceSeen("A/B", Decimal("1.50"), 1696613755440, details=Details())],
        ),
        (kraken, '{"method":"pong"}', [Ignored("pong")]),
        (binance, '{"result":null,"id":1}', [Subscribed(None, 1)]),
        (
            binance,
            '{"error":{"code":2,"msg":"Invalid request"},"id":1}',
            [Refused("Invalid request (2)", (), 1)],
        ),
        (
            binance,
            '{"stream":"btcusdt@aggTrade","data":{"s":"BTCUSDT","p":"2.50","T":7,"a":5}}',
            [PriceSeen("BTCUSDT", Decimal("2.50"), 7, 5)],
        ),
        (
            binance,
            (
                '{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT",'
                '"b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}'
            ),
            [PriceSeen("BNBUSDT", Decimal("25.35855000"))],
        ),
        (binance, '{"e":"serverShutdown","E":1770123456789}', [Ending()]),
        (binance, '{"stream":"btcusdt@kline_1m","data":{}}', [Ignored("kline_1m")]),
        (binance, '{"id":7,"result":["btcusdt@trade"]}', [Holding(("BTCUSDT",), 7)]),
        (
            binance,
            '{"e":"trade","s":"BTCUSDT","t":5,"p":"2.50","T":1672515782136000}',
            [PriceSeen("BTCUSDT", Decimal("2.50"), 1672515782136, 5)],
        ),
        (
            binance,
            '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"3","a":"25.36520000","A":"4"}',
            [PriceSeen("BNBUSDT", Decimal("25.35855000"))],
        ),
        (binance, '{"code":3,"msg":"Invalid JSON"}', [Refused("Invalid JSON (3)")]),
        (
            bitstamp,
            '{"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}',
            [Subscribed(("btcusd",))],
        ),
        (
            bitstamp,
            '{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription"}}',
            [Refused("Bad subscription")],
        ),
        (bitstamp, '{"event":"bts:heartbeat","channel":"","data":{}}', [Alive()]),
        (bitstamp, '{"event":"bts:request_reconnect","channel":"","data":""}', [Ending()]),
        (
            okx,
            '{"id":"3","event":"subscribe","arg":{"channel":"tickers","instId":"A-B"},"connId":"x"}',
            [Subscribed(("A-B",), 3)],
        ),
        (
            okx,
            '{"id":"3","event":"error","code":"60018","msg":"channel:tickers,instId:A-B no"}',
            [Refused("channel:tickers,instId:A-B no (60018)", ("A-B",), 3)],
        ),
        (okx, "pong", [Alive()]),
        (okx, '{"event":"notice","code":"64008","msg":"soon"}', [Ending()]),
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
        ("ADAEUR", "ADA-EUR"),
        ("BNBUSD", "BNB-USD"),
    ],
)
def test_a_recorded_symbol_of_binance_is_split_where_it_usually_is(theirs: str, ours: str) -> None:
    assert binance.BINANCE.guess(theirs) == ours


@with_captures
@pytest.mark.parametrize(
    ("file", "dialect"),
    [
        ("BINANCE", binance.BINANCE),
        ("BINANCE_TR", binance.BINANCE),
        ("BINANCE_US", binance.BINANCE_US),
    ],
)
def test_every_symbol_of_binance_is_its_own_base_and_quote(file: str, dialect: Dialect) -> None:
    rows = standard_json.loads((CAPTURES / "real" / f"symbols_{file}.0.json").read_bytes())
    fields = ("symbol", "baseAsset", "quoteAsset", "status")
    info = {"symbols": [dict(zip(fields, row, strict=True)) for row in rows]}
    listings = dialect.rest.read_listings(standard_json.dumps(info).encode())
    for listing, (symbol, base, quote, status) in zip(listings, rows, strict=True):
        assert (listing.name, listing.symbol) == (symbol, f"{base}-{quote}")
        assert listing.trading == (status == "TRADING")
        assert dialect.theirs(f"{base}-{quote}") == symbol
        assert dialect.guess(symbol) == f"{base}-{quote}"
    # Each name means one symbol only, so that what was asked for can be told from what comes.
    assert len({dialect.theirs(listing.symbol) for listing in listings}) == len(rows)


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
        "event",
        "arg",
        "msg",
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
        "trade",
        "tickers",
        "bts:error",
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


@with_captures
@pytest.mark.parametrize("name", ["coinbase", "binance"])
def test_every_message_of_the_captures_is_understood(name: str) -> None:
    seen = 0
    for line in (CAPTURES / f"{name}.jsonl").read_bytes().splitlines():
        message = msgspec.json.decode(line, type=dict[str, msgspec.Raw])["message"]
        seen += len(recorded_prices(bytes(message)))
    assert seen == {"coinbase": 107, "binance": 86}[name]


def sent_prices(message: Any) -> list[tuple[str, Decimal]]:
    """Return what a message of any exchange says of prices, read in the plainest way."""
    if isinstance(message, list):
        pair = message[3].replace("XBT", "BTC").replace("XDG", "DOGE")
        return [(pair.replace("/", "-"), Decimal(message[1]["c"][0]))]
    data = message.get("data", message)
    if message.get("channel") == "ticker" and "events" not in message:
        return [(each["symbol"].replace("/", "-"), each["last"]) for each in data]
    if isinstance(data, list):
        return []
    if {"b", "a", "s"} <= data.keys() and "e" not in data:
        return [(data["s"], (Decimal(data["b"]) + Decimal(data["a"])) / 2)]
    priced = [ticker for event in message.get("events", []) for ticker in event["tickers"]]
    if message.get("type") == "ticker" or data.get("e") in {"trade", "aggTrade"}:
        priced = [data]
    return [
        (each.get("product_id", each.get("s")), Decimal(each.get("price", each.get("p"))))
        for each in priced
    ]


@with_captures
def test_every_real_message_comes_out_digit_for_digit() -> None:
    count = 0
    for file in sorted((CAPTURES / "real").glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            raw = standard_json.loads(line)["raw"]
            sent = sent_prices(standard_json.loads(raw, parse_float=Decimal, parse_int=Decimal))
            got = [(each.symbol, str(each.price)) for each in recorded_prices(raw.encode())]
            plain = [(symbol.replace("-", ""), str(price)) for symbol, price in sent]
            assert [(symbol.replace("-", ""), price) for symbol, price in got] == plain, raw
            count += len(got)
    assert count > 400


def test_every_exchange_recognises_its_own_messages_and_no_other_does() -> None:
    for manners in (COINBASE, KRAKEN, BINANCE, BITSTAMP, OKX):
        fields = msgspec.json.decode(manners.example, type=dict[str, msgspec.Raw])
        who = {name for name, dialect in dialects().items() if dialect.recognises(fields)}
        assert who - {"binance_us"} == {manners.name}
        assert recorded_prices(manners.example.encode())


def test_the_documentation_of_bitstamp_is_understood() -> None:
    assert list(bitstamp.parse(BITSTAMP.example)) == [
        PriceSeen("btcusd", Decimal(42740), 1707130110418, 320158923, Decimal("0.00500000"))
    ]


def test_the_documentation_of_okx_is_understood() -> None:
    assert list(okx.parse(OKX.example)) == [
        PriceSeen(
            "LTC-USDT",
            Decimal("9999.99"),
            1597026383085,
            size=Decimal("0.1"),
            details=details("8888.88 9999.99 9000 10000 8888.88 2222"),
        )
    ]


@pytest.mark.parametrize("manners", [COINBASE, KRAKEN, OKX])
@pytest.mark.parametrize("wrong", ['""', "null", '"x"', "{}", "-1", "0", '"1e30"'])
def test_a_price_is_not_lost_for_a_detail_that_makes_no_sense(manners: Manners, wrong: str) -> None:
    parse = {COINBASE: coinbase, KRAKEN: kraken, OKX: okx}[manners].parse
    quoted = manners is OKX and wrong in {"{}", "-1", "0"}
    raw = standard_json.loads(manners.example)
    fields = raw["data"][0] if "data" in raw else raw
    name = next(name for name in ("best_bid", "bid", "bidPx") if name in fields)
    whole = standard_json.dumps(raw)
    before = f'"{name}": {standard_json.dumps(fields[name])}'
    assert before in whole
    told = f'"{wrong}"' if quoted else wrong
    [seen] = parse(whole.replace(before, f'"{name}": {told}'))
    assert isinstance(seen, PriceSeen)
    assert seen.details is None or seen.details.bid is None
