"""Several sources in virtual time: who serves what, what is told of outages, and since when."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import attrs
import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.made_up import SYMBOLS, ScriptedSource
from ticker.market.book import Book
from ticker.market.condition import SEVERAL, SourceState
from ticker.market.ingest import Ingest
from ticker.market.quote import Quote
from ticker.market.source_selection import NEVER_PRICED, SILENT, SelectionRules
from ticker.supervision import RestartPolicy

WALL_MS = 1_790_000_000_000
RULES = SelectionRules(age_limit_ms=10_000, grace_ms=2_000, recover_ms=30_000)


@attrs.define
class Market:
    """An ingest with its book, and what it told."""

    ingest: Ingest
    book: Book
    sources: Sequence[ScriptedSource]
    told: int = 0

    async def bring(self, place: int, price: str, *symbols: str, age: float = 0) -> None:
        """Let a source bring a price of some symbols, or of all that it has."""
        now, source = wall_ms(), self.sources[place]
        source.put.send_nowait(
            [
                Quote(each, Decimal(price), now, now - round(age * 1000), source.name)
                for each in symbols or source.symbols
            ]
        )
        await wait_all_tasks_blocked()

    async def crash(self, place: int) -> None:
        self.sources[place].put.send_nowait(RuntimeError("crash"))
        await wait_all_tasks_blocked()

    async def affirm(self, seconds: float, *prices: str) -> None:
        """Let time pass, in which each source with a price brings it again every half second."""
        for _ in range(round(seconds * 2)):
            await trio.sleep(0.5)
            for place, price in enumerate(prices):
                if price:
                    await self.bring(place, price)
            self.ingest.refresh()

    def shown(self, symbol: str = "BTC-USD") -> tuple[str, str] | None:
        quote = self.book.get(symbol)
        return None if quote is None else (quote.source, str(quote.price))

    def state(self, place: int) -> SourceState:
        self.ingest.refresh()
        return self.ingest.states[place]


def wall_ms() -> int:
    return WALL_MS + round(trio.current_time() * 1000)


def source(name: str, *symbols: str) -> ScriptedSource:
    return ScriptedSource(name, symbols or SYMBOLS, begins=False)


@asynccontextmanager
async def market(*sources: ScriptedSource, **rules: Any) -> AsyncIterator[Market]:
    book = Book(tuple(dict.fromkeys(s for each in sources for s in each.symbols)))

    def changed() -> None:
        found.told += 1

    ingest = Ingest(
        sources,
        book,
        RestartPolicy(jitter=0),
        rules=attrs.evolve(RULES, **rules),
        wall_ms=wall_ms,
        changed=changed,
    )
    found = Market(ingest, book, sources)
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            for each in ingest.sources:
                nursery.start_soon(ingest.supervise, each)
            await wait_all_tasks_blocked()
            yield found
            nursery.cancel_scope.cancel()


async def test_a_source_is_starting_until_its_first_fresh_price(autojump_clock: MockClock) -> None:
    async with market(source("coinbase")) as found:
        began = wall_ms()
        assert found.state(0) == SourceState("coinbase", "stale", began, "starting")
        await found.bring(0, "1", age=11)  # of a catalogue: known to have been right earlier
        assert found.state(0).reason == "starting"
        assert found.shown() is None
        await trio.sleep(3)
        await found.bring(0, "2")
        assert found.state(0) == SourceState("coinbase", "live", began + 3000)
        assert found.told == 1


async def test_since_is_when_prices_stopped_and_no_retry_moves_it(
    autojump_clock: MockClock,
) -> None:
    async with market(source("coinbase")) as found:
        await found.bring(0, "1")
        stopped = wall_ms()
        await trio.sleep(4)
        await found.crash(0)
        expected = SourceState("coinbase", "stale", stopped, "crashed")
        assert found.state(0) == expected
        told = found.told
        for _ in range(5):
            await trio.sleep(100)
            await found.crash(0)
            assert found.state(0) == expected
        assert found.sources[0].lives >= 5
        assert found.told == told  # none hears the same again
        await trio.sleep(100)
        await found.bring(0, "1")
        assert found.state(0).state == "live"


async def test_an_outage_before_the_first_price_lasts_since_the_start(
    autojump_clock: MockClock,
) -> None:
    async with market(source("coinbase")) as found:
        began = wall_ms()
        for _ in range(3):
            await found.crash(0)
            await trio.sleep(100)
        assert found.state(0) == SourceState("coinbase", "stale", began, "crashed")


async def test_a_blip_of_one_second_moves_no_price_to_another_source(
    autojump_clock: MockClock,
) -> None:
    async with market(source("coinbase"), source("kraken")) as found:
        await found.affirm(20, "100", "101")
        await found.crash(0)
        assert found.state(0).reason == "crashed"
        await found.affirm(1, "", "101")
        assert found.shown() == ("coinbase", "100")
        assert found.ingest.fresh()
        await found.bring(0, "100.5")
        await found.affirm(5, "100.5", "101")
        assert found.shown() == ("coinbase", "100.5")
        assert found.ingest.statistics().selection.changes == 0


async def test_a_longer_outage_moves_the_price_once_and_back_once(
    autojump_clock: MockClock,
) -> None:
    async with market(source("coinbase"), source("kraken")) as found:
        await found.affirm(20, "100", "101")
        await found.crash(0)
        await found.affirm(3, "", "101")
        assert found.shown() == ("kraken", "101")
        await found.affirm(29, "100", "101")
        assert found.shown() == ("kraken", "101")
        await found.affirm(3, "100", "101")
        assert found.shown() == ("coinbase", "100")
        assert found.ingest.statistics().selection.changes == 2 * len(SYMBOLS)


async def test_the_price_moves_even_where_the_other_source_has_nothing_new(
    autojump_clock: MockClock,
) -> None:
    async with market(source("coinbase"), source("kraken")) as found:
        await found.bring(0, "100")
        await found.bring(1, "101")
        await found.crash(0)
        await trio.sleep(2.5)
        found.ingest.refresh()
        assert found.shown() == ("kraken", "101")


async def test_each_source_serves_what_it_has(autojump_clock: MockClock) -> None:
    async with market(source("coinbase"), source("kraken")) as found:
        found.ingest.report_symbol("coinbase", "ETH-USD", "not listed")
        await found.bring(0, "100", "BTC-USD")
        await found.bring(1, "7", "ETH-USD")
        await found.affirm(0.5)
        assert (found.shown(), found.shown("ETH-USD")) == (("coinbase", "100"), ("kraken", "7"))
        assert [state.state for state in found.ingest.states] == ["live", "live"]
        assert found.ingest.stale() == {}


async def test_a_symbol_that_no_source_has_is_an_error_and_stale_with_each_reason(
    autojump_clock: MockClock,
) -> None:
    async with market(source("coinbase"), source("kraken")) as found:
        with structlog.testing.capture_logs() as logs:
            found.ingest.report_symbol("coinbase", "ETH-USD", "not listed")
            found.ingest.report_symbol("kraken", "ETH-USD", "unknown asset pair")
            await found.affirm(15, "", "")
            for place in (0, 1):
                await found.bring(place, "100", "BTC-USD")
            await found.affirm(2, "", "")
        errors = [event for event in logs if event["log_level"] == "error"]
        assert [(event["event"], event["symbol"]) for event in errors] == [
            ("symbol_without_source", "ETH-USD")
        ]
        assert errors[0]["reasons"] == {"coinbase": "not listed", "kraken": "unknown asset pair"}
        assert found.state(0).reasons == {"ETH-USD": "not listed"}
        assert found.state(1).reason == "unknown asset pair"
        assert found.ingest.stale() == {"ETH-USD": "not listed"}
        assert found.ingest.fresh()


async def test_a_source_that_has_none_of_its_symbols_says_so(autojump_clock: MockClock) -> None:
    async with market(source("coinbase")) as found:
        for symbol in SYMBOLS:
            found.ingest.report_symbol("coinbase", symbol, "not listed")
        assert found.state(0).reason == "not listed"
        assert found.state(0).symbols == SYMBOLS
        await found.crash(0)  # what it had against them is forgotten with its life
        assert found.state(0).reason == "crashed"


async def test_symbols_go_stale_for_their_own_reasons(autojump_clock: MockClock) -> None:
    async with market(source("coinbase", "A-USD", "B-USD", "C-USD", "D-USD")) as found:
        await found.bring(0, "1", "A-USD", "B-USD", "C-USD")
        stopped = wall_ms()
        await trio.sleep(6)
        await found.bring(0, "1", "A-USD", "C-USD")
        found.ingest.report_symbol("coinbase", "C-USD", "halted")
        await trio.sleep(5)
        state = found.state(0)
        assert (state.state, state.reason, state.since) == ("stale", SEVERAL, stopped)
        assert state.reasons == {"B-USD": SILENT, "C-USD": "halted", "D-USD": NEVER_PRICED}
        assert state.among({"B-USD"}).reason == SILENT
        assert state.among({"A-USD"}).state == "live"
        found.ingest.report_symbol("coinbase", "C-USD", None)
        await found.bring(0, "2")
        assert found.state(0).state == "live"


async def test_what_a_source_quotes_beyond_its_symbols_is_counted(
    autojump_clock: MockClock,
) -> None:
    async with market(source("coinbase", "BTC-USD"), source("kraken")) as found:
        await found.bring(0, "1", "BTC-USD", "ETH-USD")
        assert found.shown("ETH-USD") is None
        assert found.ingest.statistics().faults == {("coinbase", "unknown_symbol"): 1}


async def test_a_price_of_several_follows_who_is_there(autojump_clock: MockClock) -> None:
    three = [source(name) for name in ("coinbase", "kraken", "bitstamp")]
    async with market(*three, strategy="median") as found:
        await found.affirm(1, "100", "100.2", "150")
        quote = found.book.get("BTC-USD")
        assert quote is not None
        assert found.shown() == ("median", "100.1")
        assert (quote.counted, quote.left_out) == (("coinbase", "kraken"), ("bitstamp",))
        await found.crash(0)
        await found.affirm(3, "", "100.2", "150")
        assert found.shown() == ("median", "125.1")
        await found.crash(2)
        await found.affirm(3, "", "100.2", "")
        assert found.shown() == ("kraken", "100.2")


@pytest.mark.parametrize("strategy", ["first", "median"])
async def test_while_no_source_is_fresh_every_symbol_is_stale(
    autojump_clock: MockClock, strategy: str
) -> None:
    async with market(source("coinbase"), source("kraken"), strategy=strategy) as found:
        await found.affirm(1, "100", "101")
        await trio.sleep(10.1)
        assert not found.ingest.fresh()
        assert found.ingest.stale() == dict.fromkeys(SYMBOLS, SILENT)
        assert [state.reason for state in (found.state(0), found.state(1))] == [SILENT, SILENT]
