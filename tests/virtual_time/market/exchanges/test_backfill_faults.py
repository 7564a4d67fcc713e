"""Whatever an exchange does when it is asked for candles, prices go on and no wrong bar is kept."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from itertools import pairwise
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from tests.exchange_standin import BINANCE, COINBASE, KRAKEN, Manners, StandIn
from tests.exchange_standin.manners import Candle, NoSuchPath
from tests.exchange_standin.running import EPOCH_MS, Running, first_symbol, running, virtual_ms
from tests.exchange_standin.standin import about_candles
from ticker.limits import FEED_CANDLES_BYTES, FEED_REST_CONNECTS
from ticker.market.backfill import Backfill
from ticker.market.book import Book
from ticker.market.candles import MINUTE, ShownBar
from ticker.market.quote import Quote

BEGIN: Final = MINUTE.begin(EPOCH_MS)
Instead = Callable[[trio.abc.Stream], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read every answer at once: virtual time does not wait for threads."""
    monkeypatch.setattr("ticker.market.exchanges.candle_questions.FEED_CANDLES_THREAD_BYTES", 10**9)


class Asked:
    """A market of an exchange that lacks the hour before this moment."""

    def __init__(self, manners: Manners, symbols: Sequence[str] = ()) -> None:
        self.symbols = tuple(symbols or [first_symbol(manners)])
        self.manners = manners
        self.exchange = StandIn(manners, clock=virtual_ms)
        self.asked_at: list[float] = []
        self.book = Book(self.symbols)
        self.backfill = Backfill(virtual_ms)
        self.backfill.attach(self.book)
        for symbol in self.symbols:
            self.exchange.markets[symbol].candles_from = BEGIN - 60 * MINUTE.ms
            self.exchange.markets[symbol].price = "100"
            quote = Quote(symbol, Decimal(100), EPOCH_MS, EPOCH_MS, manners.name)
            self.book.apply([quote])

    def running(self) -> AbstractAsyncContextManager[Running]:
        return running(
            self.manners,
            *self.symbols,
            exchange=self.exchange,
            supervised=True,
            backfill=self.backfill,
            patience=10_000,
        )

    def instead(self, answer: Instead) -> None:
        """Answer questions about candles so, and note when they came."""

        async def noted(stream: trio.abc.Stream) -> None:
            self.asked_at.append(trio.current_time())
            await answer(stream)

        self.exchange.candles_instead = noted

    def theirs(self, symbol: str = "") -> list[ShownBar]:
        candles = self.book.candles(symbol or self.symbols[0])
        bars = candles.bars(MINUTE, now_ms=virtual_ms(), begin=None, end=None, limit=None)
        return [bar for bar in bars if bar.theirs]

    def told(self) -> int:
        """How many minutes the stand-in tells of."""
        begins = range(BEGIN - 60 * MINUTE.ms, BEGIN, MINUTE.ms)
        return sum(not Candle(begin, MINUTE.ms).empty for begin in begins)


def saying(raw: bytes) -> Instead:
    async def answer(stream: trio.abc.Stream) -> None:
        await stream.send_all(raw)

    return answer


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def silence(stream: trio.abc.Stream) -> None:
    await stream.receive_some()


async def drip(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    for _ in range(900):
        await stream.send_all(b" ")
        await trio.sleep(1)


async def flood(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(4 * FEED_CANDLES_BYTES // 65536):
        await stream.send_all(b"10000\r\n" + bytes(65536) + b"\r\n")


NO_ANSWERS: Final = {
    "nothing at all": silence,
    "a byte a second": drip,
    "a body without an end": flood,
    "a page of HTML": saying(ok(b"<!doctype html><title>Sign in</title>")),
    "an answer cut short": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n[["),
    "an answer without a word": saying(ok(b"")),
    "another protocol": saying(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"),
    "500": saying(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
    "a redirection": saying(b"HTTP/1.1 302 No\r\nLocation: http://127.0.0.1/\r\n\r\n"),
}


async def kept_good(asked: Asked, run: Running, seconds: int) -> None:
    """Let time pass in which the symbol is not traded; its price is proved all the while."""
    for _ in range(seconds):
        await trio.sleep(1)
        assert all(run.good(symbol) for symbol in asked.symbols), trio.current_time()


@pytest.mark.parametrize(
    ("manners", "what"),
    [
        *((KRAKEN, what) for what in NO_ANSWERS),  # whose quiet prices REST alone proves
        *((manners, "nothing at all") for manners in (COINBASE, BINANCE)),
    ],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
async def test_without_an_answer_quiet_prices_stay_proved_and_the_questions_become_rare(
    autojump_clock: MockClock, manners: Manners, what: str
) -> None:
    asked = Asked(manners)
    asked.instead(NO_ANSWERS[what])
    async with asked.running() as run:
        await run.exchange.subscribed()
        await run.exchange.trade(asked.symbols[0], "100")
        await trio.sleep(3)
        await kept_good(asked, run, 460)
        between = [after - before for before, after in pairwise(asked.asked_at)]
        growing = [pause for pause in between if pause > 4]  # one on a kept connection comes twice
        assert growing == sorted(growing)
        assert growing[-1] >= 160
        assert len(asked.asked_at) <= 14
        assert len(run.exchange.connects) <= FEED_REST_CONNECTS
        assert not run.stops
        assert set(run.reports) == {"no_candles"}
        assert not asked.theirs()
        run.exchange.candles_instead = None
        await kept_good(asked, run, 400)
        assert len(asked.theirs()) == asked.told()
    assert autojump_clock.current_time() < 2000


WAITS: Final = {
    "in seconds": (b"Retry-After: 700", 700),
    "absurdly far": (b"Retry-After: 99999999999", 3 * 86400),
    "a date absurdly far": (b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", 3 * 86400),
    "a date that was": (b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", 0),
    "no date": (b"Retry-After: Someday", 0),
    "below zero": (b"Retry-After: -5", 0),
}


@pytest.mark.parametrize(("header", "wait"), WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("status", [418, 429, 503])
async def test_rest_is_left_alone_for_as_long_as_it_says_also_by_another_life_of_the_feed(
    autojump_clock: MockClock, status: int, header: bytes, wait: int
) -> None:
    asked = Asked(COINBASE)
    asked.instead(saying(b"HTTP/1.1 %d No\r\n%b\r\nContent-Length: 0\r\n\r\n" % (status, header)))
    least = max(wait, {503: 5, 429: 60, 418: 300}[status])
    async with asked.running() as run:
        await run.exchange.subscribed()
        await run.exchange.wait_for(lambda: bool(asked.asked_at))
        if least > 20:
            await run.exchange.break_off()
        await trio.sleep(min(least, 900) - 4)
        assert len(asked.asked_at) == 1
        assert about_candles(run.exchange.questions[-1])  # nothing else was asked since
        assert run.good(asked.symbols[0])
        if least < 900:
            await run.exchange.wait_for(lambda: len(asked.asked_at) > 1)
            assert asked.asked_at[1] - asked.asked_at[0] >= least
    assert autojump_clock.current_time() < 2000


FAULTS: Final = {
    "a name that is none": (
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        "gaierror: [Errno -2] Name or service not known",
    ),
    "a certificate that is not trusted": (
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
        "certificate verify failed",
    ),
    "refused": (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
}


@pytest.mark.parametrize(("error", "said"), FAULTS.values(), ids=FAULTS)
async def test_where_rest_cannot_be_reached_the_stream_goes_on_and_both_kinds_of_question_wait(
    autojump_clock: MockClock, error: Exception, said: str
) -> None:
    asked = Asked(COINBASE)
    async with asked.running() as run:
        run.rest_fault = error
        await run.exchange.subscribed()
        await run.exchange.trade(asked.symbols[0], "100")
        await trio.sleep(3)
        await kept_good(asked, run, 330)
        assert said in str(run.feed.memory.record.rest_fault)
        assert not run.stops
        assert run.reports["no_candles"] <= 7
        run.rest_fault = None
        await kept_good(asked, run, 400)
        assert len(asked.theirs()) == asked.told()
    assert autojump_clock.current_time() < 2000


async def test_a_symbol_without_an_answer_does_not_hold_up_the_past_of_the_others(
    autojump_clock: MockClock,
) -> None:
    symbols = ["BTC-USD", "ETH-USD", "SOL-USD"]
    asked = Asked(COINBASE, symbols)
    answer = asked.exchange.manners.rest

    class Partly(type(COINBASE)):  # type: ignore[misc]  # a class it is
        def rest(self, markets: object, path: str, query: object) -> object:
            if about_candles(path) and "SOL" not in path:
                asked.asked_at.append(trio.current_time())
                raise NoSuchPath(500)
            return answer(markets, path, query)  # type: ignore[arg-type]

    asked.exchange.manners = Partly()
    async with asked.running() as run:
        await run.exchange.subscribed()
        for symbol in symbols:
            await run.exchange.trade(symbol, "100")
        await trio.sleep(60)
        assert len(asked.theirs("SOL-USD")) == asked.told()
    assert autojump_clock.current_time() < 200


def rows(*candles: tuple[object, ...]) -> bytes:
    """Write Coinbase's candles: time in seconds, low, high, open, close, volume."""
    return ok(json.dumps(candles).encode())


AT: Final = BEGIN // 1000 - 600
GOOD: Final = (AT, 90, 120, 100, 105, 1)
WRONG: Final = {
    "the minute that still runs": (BEGIN // 1000, 90, 120, 100, 105, 1),
    "the future": (BEGIN // 1000 + 600, 90, 120, 100, 105, 1),
    "long ago": (1_000_000_000, 90, 120, 100, 105, 1),
    "before the epoch": (-60, 90, 120, 100, 105, 1),
    "within a minute": (AT + 61, 90, 120, 100, 105, 1),
    "a time in milliseconds": ((AT + 60) * 1000, 90, 120, 100, 105, 1),
    "a time beyond 64 bits": (10**30, 90, 120, 100, 105, 1),
    "a time that is no whole number": (AT + 60.5, 90, 120, 100, 105, 1),
    "no number": (AT + 60, "NaN", 120, 100, 105, 1),
    "endless": (AT + 60, 90, "Infinity", 100, 105, 1),
    "below zero": (AT + 60, -90, 120, 100, 105, 1),
    "zero": (AT + 60, 0, 120, 100, 105, 1),
    "an open above the high": (AT + 60, 90, 120, 121, 105, 1),
    "a close below the low": (AT + 60, 90, 120, 100, 89, 1),
    "a low above the high": (AT + 60, 120, 90, 100, 105, 1),
    "a volume below zero": (AT + 60, 90, 120, 100, 105, -1),
    "a volume that is no number": (AT + 60, 90, 120, 100, 105, "NaN"),
    "an absurd price": (AT + 60, 90, 10**40, 100, 105, 1),
    "no price": (AT + 60, 90, None, 100, 105, 1),
    "too short": (AT + 60, 90, 120),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_of_candles_a_wrong_one_is_never_kept_and_costs_itself_alone(
    autojump_clock: MockClock, wrong: tuple[object, ...]
) -> None:
    asked = Asked(COINBASE)
    asked.instead(saying(rows(wrong, GOOD, wrong)))
    async with asked.running() as run:
        await run.exchange.subscribed()
        await trio.sleep(60)
        [bar] = asked.theirs()
        assert bar.begin == AT * 1000
        assert [float(price) for price in bar.prices] == [100, 120, 90, 105]
        assert run.good(asked.symbols[0])
        assert not run.stops
    assert autojump_clock.current_time() < 200


async def test_candles_in_any_order_with_gaps_and_twice_are_bars_in_order(
    autojump_clock: MockClock,
) -> None:
    asked = Asked(COINBASE)
    times = [AT + 60 * number for number in (5, 0, 9, 5, 2, 0, 2)]
    asked.instead(saying(rows(*((at, 90, 120, 100, 105, 1) for at in times))))
    async with asked.running() as run:
        await run.exchange.subscribed()
        await trio.sleep(60)
        begins = [bar.begin // 1000 for bar in asked.theirs()]
        assert begins == sorted(set(times))
    assert autojump_clock.current_time() < 200
