"""Setting up the feed of an exchange: what is asked of it, and what is refused."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.exchange_standin import COINBASE
from ticker.limits import BINANCE_STREAMS
from ticker.market.exchanges import binance as binance_source
from ticker.market.exchanges import coinbase as coinbase_source
from ticker.market.exchanges import kraken as kraken_source
from ticker.market.exchanges.dialect import Conversation
from ticker.market.exchanges.events import BadMessage
from ticker.market.exchanges.price_filter import PriceFilter
from ticker.market.sources import Source, SourceConfigError, SourceContext, load_source
from ticker.market.sources.replay import parse_line


@pytest.mark.parametrize("name", ["coinbase", "kraken", "binance"])
def test_a_feed_is_a_source_that_quotes_three_coins_unless_told_otherwise(name: str) -> None:
    source: Source = load_source(name, SourceContext(symbols={}))
    assert source.name == name
    assert source.symbols == ("BTC-USD", "ETH-USD", "SOL-USD")


@pytest.mark.parametrize(
    ("module", "request_"),
    [
        (
            coinbase_source,
            {
                "type": "subscribe",
                "product_ids": ["BTC-USD", "ETH-EUR"],
                "channels": ["ticker", "heartbeat"],
            },
        ),
        (
            kraken_source,
            {
                "method": "subscribe",
                "params": {"channel": "ticker", "symbol": ["BTC/USD", "ETH/EUR"]},
            },
        ),
        (
            binance_source,
            {"method": "SUBSCRIBE", "params": ["btcusd@trade", "etheur@trade"], "id": 1},
        ),
    ],
)
def test_symbols_are_asked_for_as_the_exchange_calls_them(
    module: ModuleType, request_: dict[str, object]
) -> None:
    [sent] = module.DIALECT.subscriptions(["BTC-USD", "ETH-EUR"])
    assert json.loads(sent) == request_


def test_the_catalogue_of_binance_is_at_another_address() -> None:
    url = binance_source.DIALECT.catalogue_url
    assert url(binance_source.DIALECT.url) == "wss://ws-api.binance.com:443/ws-api/v3"
    assert url("ws://proxy:8080/stream?x=1") == "ws://proxy:8080/ws-api/v3"


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
    symbols: dict[str, Decimal | None] = {f"S{i}-USDT": None for i in range(BINANCE_STREAMS + 1)}
    with pytest.raises(SourceConfigError, match="binance: at most 1024 symbols, not 1025"):
        load_source("binance", SourceContext(symbols=symbols))


def test_a_second_of_a_flood_costs_far_less_than_a_second_and_leaves_one_quote() -> None:
    sieve = PriceFilter("coinbase", {"BTC-USD": ["BTC-USD"]}, lambda _kind, _detail: None)
    talk = Conversation(
        coinbase_source.DIALECT, ["BTC-USD"], sieve, lambda kind, _: pytest.fail(kind)
    )
    flood = [COINBASE.price("BTC-USD", f"42000.{i % 100:02}", i) for i in range(20_000)]
    started = time.process_time()
    for message in flood:
        talk.hear(message, 1_790_000_000_000)
    assert time.process_time() - started < 0.8
    assert [str(quote.price) for quote in sieve.batch()] == ["42000.99"]


@given(st.binary(max_size=200))
def test_any_line_of_a_recording_is_read_or_refused_and_nothing_else(line: bytes) -> None:
    try:
        parse_line(line)
    except BadMessage:
        return
