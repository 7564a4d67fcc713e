"""What our own bars lack is filled from the exchange's candles, marked, and within its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pytest
import trio
from trio.testing import MockClock

from tests.exchange_standin import BINANCE, BINANCE_US, COINBASE, KRAKEN, Manners, StandIn
from tests.exchange_standin.coinbase import Coinbase
from tests.exchange_standin.kraken import Kraken
from tests.exchange_standin.manners import Candle, Market, NoSuchPath
from tests.exchange_standin.running import EPOCH_MS, Running, first_symbol, running, virtual_ms
from ticker.market.backfill import Backfill
from ticker.market.book import Book
from ticker.market.candles import HOUR, MINUTE, ShownBar, Step
from ticker.market.quote import Quote

DAY_MS = 24 * HOUR.ms
WITH_CANDLES = pytest.mark.parametrize(
    "manners", [COINBASE, KRAKEN, BINANCE, BINANCE_US], ids=lambda each: each.name
)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read every answer at once: virtual time does not wait for threads."""
    monkeypatch.setattr("ticker.market.exchanges.candle_questions.FEED_CANDLES_THREAD_BYTES", 10**9)


class Filled:
    """A book that a feed fills, besides its own prices."""

    def __init__(self, manners: Manners, *, candles_from: int | None) -> None:
        self.symbol = first_symbol(manners)
        self.exchange = StandIn(manners, clock=virtual_ms)
        self.exchange.markets[self.symbol].candles_from = candles_from
        self.book = Book((self.symbol,))
        self.backfill = Backfill(virtual_ms)
        self.backfill.attach(self.book)

    def own(self, time_ms: int, price: str = "100", source: str | None = None) -> None:
        name = source or self.exchange.manners.name
        self.book.apply([Quote(self.symbol, Decimal(price), time_ms, time_ms, name)])

    def bars(self, step: Step) -> list[ShownBar]:
        candles = self.book.candles(self.symbol)
        bars = candles.bars(step, now_ms=virtual_ms(), begin=None, end=None, limit=None)
        return list(bars)

    def questions(self) -> Sequence[str]:
        asked = self.exchange.questions
        return [each for each in asked if any(w in each for w in ("candles", "OHLC", "klines"))]


async def settled(filled: Filled, run: Running) -> None:
    """Let it ask for all that it wants."""
    await run.exchange.subscribed()
    await run.exchange.trade(filled.symbol, "100")
    asked = -1
    while asked != len(filled.questions()):
        asked = len(filled.questions())
        await trio.sleep(20)
        await run.exchange.trade(filled.symbol, "100")
    assert not run.stops


def right(bar: ShownBar, step: Step) -> bool:
    candle = Candle(bar.begin, step.ms)
    prices = tuple(map(Decimal, (candle.open, candle.high, candle.low, candle.close)))
    return tuple(map(Decimal, bar.prices)) == prices and Decimal(bar.volume or "0") == 12.5


@WITH_CANDLES
async def test_a_start_fills_a_week_of_minutes_and_a_year_of_hours_as_far_as_the_exchange_tells(
    autojump_clock: MockClock, manners: Manners
) -> None:
    filled = Filled(manners, candles_from=0)
    filled.own(EPOCH_MS)
    async with running(
        manners, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        assert not run.reports
        minutes, hours = filled.bars(MINUTE), filled.bars(HOUR)
        assert not any(Candle(bar.begin, MINUTE.ms).empty for bar in minutes if bar.theirs)
        assert all(right(bar, MINUTE) for bar in minutes if bar.theirs)
        reach = 720 if manners is KRAKEN else MINUTE.bars
        assert 0.9 * reach <= len(minutes) <= reach
        assert len(hours) >= 0.9 * (720 if manners is KRAKEN else HOUR.bars)
        # The hours of which there are minutes are made of them, so that both say the same.
        [last_but_one] = [bar for bar in hours if bar.begin == HOUR.begin(EPOCH_MS) - HOUR.ms]
        of_it = [bar for bar in minutes if HOUR.begin(bar.begin) == last_but_one.begin]
        assert last_but_one.prices[0] == of_it[0].prices[0]
        assert last_but_one.theirs
        asked = len(filled.questions())
        assert asked <= {"coinbase": 70, "kraken": 3}.get(manners.name, 22)
    assert filled.exchange.faults == []
    assert autojump_clock.current_time() < 900


@WITH_CANDLES
async def test_our_own_bars_are_never_touched_and_a_minutes_gap_is_not_asked_about(
    autojump_clock: MockClock, manners: Manners
) -> None:
    filled = Filled(manners, candles_from=MINUTE.begin(EPOCH_MS) - 60 * MINUTE.ms)
    begin = MINUTE.begin(EPOCH_MS)
    ours = [number for number in range(60) if number not in {7, *range(20, 25)}]
    for number in ours:
        filled.own(begin - (60 - number) * MINUTE.ms + 5000, str(1000 + number))
    async with running(
        manners, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        bars = {60 - (begin - bar.begin) // MINUTE.ms: bar for bar in filled.bars(MINUTE)}
        for number in ours:
            assert Decimal(bars[number].prices[0]) == 1000 + number
            assert not bars[number].theirs
        assert 7 not in bars
        within = [
            number for number in range(20, 25) if not Candle(bars_begin(number), 60_000).empty
        ]
        assert [number for number, bar in bars.items() if bar.theirs and number < 60] == within
    assert autojump_clock.current_time() < 900


def bars_begin(number: int) -> int:
    return MINUTE.begin(EPOCH_MS) - (60 - number) * MINUTE.ms


async def test_only_the_source_that_prices_a_symbol_fills_it(autojump_clock: MockClock) -> None:
    filled = Filled(COINBASE, candles_from=0)
    filled.own(EPOCH_MS, source="kraken")
    async with running(
        COINBASE, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        assert filled.questions() == []
    assert autojump_clock.current_time() < 100


async def test_an_outage_is_filled_once_the_feed_is_back(autojump_clock: MockClock) -> None:
    filled = Filled(COINBASE, candles_from=0)
    filled.own(EPOCH_MS)
    async with running(
        COINBASE, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        filled.own(virtual_ms())
        before = len(filled.questions())
        run.refused = True
        await run.exchange.break_off()
        await trio.sleep(600)
        run.refused = False
        await run.exchange.subscribed()
        filled.own(virtual_ms())
        gone = len(run.stops)
        assert gone >= 1
        await trio.sleep(30)
        assert before < len(filled.questions()) <= before + 6
        missing = virtual_ms() - 300_000
        [bar] = [each for each in filled.bars(MINUTE) if each.begin == MINUTE.begin(missing)]
        assert bar.theirs
    assert autojump_clock.current_time() < 2000


@pytest.mark.parametrize(("seconds", "missing"), [(40, 0), (61, 1), (3_600, 59), (86_400, 1_439)])
async def test_what_an_outage_took_is_filled_where_it_was_longer_than_a_minute(
    autojump_clock: MockClock, seconds: int, missing: int
) -> None:
    filled = Filled(COINBASE, candles_from=0)
    # The last price comes at the last moment of a minute.
    last = MINUTE.begin(EPOCH_MS) + MINUTE.ms - 400
    filled.own(last)
    for number in range(100, 0, -1):
        filled.own(last - number * MINUTE.ms)
    filled.own(last)
    await trio.sleep((last + seconds * 1000 - virtual_ms()) / 1000)
    async with running(
        COINBASE, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        filled.own(virtual_ms())
        first, end = last - last % MINUTE.ms + MINUTE.ms, last + seconds * 1000
        begins = range(first, MINUTE.begin(end), MINUTE.ms)
        told = [begin for begin in begins if not Candle(begin, MINUTE.ms).empty]
        theirs = [bar.begin for bar in filled.bars(MINUTE) if bar.theirs and bar.begin >= first]
        assert theirs == (told if missing else [])
        assert len(begins) in {missing, missing + 1}
    assert autojump_clock.current_time() < seconds + 2000


class Busy(Kraken):
    """Has had too many questions about candles at first, which it tells with status 200."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.refused = 0

    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        if path == "/0/public/OHLC" and self.refused < 3:
            self.refused += 1
            return {"error": [self.reason]}
        return super().rest(markets, path, query)


@pytest.mark.parametrize(
    "reason",
    [
        "EAPI:Rate limit exceeded",
        "EGeneral:Internal error",
        "EGeneral:Temporary lockout",
        "EService:Unavailable",
        "EService:Busy",
    ],
)
async def test_too_many_questions_are_asked_again_later(
    autojump_clock: MockClock, reason: str
) -> None:
    manners = Busy(reason)
    filled = Filled(manners, candles_from=0)
    filled.own(EPOCH_MS)
    async with running(
        manners, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        assert len(filled.bars(MINUTE)) > 600
        assert run.reports == {"no_candles": 3}
    assert autojump_clock.current_time() < 900


class Refusing(Coinbase):
    """Refuses the first questions about candles."""

    def __init__(self, answer: int) -> None:
        self.answers = answer
        self.refused = 0

    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        if path.endswith("/candles") and self.refused < 2:
            self.refused += 1
            raise NoSuchPath(self.answers)
        return super().rest(markets, path, query)


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 418, 429, 451, 500, 502, 503, 504])
async def test_what_was_refused_is_asked_for_again(autojump_clock: MockClock, status: int) -> None:
    manners = Refusing(status)
    filled = Filled(manners, candles_from=MINUTE.begin(EPOCH_MS) - 60 * MINUTE.ms)
    filled.own(EPOCH_MS)
    async with running(
        manners, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        while run.reports.get("no_candles", 0) < 2 or len(filled.questions()) < 3:
            await trio.sleep(20)  # a ban is waited for
            await run.exchange.trade(filled.symbol, "100")
        await settled(filled, run)
        told = [n for n in range(60) if not Candle(bars_begin(n), MINUTE.ms).empty]
        assert len([bar for bar in filled.bars(MINUTE) if bar.theirs]) == len(told)
        assert run.reports == {"no_candles": 2}
        assert run.good(filled.symbol)
    assert autojump_clock.current_time() < 3600


async def test_without_candles_the_prices_go_on(autojump_clock: MockClock) -> None:
    filled = Filled(COINBASE, candles_from=None)
    filled.own(EPOCH_MS)
    async with running(
        COINBASE, exchange=filled.exchange, supervised=True, backfill=filled.backfill
    ) as run:
        await settled(filled, run)
        assert len(filled.bars(MINUTE)) == 1
        assert run.good(filled.symbol)
    assert autojump_clock.current_time() < 900
