"""A whole day of an exchange, with all that may happen in one, compressed.

Whatever happens: a price shown as good is right, or has been wrong for less than a minute; the
exchange's limits are kept; and at the end every price is right.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.exchange_standin import EVERY, Manners, StandIn
from tests.exchange_standin.running import Running, quote_currency, running, virtual_ms
from ticker.limits import FEED_CONNECTS, REFUSED_SYMBOL_MAX_SECONDS

every_exchange = pytest.mark.parametrize("manners", EVERY, ids=lambda manners: manners.name)

#: How long a wrong price may look good: until a quiet symbol is asked about, and once more.
LONGEST_WRONG_SECONDS = 60
#: A day is 24 of these: long enough for every timeout, short enough to be run often.
HOUR_SECONDS = 150


@attrs.define
class Day:
    """One day: prices that walk, and what else happens."""

    run: Running
    symbols: Sequence[str]
    chance: random.Random
    cents: dict[str, int] = attrs.field(factory=dict)
    wrong: dict[str, int] = attrs.field(factory=dict)
    longest: int = 0
    skew_ms: int = 0
    open: bool = True

    @property
    def exchange(self) -> StandIn:
        return self.run.exchange

    def clock(self) -> int:
        return virtual_ms() + self.skew_ms

    async def trade(self) -> None:
        """Let most symbols trade often, and the last one rarely."""
        while self.open:
            for symbol in self.symbols:
                rarely = symbol == self.symbols[-1] and self.chance.random() > 0.02
                market = self.exchange.markets.get(symbol)
                if market is None or not market.trading or rarely:
                    continue
                if self.exchange.system != "online":
                    continue
                self.cents[symbol] += self.chance.choice((-3, -2, -1, 1, 2, 3))
                await self.exchange.trade(symbol, f"{self.cents[symbol] / 100:.2f}")
            await trio.sleep(1)

    async def watch(self) -> None:
        """Look each second whether a price that looks good is the exchange's."""
        while True:
            await trio.sleep(1)
            for symbol in self.symbols:
                market = self.exchange.markets.get(symbol)
                shown = self.run.newest.get(symbol)
                untraded = market is None or not market.trading
                wrong = (
                    shown is not None
                    and self.run.good(symbol)
                    and (untraded or market is None or f"{shown.price:f}" != market.price)
                )
                self.wrong[symbol] = self.wrong.get(symbol, 0) + 1 if wrong else 0
                self.longest = max(self.longest, self.wrong[symbol])

    async def maintenance(self) -> None:
        """Close every connection and refuse new ones for a while, or say so where it can."""
        if self.exchange.manners.status("maintenance"):
            await self.exchange.announce("maintenance")
            await trio.sleep(HOUR_SECONDS / 2)
            await self.exchange.announce("online")
            return
        self.exchange.system = "maintenance"
        self.exchange.upgrade = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 20\r\n\r\n"
        self.exchange.rest_answer = self.exchange.upgrade
        await self.exchange.close(1001, "maintenance")
        await trio.sleep(HOUR_SECONDS / 2)
        self.exchange.upgrade = self.exchange.rest_answer = None
        self.exchange.system = "online"

    async def rolling_shutdown(self) -> None:
        """Announce the end of each connection, thrice, and end it soon after."""
        for _ in range(3):
            if self.exchange.manners.shutdown() is not None:
                await self.exchange.shut_down()
                await trio.sleep(8)
            else:
                await self.exchange.close(1012, "service restart")
            await trio.sleep(20)

    async def delisting(self) -> None:
        market = self.exchange.markets.pop(self.symbols[1])
        for client in self.exchange.clients:
            client.symbols = [each for each in client.symbols if each != market.symbol]
        await trio.sleep(HOUR_SECONDS)
        self.exchange.markets[market.symbol] = market

    async def halt(self) -> None:
        self.exchange.markets[self.symbols[2]].trading = False
        await trio.sleep(HOUR_SECONDS)
        self.exchange.markets[self.symbols[2]].trading = True

    async def skewed_clock(self) -> None:
        for skew_ms in (-90_000, 30_000, 7_200_000):
            self.skew_ms = skew_ms
            await trio.sleep(20)
        self.skew_ms = 0

    async def flood(self) -> None:
        for _ in range(2000):
            symbol = self.symbols[0]
            self.cents[symbol] += self.chance.choice((-1, 1))
            await self.exchange.trade(symbol, f"{self.cents[symbol] / 100:.2f}")
        await self.exchange.say("{")

    async def half_open(self) -> None:
        self.exchange.mute = True
        await trio.sleep(40)
        self.exchange.mute = False

    async def stall(self) -> None:
        self.exchange.stalled = set(self.symbols[:2])
        await trio.sleep(90)
        self.exchange.stalled = set()

    async def without_rest(self) -> None:
        self.exchange.rest_answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\n\r\n"
        await trio.sleep(90)
        self.exchange.rest_answer = None

    async def reset(self) -> None:
        await self.exchange.break_off()


@every_exchange
async def test_a_day_with_everything_in_it_ends_with_every_price_right(
    autojump_clock: MockClock, manners: Manners
) -> None:
    quote_in = quote_currency(manners)
    symbols = [f"{base}-{quote_in}" for base in ("BTC", "ETH", "SOL")]
    exchange = StandIn(manners, clock=virtual_ms)
    patience = 48 * HOUR_SECONDS + 3 * REFUSED_SYMBOL_MAX_SECONDS
    async with running(
        manners,
        *symbols,
        exchange=exchange,
        supervised=True,
        lifetime=5.5 * HOUR_SECONDS,
        patience=patience,
    ) as run:
        day = Day(run, symbols, random.Random(manners.name), dict.fromkeys(symbols, 50_000))
        exchange.clock = day.clock
        events: list[Callable[[], Awaitable[None]]] = [
            day.reset,
            day.maintenance,
            day.rolling_shutdown,
            day.delisting,
            day.halt,
            day.skewed_clock,
            day.flood,
            day.half_open,
            day.stall,
            day.without_rest,
        ]
        day.chance.shuffle(events)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(day.trade)
            nursery.start_soon(day.watch)
            for event in events * 2:
                await trio.sleep(HOUR_SECONDS / 4)
                await event()
                await trio.sleep(HOUR_SECONDS / 4)
            # What is listed anew is found within an hour, whatever came before, and stays right.
            with trio.fail_after(REFUSED_SYMBOL_MAX_SECONDS + HOUR_SECONDS):
                while not all(run.good(symbol) for symbol in symbols):  # noqa: ASYNC110 - virtual
                    await trio.sleep(1)
            await trio.sleep(2 * HOUR_SECONDS)
            day.open = False
            await trio.sleep(2)
            nursery.cancel_scope.cancel()
        assert {symbol: f"{run.newest[symbol].price:f}" for symbol in symbols} == {
            symbol: exchange.markets[symbol].price for symbol in symbols
        }
        assert all(run.good(symbol) for symbol in symbols)
        assert day.longest <= LONGEST_WRONG_SECONDS
        assert exchange.connects_per(0.999) == 1
        assert exchange.connects_per(300) <= FEED_CONNECTS
        assert not exchange.faults
    assert autojump_clock.current_time() < patience
