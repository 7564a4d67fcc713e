"""The sources that settings name: each serves what it has, and what none has is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticker.market.quote import Quote
from ticker.market.sources import (
    Batch,
    Source,
    SourceConfigError,
    SourceContext,
    UnknownSymbolError,
)
from ticker.settings.loader import load
from ticker.settings.model import Settings
from ticker.settings.source_setup import load_sources, selection_rules, source_context

LISTED = {"coinbase": {"A-USD", "B-USD"}, "kraken": {"B-USD", "C-USD"}, "simulated": set[str]()}


class Listed:
    """A source that knows at once what it has."""

    def __init__(self, name: str, context: SourceContext) -> None:
        self.name = name
        self.symbols = tuple(context.symbols)
        missing = [symbol for symbol in self.symbols if symbol not in LISTED[name]]
        if missing:
            raise UnknownSymbolError(f"{name} has no {', nor '.join(missing)}", missing)

    async def batches(self):  # type: ignore[no-untyped-def] # noqa: ANN201 - never run
        batch: Batch = [Quote("A-USD", 1, 0, 0, "")]  # type: ignore[arg-type]
        yield batch


def settings(source: str, symbols: str | None = None) -> Settings:
    return load(config=None, environ={}, options={"source": source, "symbols": symbols}).settings


def served(source: str, symbols: str | None = None) -> dict[str, tuple[str, ...]]:
    def make(spec: str, context: SourceContext) -> Source:
        return Listed(spec, context)

    sources = load_sources(settings(source, symbols), load=make)
    return {each.name: tuple(each.symbols) for each in sources}


def test_each_source_serves_what_it_has() -> None:
    assert served("coinbase,kraken", "A-USD,B-USD,C-USD") == {
        "coinbase": ("A-USD", "B-USD"),
        "kraken": ("B-USD", "C-USD"),
    }


def test_sources_may_each_name_their_own() -> None:
    assert served("coinbase[A-USD B-USD],kraken[B-USD]") == {
        "coinbase": ("A-USD", "B-USD"),
        "kraken": ("B-USD",),
    }


@pytest.mark.parametrize(
    ("source", "symbols", "problem"),
    [
        (
            "coinbase,kraken",
            "B-USD,D-USD",
            "no source has D-USD: coinbase has no D-USD; kraken has no D-USD",
        ),
        ("coinbase", "A-USD,C-USD", "coinbase has no C-USD"),
        ("coinbase[C-USD],kraken[C-USD]", None, "coinbase has no C-USD"),
        (
            "coinbase[A-USD],kraken[B-USD]",
            "A-USD,C-USD",
            "no source has C-USD: each source names symbols of its own",
        ),
    ],
)
def test_what_cannot_be_served_is_one_clear_line(
    source: str, symbols: str | None, problem: str
) -> None:
    with pytest.raises(SourceConfigError) as caught:
        served(source, symbols)
    assert str(caught.value) == problem


def test_two_sources_of_one_name_are_refused() -> None:
    def same(_spec: str, context: SourceContext) -> Source:
        return Listed("kraken", context)

    with pytest.raises(SourceConfigError, match="kraken is named 2 times"):
        load_sources(settings("coinbase,kraken", "B-USD"), load=same)


def test_a_recording_beside_an_exchange_serves_what_it_has(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    tape.write_text(
        '{"received":1,"message":{"type":"ticker","product_id":"BTC-USD","price":"1"}}\n'
    )
    sources = load_sources(settings(f"coinbase,replay:{tape}", "BTC-USD,ETH-USD"))
    assert [tuple(each.symbols) for each in sources] == [("BTC-USD", "ETH-USD"), ("BTC-USD",)]


def test_a_source_is_given_its_addresses_and_the_rules_those_of_the_settings() -> None:
    loaded = load(
        config=None,
        environ={
            "TICKER_SOURCE": "kraken[A-USD]",
            "TICKER_KRAKEN_URL": "ws://127.0.0.1:1",
            "TICKER_KRAKEN_REST_URL": "http://127.0.0.1:2",
            "TICKER_FEED_PROXY": "http://127.0.0.1:3",
            "TICKER_SELECT": "median",
            "TICKER_FALLBACK_QUOTES": "stable",
            "TICKER_STALE_AFTER": "5s",
        },
    ).settings
    context = source_context(loaded, loaded.source[0])
    assert (tuple(context.symbols), context.url) == (("A-USD",), "ws://127.0.0.1:1")
    assert (context.rest_url, context.proxy) == ("http://127.0.0.1:2", "http://127.0.0.1:3")
    rules = selection_rules(loaded)
    assert (rules.strategy, rules.fallback_quotes) == ("median", "stable")
    assert (rules.age_limit_ms, rules.recover_ms) == (5_000, 15_000)
