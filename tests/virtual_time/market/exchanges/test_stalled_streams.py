"""A stream that looks alive while its prices are not: within 90 s right or stale."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.exchange_standin import BINANCE, BITSTAMP, COINBASE, EVERY, Manners, StandIn
from tests.exchange_standin.running import Running, first_symbol, running, virtual_ms

every_exchange = pytest.mark.parametrize("manners", EVERY, ids=lambda manners: manners.name)


async def wrong_for(run: Running, symbol: str, seconds: int) -> int:
    """Return for how many of so many seconds a wrong price was shown as a good one."""
    wrong = 0
    for _ in range(seconds):
        await trio.sleep(1)
        price = run.exchange.markets[symbol].price
        wrong += run.good(symbol) and str(run.newest[symbol].price) != price
    return wrong


@every_exchange
async def test_a_quiet_market_stays_live(autojump_clock: MockClock, manners: Manners) -> None:
    symbol = first_symbol(manners)
    async with running(manners, supervised=True, patience=4000) as run:
        await run.exchange.subscribed()
        await run.exchange.trade(symbol, "0.0721")
        await trio.sleep(5)
        for _ in range(600):
            await trio.sleep(1)
            assert run.good(symbol)
        assert not run.stops
        assert not run.exchange.faults
        assert run.newest[symbol].time_ms < virtual_ms() - 600_000
    assert autojump_clock.current_time() >= 600


@every_exchange
async def test_a_stream_that_only_answers_while_the_market_moves_is_found_out(
    autojump_clock: MockClock, manners: Manners
) -> None:
    symbol = first_symbol(manners)
    async with running(manners, supervised=True) as run:
        await run.exchange.subscribed()
        await run.exchange.trade(symbol, "100")
        await trio.sleep(10)
        run.exchange.stalled = None
        await run.exchange.trade(symbol, "120")
        assert await wrong_for(run, symbol, 90) <= 45
        # A new connection is subscribed to nothing that stalls: the price is right again.
        run.exchange.stalled = set()
        await trio.sleep(60)
        assert await wrong_for(run, symbol, 30) == 0
        await run.exchange.trade(symbol, "121")
        await trio.sleep(1)
        assert run.good(symbol)
    assert autojump_clock.current_time() < 300


@every_exchange
async def test_a_stream_that_never_sends_a_price_never_shows_a_wrong_one_for_long(
    autojump_clock: MockClock, manners: Manners
) -> None:
    symbol = first_symbol(manners)
    exchange = StandIn(manners, clock=virtual_ms, stalled=None)
    exchange.markets[symbol].price = "100"
    async with running(manners, exchange=exchange, supervised=True, patience=4000) as run:
        longest = wrong = 0
        for second in range(600):
            if second % 20 == 0:
                await exchange.trade(symbol, str(100 + second // 20))
            wrong = wrong + 1 if await wrong_for(run, symbol, 1) else 0
            longest = max(longest, wrong)
        assert longest <= 45
        assert exchange.connects_per(1) == 1
        assert exchange.connects_per(300) <= 60
    assert autojump_clock.current_time() >= 600


@every_exchange
async def test_without_rest_a_quiet_price_is_either_proved_by_the_stream_or_stale(
    autojump_clock: MockClock, manners: Manners
) -> None:
    symbol = first_symbol(manners)
    exchange = StandIn(manners, clock=virtual_ms, rest_answer=b"HTTP/1.1 503 No\r\n\r\n")
    async with running(manners, exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        await exchange.trade(symbol, "100")
        await trio.sleep(80)
        # Coinbase's heartbeat names the last trade; Binance says what is subscribed to.
        proved = manners.name in {"coinbase", "binance", "binance_us"}
        assert run.good(symbol) == proved
        assert run.reasons == ({} if proved else {symbol: "not confirmed by the exchange"})
        await exchange.trade(symbol, "101")
        await trio.sleep(0.5)
        assert run.good(symbol)
        assert not run.reasons
    assert autojump_clock.current_time() < 100


async def test_a_subscription_that_the_exchange_has_forgotten_is_renewed(
    autojump_clock: MockClock,
) -> None:
    exchange = StandIn(BINANCE, clock=virtual_ms, rest_answer=b"HTTP/1.1 503 No\r\n\r\n")
    async with running(BINANCE, exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        await exchange.trade("BTC-USDT", "100")
        await trio.sleep(5)
        exchange.clients[0].symbols.clear()
        await exchange.trade("BTC-USDT", "120")
        assert await wrong_for(run, "BTC-USDT", 60) <= 45
        await exchange.trade("BTC-USDT", "121")
        await trio.sleep(1)
        assert run.good("BTC-USDT")
        assert run.exchange.accepted == 2
    assert autojump_clock.current_time() < 100


async def test_a_product_whose_ticker_is_lost_is_asked_for_and_the_stream_started_anew(
    autojump_clock: MockClock,
) -> None:
    async with running(COINBASE, supervised=True) as run:
        await run.exchange.subscribed()
        await run.exchange.trade("BTC-USD", "100")
        await trio.sleep(5)
        run.exchange.stalled = {"BTC-USD"}
        await run.exchange.trade("BTC-USD", "120")
        assert await wrong_for(run, "BTC-USD", 15) <= 12
        await trio.sleep(60)
        assert run.stops
        assert await wrong_for(run, "BTC-USD", 30) == 0
        assert str(run.newest["BTC-USD"].price) == "120"
    assert autojump_clock.current_time() < 200


async def test_a_connection_that_is_half_open_is_given_up(autojump_clock: MockClock) -> None:
    for manners in (COINBASE, BINANCE, BITSTAMP):
        symbol = first_symbol(manners)
        async with running(manners, supervised=True) as run:
            await run.exchange.subscribed()
            await run.exchange.trade(symbol, "100")
            await trio.sleep(3)
            run.exchange.mute = True
            await run.exchange.trade(symbol, "120")
            assert await wrong_for(run, symbol, 20) <= 12
            run.exchange.mute = False
            await trio.sleep(40)
            await run.exchange.trade(symbol, "121")
            await trio.sleep(1)
            assert run.good(symbol)
    assert autojump_clock.current_time() < 300
