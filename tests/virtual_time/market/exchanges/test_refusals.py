"""What an exchange refuses, lists not or has halted: that symbol alone is concerned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import trio
from trio.testing import MockClock

from tests.exchange_standin import BINANCE, COINBASE, EVERY, KRAKEN, OKX, Manners, Market, StandIn
from tests.exchange_standin.coinbase import Coinbase
from tests.exchange_standin.manners import Answer
from tests.exchange_standin.running import quote_currency, running, virtual_ms
from ticker.limits import REFUSED_SYMBOL_MAX_SECONDS

every_exchange = pytest.mark.parametrize("manners", EVERY, ids=lambda manners: manners.name)


class Refusing(Coinbase):
    """Refuses one product that its catalogue has."""

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        without = {name: market for name, market in markets.items() if name != "ETH-USD"}
        return super().answer(without, message, holds, path)


class Terse(Coinbase):
    """Refuses without a name, as was seen in public reports."""

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        answer = super().answer(markets, message, holds, path)
        if answer.accepted:
            return answer
        return Answer(['{"type":"error","message":"Failed to subscribe","reason":" is not valid"}'])


class Partial(Coinbase):
    """Acknowledges a request but for one of its products, without a word about that."""

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        return super().answer(markets, message.replace(',"ETH-USD"', ""), holds, path)


async def test_a_symbol_that_is_not_acknowledged_is_stale_and_the_others_flow(
    autojump_clock: MockClock,
) -> None:
    async with running(Partial(), "BTC-USD", "ETH-USD", "SOL-USD", supervised=True) as run:
        await run.exchange.wait_for(lambda: "SOL-USD" in run.exchange.subscribed_symbols())
        for _ in range(30):
            await run.exchange.trade("BTC-USD", "100")
            await run.exchange.trade("SOL-USD", "100")
            await trio.sleep(1)
        assert run.good("BTC-USD")
        assert run.good("SOL-USD")
        assert run.reasons == {"ETH-USD": "not acknowledged"}
        assert not run.stops
        assert run.exchange.accepted == 1
    del autojump_clock


@every_exchange
async def test_one_unknown_symbol_of_several_is_stale_with_the_reason_and_the_others_flow(
    autojump_clock: MockClock, manners: Manners
) -> None:
    quote_in = quote_currency(manners)
    bitcoin, ether, unknown = (f"{base}-{quote_in}" for base in ("BTC", "ETH", "ETHH"))
    async with running(manners, bitcoin, unknown, ether, supervised=True) as run:
        await run.exchange.wait_for(lambda: run.exchange.subscribed_symbols() == [bitcoin, ether])
        await run.exchange.trade(bitcoin, "0.0721")
        await run.exchange.trade(ether, "0.0722")
        await trio.sleep(8)
        assert run.good(bitcoin)
        assert run.good(ether)
        assert run.reasons == {unknown: run.reasons[unknown]}
        assert run.reasons[unknown].startswith(f"not listed; nearest: ETH-{quote_in}")
        assert not run.stops
        assert run.exchange.accepted == 1
    assert autojump_clock.current_time() < 30


async def test_a_product_that_is_listed_and_yet_refused_is_told_in_the_exchanges_words(
    autojump_clock: MockClock,
) -> None:
    exchange = StandIn(Refusing(), clock=virtual_ms)
    async with running(COINBASE, "BTC-USD", "ETH-USD", exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        await exchange.trade("BTC-USD", "7")
        await trio.sleep(5)
        assert run.good("BTC-USD")
        assert run.reasons == {"ETH-USD": "Failed to subscribe: ETH-USD is not a valid product"}
    assert autojump_clock.current_time() < 30


async def test_a_refusal_that_names_no_symbol_is_narrowed_down(autojump_clock: MockClock) -> None:
    exchange = StandIn(Terse(), clock=virtual_ms)
    symbols = [f"C{number}-USD" for number in range(50)]
    exchange.markets = {symbol: Market(symbol, "5") for symbol in symbols}
    del exchange.markets["C13-USD"], exchange.markets["C14-USD"], exchange.markets["C40-USD"]
    async with running(COINBASE, *symbols, exchange=exchange, supervised=True) as run:
        await exchange.wait_for(lambda: len(exchange.subscribed_symbols()) == 47)
        await trio.sleep(10)
        assert sorted(run.reasons) == ["C13-USD", "C14-USD", "C40-USD"]
        assert run.good("C15-USD")
        assert not run.stops
        assert len(exchange.requests) < 40
    assert autojump_clock.current_time() < 60


async def test_a_refused_symbol_is_asked_for_again_ever_more_rarely_until_it_is_listed(
    autojump_clock: MockClock,
) -> None:
    exchange = StandIn(OKX, clock=virtual_ms)
    patience = 12 * 3600
    async with running(
        OKX, "BTC-USDT", "NEW-USDT", exchange=exchange, supervised=True, patience=patience
    ) as run:
        await exchange.subscribed()
        # What is not in the catalogue is looked for there.
        await exchange.trade("BTC-USDT", "7")
        await trio.sleep(2 * 3600)
        catalogues = [each for each in exchange.questions if each.endswith("?instType=SPOT")]
        assert 5 <= len(catalogues) <= 9
        assert len([each for each in exchange.requests if "NEW-USDT" in each]) < 20
        exchange.markets["NEW-USDT"] = Market("NEW-USDT", "3")
        await trio.sleep(REFUSED_SYMBOL_MAX_SECONDS + 120)
        await exchange.trade("NEW-USDT", "4")
        await trio.sleep(1)
        assert run.good("NEW-USDT")
        assert not run.reasons
        assert not run.stops
    assert autojump_clock.current_time() < patience


@every_exchange
async def test_a_symbol_that_has_stopped_trading_is_stale_within_90_s_and_back_after_it(
    autojump_clock: MockClock, manners: Manners
) -> None:
    quote_in = quote_currency(manners)
    bitcoin, ether = f"BTC-{quote_in}", f"ETH-{quote_in}"
    async with running(manners, bitcoin, ether, supervised=True) as run:
        await run.exchange.wait_for(lambda: run.exchange.subscribed_symbols() == [bitcoin, ether])
        for symbol in (bitcoin, ether):
            await run.exchange.trade(symbol, "0.0721")
        run.exchange.markets[ether].trading = False
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _go_on() -> None:
                while True:
                    await run.exchange.trade(bitcoin, "0.0721")
                    await trio.sleep(1)

            await trio.sleep(90)
            assert run.good(bitcoin)
            assert run.reasons.keys() == {ether}
            run.exchange.markets[ether].trading = True
            await trio.sleep(60)
            assert not run.reasons
            assert run.good(ether)
            nursery.cancel_scope.cancel()
        assert not run.stops
    assert autojump_clock.current_time() < 200


@every_exchange
async def test_a_symbol_that_is_halted_from_the_start_never_looks_live(
    autojump_clock: MockClock, manners: Manners
) -> None:
    symbol = f"BTC-{quote_currency(manners)}"
    exchange = StandIn(manners, clock=virtual_ms)
    exchange.markets[symbol] = Market(symbol, "7", trading=False)
    async with running(manners, symbol, exchange=exchange, supervised=True) as run:
        await trio.sleep(5)
        for _ in range(120):
            await trio.sleep(1)
            assert not run.good(symbol)
            assert run.reasons[symbol]
    assert autojump_clock.current_time() > 100


async def test_a_delisted_symbol_is_stale_and_a_relisted_one_is_right_again(
    autojump_clock: MockClock,
) -> None:
    async with running(BINANCE, "BTC-USDT", "ETH-USDT", supervised=True, patience=20_000) as run:
        exchange = run.exchange
        await exchange.wait_for(lambda: len(exchange.subscribed_symbols()) == 2)
        for symbol in ("BTC-USDT", "ETH-USDT"):
            await exchange.trade(symbol, "7")
        delisted = exchange.markets.pop("ETH-USDT")
        await trio.sleep(120)
        assert run.reasons["ETH-USDT"].startswith("not listed")
        assert run.good("BTC-USDT")
        exchange.markets["ETH-USDT"] = delisted
        delisted.price = "9"
        await trio.sleep(2 * REFUSED_SYMBOL_MAX_SECONDS)
        assert run.good("ETH-USDT")
        assert str(run.newest["ETH-USDT"].price) == "9"
    assert autojump_clock.current_time() < 20_000


async def test_two_spellings_of_one_name_are_told_apart_by_base_and_quote(
    autojump_clock: MockClock,
) -> None:
    exchange = StandIn(BINANCE, clock=virtual_ms)
    exchange.markets["ADA-EUR"] = Market("ADA-EUR", "0.5")
    async with running(BINANCE, "ADA-EUR", exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        await exchange.trade("ADA-EUR", "0.51")
        await trio.sleep(3)
        assert run.good("ADA-EUR")
    async with running(BINANCE, "BTC-USDT", "AD-AEUR", exchange=exchange, supervised=True) as run:
        await trio.sleep(5)
        assert run.reasons["AD-AEUR"].startswith("not listed; nearest: ")
        await exchange.trade("ADA-EUR", "0.52")
        await trio.sleep(3)
        assert not run.good("AD-AEUR")
    assert autojump_clock.current_time() < 30


async def test_kraken_nacks_one_pair_and_prices_the_other(autojump_clock: MockClock) -> None:
    async with running(KRAKEN, "BTC-USD", "NOPE-USD", supervised=True) as run:
        await run.exchange.subscribed()
        await run.exchange.trade("BTC-USD", "7")
        await trio.sleep(0.5)
        assert run.good("BTC-USD")
        assert "Currency pair not supported" in run.reasons["NOPE-USD"]
        await trio.sleep(5)
        assert run.reasons["NOPE-USD"].startswith("not listed")
    assert autojump_clock.current_time() < 30
