"""Setting up the feed of an exchange: what is asked of it, and what is refused."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.exchange_standin import COINBASE, Market
from tests.exchange_standin.running import QUOTES_OF_A_SECOND
from ticker.market.exchanges.binance import BINANCE, MOST_STREAMS
from ticker.market.exchanges.bitstamp import DIALECT as BITSTAMP
from ticker.market.exchanges.coinbase import DIALECT as COINBASE_DIALECT
from ticker.market.exchanges.connect_pauses import ConnectBudget, RestTurns
from ticker.market.exchanges.decoding import BadMessage
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.events import PriceSeen
from ticker.market.exchanges.feed import Feed
from ticker.market.exchanges.feed_memory import FeedMemory
from ticker.market.exchanges.feed_state import FeedState
from ticker.market.exchanges.kraken import DIALECT as KRAKEN
from ticker.market.exchanges.okx import DIALECT as OKX
from ticker.market.sources import Source, SourceConfigError, SourceContext, load_source
from ticker.market.sources.replay import parse_line

EVERY = ("coinbase", "kraken", "binance", "binance_us", "bitstamp", "okx")


def feed(name: str, **context: Any) -> Feed:
    source = load_source(name, SourceContext(**{"symbols": {}} | context))
    assert isinstance(source, Feed)
    return source


@pytest.mark.parametrize("name", EVERY)
def test_a_feed_is_a_source_that_quotes_three_coins_unless_told_otherwise(name: str) -> None:
    source: Source = load_source(name, SourceContext(symbols={}))
    assert source.name == name
    assert source.symbols == ("BTC-USD", "ETH-USD", "SOL-USD")


@pytest.mark.parametrize(
    ("dialect", "request_"),
    [
        (
            COINBASE_DIALECT,
            {
                "type": "subscribe",
                "product_ids": ["BTC-USD", "ETH-EUR"],
                "channels": ["ticker", "heartbeat"],
            },
        ),
        (
            KRAKEN,
            {
                "method": "subscribe",
                "params": {"channel": "ticker", "symbol": ["BTC/USD", "ETH/EUR"]},
                "req_id": 7,
            },
        ),
        (
            BINANCE,
            {
                "method": "SUBSCRIBE",
                "params": ["btcusd@trade", "btcusd@ticker", "etheur@trade", "etheur@ticker"],
                "id": 7,
            },
        ),
        (
            OKX,
            {
                "id": "7",
                "op": "subscribe",
                "args": [
                    {"channel": "tickers", "instId": "BTC-USD"},
                    {"channel": "tickers", "instId": "ETH-EUR"},
                ],
            },
        ),
    ],
    ids=["coinbase", "kraken", "binance", "okx"],
)
def test_symbols_are_asked_for_as_the_exchange_calls_them(
    dialect: Dialect, request_: dict[str, object]
) -> None:
    names = [dialect.theirs(symbol) for symbol in ("BTC-USD", "ETH-EUR")]
    [sent] = dialect.subscribe(names, 7)
    assert json.loads(sent) == request_


def test_bitstamp_is_asked_for_one_channel_after_the_other() -> None:
    assert [json.loads(each) for each in BITSTAMP.subscribe(["btcusd", "etheur"], 1)] == [
        {"event": "bts:subscribe", "data": {"channel": "live_trades_btcusd"}},
        {"event": "bts:subscribe", "data": {"channel": "live_trades_etheur"}},
    ]


def test_rest_is_asked_at_the_same_host_as_the_streams_unless_told_otherwise() -> None:
    assert feed("binance").rest_url == "https://api.binance.com"
    assert feed("binance", url="wss://box:9/stream").rest_url == "https://box:9"
    assert feed("kraken", url="ws://box").rest_url == "http://box"
    moved = feed("kraken", url="ws://box", rest_url="https://api.kraken.com/")
    assert moved.rest_url == "https://api.kraken.com"
    assert feed("okx", rest_url="http://127.0.0.1:8").url == OKX.url


@pytest.mark.parametrize(
    ("given_", "used"),
    [
        ("wss://box:9", "wss://box:9/stream"),
        ("wss://box:9/", "wss://box:9/stream"),
        ("wss://box/ws", "wss://box/ws"),
        ("wss://box/stream?timeUnit=MICROSECOND", "wss://box/stream?timeUnit=MICROSECOND"),
        ("wss://box?timeUnit=MICROSECOND", "wss://box/stream?timeUnit=MICROSECOND"),
    ],
)
def test_both_documented_addresses_of_binance_are_taken_as_they_are(given_: str, used: str) -> None:
    assert feed("binance", url=given_).url == used


def test_what_binance_has_in_usdt_only_is_told() -> None:
    symbols: dict[str, None] = {"BTC-USD": None, "ETH-USDT": None}
    assert feed("binance", symbols=symbols).substitutes == {"BTC-USD": "BTC-USDT"}
    assert not feed("binance_us", symbols=symbols).substitutes
    assert not feed("coinbase", symbols=symbols).substitutes


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("coinbase:x", "coinbase: options look like name=value"),
        ("kraken:depth=5", "kraken: no option is called 'depth'; it has none"),
    ],
)
def test_an_argument_is_refused_in_one_line(spec: str, problem: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        load_source(spec, SourceContext(symbols={}))
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


def test_more_symbols_than_a_connection_to_binance_takes_are_refused() -> None:
    most = MOST_STREAMS // 2  # each has its trades and its ticker
    symbols: dict[str, Decimal | None] = {f"S{i}-USDT": None for i in range(most + 1)}
    with pytest.raises(SourceConfigError, match="binance: at most 512 symbols, not 513"):
        load_source("binance", SourceContext(symbols=symbols))


def test_a_second_of_a_flood_costs_far_less_than_a_second_and_leaves_what_its_bar_needs() -> None:
    async def hear() -> None:
        context = SourceContext(symbols={}, report=lambda kind, _: pytest.fail(kind))
        memory = FeedMemory(ConnectBudget(1, 1), RestTurns(1))
        state = FeedState(COINBASE_DIALECT, {"BTC-USD": ["BTC-USD"]}, memory, context)
        flood = [COINBASE.price(Market("BTC-USD", f"42000.{i % 100:02}", i)) for i in range(20_000)]
        started = time.process_time()
        for message in flood:
            for event in COINBASE_DIALECT.parse(message):
                assert isinstance(event, PriceSeen)
                state.price(event)
        assert time.process_time() - started < 0.8
        found = [str(quote.price) for quote in await state.news()]
        assert len(found) <= QUOTES_OF_A_SECOND
        assert (found[0], found[-1]) == ("42000.00", "42000.99")

    trio.run(hear)


@given(st.binary(max_size=200))
def test_any_line_of_a_recording_is_read_or_refused_and_nothing_else(line: bytes) -> None:
    try:
        parse_line(line)
    except BadMessage:
        return
