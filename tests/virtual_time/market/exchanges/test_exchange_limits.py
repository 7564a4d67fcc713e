"""What exchanges allow: connections, requests, sizes, and what they ask one to wait."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock

from tests.exchange_standin import BINANCE, EVERY, KRAKEN, OKX, Binance, Manners, Market, StandIn
from tests.exchange_standin.running import first_symbol, quote_currency, running, virtual_ms
from ticker.limits import FEED_CONNECTS

every_exchange = pytest.mark.parametrize("manners", EVERY, ids=lambda manners: manners.name)


@every_exchange
async def test_hundreds_of_symbols_are_asked_for_within_every_limit_and_all_priced(
    autojump_clock: MockClock, manners: Manners
) -> None:
    quote_in = quote_currency(manners)
    symbols = [f"LONGNAME{number}-{quote_in}" for number in range(300)]
    exchange = StandIn(manners, clock=virtual_ms)
    exchange.markets = {symbol: Market(symbol) for symbol in symbols}
    async with running(manners, *symbols, exchange=exchange, supervised=True) as run:
        await exchange.wait_for(lambda: exchange.subscribed_symbols() == sorted(symbols))
        assert autojump_clock.current_time() < 30
        for number, symbol in enumerate(symbols):
            await exchange.trade(symbol, f"{number + 1}.5")
        await trio.sleep(2)
        assert all(run.good(symbol) for symbol in symbols)
        assert str(run.newest[symbols[299]].price) == "300.5"
        assert not exchange.faults
        assert max(map(len, exchange.requests)) <= manners.most_bytes
        assert not run.stops
    assert autojump_clock.current_time() < 60


async def test_each_batch_is_acknowledged_by_its_own_number(autojump_clock: MockClock) -> None:
    symbols = [f"C{number}-USDT" for number in range(250)]
    exchange = StandIn(BINANCE, clock=virtual_ms)
    exchange.markets = {symbol: Market(symbol) for symbol in symbols}
    async with running(BINANCE, *symbols, exchange=exchange, supervised=True) as run:
        await exchange.wait_for(lambda: len(exchange.subscribed_symbols()) == 250)
        await trio.sleep(1)
        asked = [json.loads(request) for request in exchange.requests]
        assert [each["id"] for each in asked if each["method"] == "SUBSCRIBE"] == [1, 2, 3, 4, 5]
        assert run.feed.memory.record.batches == 5
    assert autojump_clock.current_time() < 60


async def test_an_acknowledgement_of_another_request_confirms_nothing(
    autojump_clock: MockClock,
) -> None:
    exchange = StandIn(BINANCE, clock=virtual_ms, acknowledges=False)
    async with running(BINANCE, exchange=exchange, supervised=True) as run:
        await exchange.wait_for(lambda: bool(exchange.requests))
        await exchange.clients[0].ws.send_message('{"result":null,"id":7}')
        await trio.sleep(15)
        assert len(run.stops) == 1
        assert run.feed.memory.record.confirmed == 0
    assert autojump_clock.current_time() < 60


@pytest.mark.parametrize(
    "manners",
    [each for each in EVERY if each.shutdown() is not None],
    ids=lambda manners: manners.name,
)
async def test_a_shutdown_after_each_acknowledgement_makes_for_ever_rarer_connections(
    autojump_clock: MockClock, manners: Manners
) -> None:
    exchange = StandIn(manners, clock=virtual_ms, shuts_down=True)
    symbol = first_symbol(manners)
    async with running(manners, exchange=exchange, supervised=True, patience=4000) as run:
        await exchange.subscribed()
        await exchange.trade(symbol, "7")
        await trio.sleep(10)
        assert exchange.accepted <= 6
        assert run.good(symbol)
        await trio.sleep(1190)
        assert exchange.connects_per(1) == 1
        assert exchange.accepted <= 40
        assert run.good(symbol)
        assert not run.stops
    assert autojump_clock.current_time() < 4000


@every_exchange
async def test_connections_that_break_at_once_stay_within_the_budget(
    autojump_clock: MockClock, manners: Manners
) -> None:
    exchange = StandIn(manners, clock=virtual_ms)
    async with running(manners, exchange=exchange, supervised=True, patience=8000) as run:
        while autojump_clock.current_time() < 1200:
            await exchange.subscribed()
            await trio.sleep(6)  # long enough that the supervisor forgets earlier crashes
            await exchange.break_off()
            await trio.sleep(0.1)
        assert exchange.connects_per(1) == 1
        assert 30 < exchange.connects_per(300) <= FEED_CONNECTS
        assert len(run.stops) > 50
    assert autojump_clock.current_time() < 8000


CLOSED = b"Content-Length: 0\r\n\r\n"
STATUSES = {
    "502 without a length": (b"502 Bad Gateway\r\nServer: x\r\n\r\n", 0),
    "403 cut short": (b"403 Forbidden\r\nContent-Length: 999\r\n\r\nab", 290),
    "429 that says when": (b"429 Too Many Requests\r\nRetry-After: 77\r\n" + CLOSED, 76),
    "418 that says when": (b"418 I'm a teapot\r\nretry-after: 900\r\n\r\n", 899),
    "429 without a word": (b"429 Too Many Requests\r\n\r\n", 59),
    "451": (b"451 Unavailable For Legal Reasons\r\n\r\n", 290),
    "503 that says when": (b"503 No\r\nRetry-After: 30\r\n\r\n", 29),
}


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        *((b"HTTP/1.1 " + answer, wait) for answer, wait in STATUSES.values()),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", 0),
        (b"\x15\x03\x01\x00\x02\x02\x16", 0),
    ],
    ids=[*STATUSES, "another protocol", "TLS"],
)
async def test_a_refused_upgrade_is_known_at_once_and_tried_again_when_it_may_help(
    autojump_clock: MockClock, answer: bytes, wait: float
) -> None:
    exchange = StandIn(BINANCE, clock=virtual_ms, upgrade=answer)
    async with running(BINANCE, exchange=exchange, supervised=True, patience=2000) as run:
        await trio.sleep(0.5)
        assert len(run.stops) == 1
        while len(exchange.connects) < 2:  # noqa: ASYNC110 - time is the subject, and virtual
            await trio.sleep(0.5)
        between = exchange.connects[1] - exchange.connects[0]
        assert max(wait, 0.99) <= between <= wait + 12
        exchange.upgrade = None
        await exchange.subscribed()
    assert autojump_clock.current_time() < 2000


async def test_rest_is_not_asked_again_before_it_may_be(autojump_clock: MockClock) -> None:
    answer = b"HTTP/1.1 418 I'm a teapot\r\nRetry-After: 500\r\nContent-Length: 0\r\n\r\n"
    exchange = StandIn(KRAKEN, clock=virtual_ms, rest_answer=answer)
    async with running(KRAKEN, exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        await trio.sleep(490)
        assert len(exchange.questions) == 1
        await exchange.trade("BTC-USD", "7")
        await trio.sleep(1)
        assert run.good("BTC-USD")
    assert autojump_clock.current_time() < 600


@pytest.mark.parametrize("raw", [False, True], ids=["wrapped", "raw"])
@pytest.mark.parametrize("micros", [False, True], ids=["milliseconds", "microseconds"])
async def test_every_documented_form_of_binances_stream_has_the_exchanges_own_time(
    autojump_clock: MockClock, *, raw: bool, micros: bool
) -> None:
    manners = Binance(raw=raw, micros=micros)
    exchange = StandIn(manners, clock=lambda: 1_672_515_782_136)
    async with running(manners, exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        await exchange.trade("BTC-USDT", "42000.10000000")
        await trio.sleep(1)
        assert run.newest["BTC-USDT"].time_ms == 1_672_515_782_136
        assert str(run.newest["BTC-USDT"].price) == "42000.10000000"
        assert not run.reports
        await exchange.shut_down()
        await trio.sleep(2)
        assert exchange.accepted == 2
    assert autojump_clock.current_time() < 20


async def test_a_coin_of_two_steps_may_move_one_without_being_held(
    autojump_clock: MockClock,
) -> None:
    exchange = StandIn(OKX, clock=virtual_ms)
    async with running(OKX, exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        for price in ("0.00000002", "0.00000003", "0.00000001", "0.00000002"):
            await exchange.trade("BTC-USDT", price)
            await trio.sleep(0.1)
            assert f"{run.newest['BTC-USDT'].price:f}" == price
        await exchange.trade("BTC-USDT", "0.00000200")
        await trio.sleep(0.1)
        assert f"{run.newest['BTC-USDT'].price:f}" == "0.00000002"
        assert run.reports == {"price_jump": 1}
    assert autojump_clock.current_time() < 20
