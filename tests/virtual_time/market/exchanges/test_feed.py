"""The life of a feed, against stand-ins for the exchanges in virtual time."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
import trio
from trio.testing import MockClock

from tests.exchange_standin import (
    BINANCE,
    BINANCE_US,
    COINBASE,
    EVERY,
    KRAKEN,
    Manners,
    Market,
    StandIn,
)
from tests.exchange_standin.running import (
    EPOCH_MS,
    PATIENCE_SECONDS,
    failing,
    first_symbol,
    quote_currency,
    running,
    virtual_ms,
)
from tests.support.captures import CAPTURES, with_captures
from ticker.limits import FEED_ANSWER_SECONDS, FEED_REPLACE_RETRY_SECONDS, FEED_SILENCE_SECONDS
from ticker.market.exchanges.feed_errors import FeedError
from ticker.market.sources import SourceConfigError
from ticker.market.sources.replay import parse_line

#: What a connection to Binance lives here, so that its day is not simulated second by second.
LIFETIME_SECONDS = 500

every_exchange = pytest.mark.parametrize("manners", EVERY, ids=lambda manners: manners.name)


@every_exchange
async def test_a_trade_becomes_a_quote_with_the_exact_price(
    autojump_clock: MockClock, manners: Manners
) -> None:
    symbol = first_symbol(manners)
    async with running(manners) as run:
        await run.exchange.subscribed()
        quote = await run.priced(symbol, "0.07210000")
        assert (quote.price, quote.source) == (Decimal("0.07210000"), manners.name)
        assert run.feed.symbols == (symbol,)
        assert quote.received_ms == pytest.approx(
            EPOCH_MS + autojump_clock.current_time() * 1000, abs=20
        )
        assert quote.time_ms == pytest.approx(quote.received_ms, abs=20)
        assert not run.reports


@every_exchange
async def test_each_symbol_is_subscribed_to_and_acknowledged(
    autojump_clock: MockClock, manners: Manners
) -> None:
    quote_in = quote_currency(manners)
    symbols = [f"{base}-{quote_in}" for base in ("BTC", "ETH", "SOL")]
    async with running(manners, *symbols) as run:
        await run.exchange.wait_for(
            lambda: any(sorted(c.symbols) == symbols for c in run.exchange.clients)
        )
        for symbol in symbols:
            await run.priced(symbol, "0.0725")
    assert autojump_clock.current_time() < FEED_ANSWER_SECONDS


async def test_what_is_asked_for_in_usd_is_quoted_in_usdt_at_binance(
    autojump_clock: MockClock,
) -> None:
    async with running(BINANCE, "BTC-USD", "BTC-USDT") as run:
        await run.exchange.subscribed()
        assert run.feed.symbols == ("BTC-USD", "BTC-USDT")
        await run.exchange.trade("BTC-USDT", "0.0721")
        async for batch in run.quotes:
            prices = {quote.symbol: str(quote.price) for quote in batch}
            if prices == {"BTC-USD": "0.0721", "BTC-USDT": "0.0721"}:
                break
        assert '"btcusdt@trade"' in run.exchange.requests[-1]
    assert autojump_clock.current_time() < 1


async def test_binance_has_a_price_before_the_first_trade(autojump_clock: MockClock) -> None:
    exchange = StandIn(BINANCE, clock=virtual_ms)
    exchange.markets["BTC-USDT"].price = "0.07200000"
    async with running(BINANCE, exchange=exchange) as run:
        assert (await run.until("BTC-USDT", "0.07200000")).symbol == "BTC-USDT"
    assert autojump_clock.current_time() < 3


@every_exchange
async def test_symbols_that_an_exchange_has_none_of_are_one_error_that_names_the_nearest(
    autojump_clock: MockClock, manners: Manners
) -> None:
    quote_in = quote_currency(manners)
    match = (
        rf"^{manners.name} does not have BTCC-{quote_in}; nearest: BTC-{quote_in}.*, "
        rf"nor ETHH-{quote_in}; nearest: ETH-{quote_in}[^\n]*$"
    )
    symbols = (f"BTCC-{quote_in}", f"ETHH-{quote_in}")
    async with failing(manners, *symbols, error=SourceConfigError, match=match):
        pass
    assert autojump_clock.current_time() < FEED_ANSWER_SECONDS


@every_exchange
async def test_no_acknowledgement_ends_the_feed(
    autojump_clock: MockClock, manners: Manners
) -> None:
    exchange = StandIn(manners)
    exchange.acknowledges = False
    # Coinbase ends a connection without a subscription after 5 s, before the answer is due.
    match = f"no answer to subscribing to {first_symbol(manners)}|closed with 1006"
    async with failing(
        manners,
        error=FeedError,
        match=match,
        exchange=exchange,
    ):
        pass
    assert autojump_clock.current_time() <= 2 * FEED_ANSWER_SECONDS


async def test_coinbase_is_subscribed_to_within_its_five_seconds(
    autojump_clock: MockClock,
) -> None:
    async with running(COINBASE) as run:
        await run.exchange.subscribed()
        assert autojump_clock.current_time() < 5


@pytest.mark.parametrize("manners", [COINBASE, KRAKEN], ids=lambda manners: manners.name)
async def test_silence_ends_the_feed(autojump_clock: MockClock, manners: Manners) -> None:
    async with failing(manners, error=FeedError, match="no heartbeat for 5 s") as run:
        await run.exchange.subscribed()
        await run.priced("BTC-USD", "5.25")
        run.exchange.beats = False
    assert autojump_clock.current_time() <= FEED_SILENCE_SECONDS + 1


async def test_binance_is_silent_when_a_ping_stays_unanswered(
    autojump_clock: MockClock,
) -> None:
    async with failing(BINANCE, error=FeedError, match="no heartbeat for 5 s") as run:
        await run.exchange.subscribed()
        quiet = 60
        await trio.sleep(quiet)  # pongs alone keep it alive
        assert run.exchange.clients
        run.exchange.mute = True
    assert quiet < autojump_clock.current_time() <= quiet + FEED_SILENCE_SECONDS + 1


async def test_prices_are_no_heartbeat_where_the_exchange_sends_heartbeats(
    autojump_clock: MockClock,
) -> None:
    async with failing(COINBASE, error=FeedError, match="no heartbeat") as run:
        await run.exchange.subscribed()
        run.exchange.beats = False
        while autojump_clock.current_time() < 2 * FEED_SILENCE_SECONDS:
            await run.exchange.trade("BTC-USD", "5.25")
            await trio.sleep(0.5)
    assert autojump_clock.current_time() <= FEED_SILENCE_SECONDS + 1


async def test_prices_are_a_sign_of_life_where_heartbeats_only_fill_silence(
    autojump_clock: MockClock,
) -> None:
    async with running(KRAKEN) as run:
        await run.exchange.subscribed()
        run.exchange.beats = False
        for _ in range(100):
            await run.priced("BTC-USD", "5.25")
            await trio.sleep(0.5)
    assert autojump_clock.current_time() >= 50


@every_exchange
async def test_a_quiet_symbol_of_a_live_feed_is_affirmed_and_so_never_stale(
    autojump_clock: MockClock, manners: Manners
) -> None:
    symbol = first_symbol(manners)
    async with running(manners) as run:
        await run.exchange.subscribed()
        first = await run.priced(symbol, "0.0721")
        ages = []
        for _ in range(10):
            quote = await run.until(symbol, "0.0721")
            assert quote.time_ms == first.time_ms
            ages.append(quote.received_ms)
    gaps = [after - before for before, after in pairwise(ages)]
    assert all(0 <= gap <= 2500 for gap in gaps)  # what comes with a price makes it no younger
    assert autojump_clock.current_time() > 5


async def test_a_price_is_not_affirmed_once_a_heartbeat_tells_of_a_trade_that_never_came(
    autojump_clock: MockClock,
) -> None:
    async with running(COINBASE) as run:
        await run.exchange.subscribed()
        await run.priced("BTC-USD", "5.25")
        await run.until("BTC-USD", "5.25")
        run.exchange.skip("BTC-USD")
        with trio.move_on_after(10):
            await trio.sleep(1.5)
            while True:
                await run.quotes.receive()
        assert run.reports["gap"] == 1
        assert run.quotes.statistics().current_buffer_used == 0
        await run.priced("BTC-USD", "5.26")
    assert autojump_clock.current_time() > 10


async def test_a_number_left_out_is_a_gap_and_one_that_comes_late_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    async with running(BINANCE, lifetime=LIFETIME_SECONDS) as run:
        await run.exchange.subscribed()
        await run.exchange.trade("BTC-USDT", "0.0721", 200)
        await run.exchange.trade("BTC-USDT", "0.0722", 203)
        await run.exchange.trade("BTC-USDT", "0.0729", 201)
        assert (await run.until("BTC-USDT", "0.0722")).price
        run.exchange.skip("BTC-USDT")
        await run.priced("BTC-USDT", "0.0723")
        assert run.reports == {"gap": 2, "out_of_order": 1}
    assert autojump_clock.current_time() < 5


BAD = {
    "no json": "{",
    "not an object": "[1,2]",
    "binary": b"\xff\xfe\x00",
    "a wrong type": '{"type":5,"channel":5,"stream":5}',
    "deep nesting": '{"x":' + "[" * 100_000,
}


@every_exchange
@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
async def test_a_malformed_message_is_counted_and_the_feed_goes_on(
    autojump_clock: MockClock, manners: Manners, raw: str | bytes
) -> None:
    async with running(manners) as run:
        await run.exchange.subscribed()
        await run.exchange.say(raw)
        await run.priced(first_symbol(manners), "0.0721")
        assert run.reports == {"bad_message": 1}
    assert autojump_clock.current_time() < 5


@every_exchange
@pytest.mark.parametrize("price", ["0", "-5", "1e999", "0e5"])
async def test_a_price_that_cannot_be_is_counted_and_not_passed_on(
    autojump_clock: MockClock, manners: Manners, price: str
) -> None:
    async with running(manners) as run:
        await run.exchange.subscribed()
        await run.priced(first_symbol(manners), "0.0721")
        await run.exchange.trade(first_symbol(manners), price)
        await run.priced(first_symbol(manners), "0.0722")
        assert run.reports == {"bad_message": 1} | (
            {"gap": 1} if manners in {BINANCE, BINANCE_US} else {}
        )
    assert autojump_clock.current_time() < 5


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "sNaN", "", "twelve"])
async def test_a_price_that_is_no_number_is_counted(autojump_clock: MockClock, price: str) -> None:
    async with running(COINBASE) as run:
        await run.exchange.subscribed()
        await run.exchange.trade("BTC-USD", price)
        await run.priced("BTC-USD", "0.0722")
        assert run.reports == {"bad_message": 1}
    assert autojump_clock.current_time() < 5


@pytest.mark.parametrize(
    ("manners", "raw"),
    [
        (COINBASE, '{"type":"news"}'),
        (KRAKEN, '{"channel":"news","data":[]}'),
        (BINANCE, '{"stream":"btcusdt@news","data":{}}'),
    ],
)
async def test_an_unknown_type_is_counted_and_the_feed_goes_on(
    autojump_clock: MockClock, manners: Manners, raw: str
) -> None:
    async with running(manners) as run:
        await run.exchange.subscribed()
        await run.exchange.say(raw)
        await run.priced(first_symbol(manners), "0.0721")
        assert run.reports == {"unknown_type": 1}
    assert autojump_clock.current_time() < 5


async def test_a_symbol_that_was_not_asked_for_is_counted(autojump_clock: MockClock) -> None:
    async with running(COINBASE) as run:
        await run.exchange.subscribed()
        await run.exchange.say(COINBASE.price(Market("ETH-USD", "5")))
        await run.priced("BTC-USD", "7")
        assert run.reports == {"unexpected_symbol": 1}
    assert autojump_clock.current_time() < 5


@every_exchange
async def test_a_flood_is_conflated_to_the_newest_price(
    autojump_clock: MockClock, manners: Manners
) -> None:
    flood = 2000
    async with running(manners) as run:
        await run.exchange.subscribed()
        for i in range(flood):
            await run.exchange.trade(first_symbol(manners), f"0.{7200 + i % 100}")
        await run.priced(first_symbol(manners), "0.7299")
        assert len(run.heard) > flood
    assert autojump_clock.current_time() < 5


@every_exchange
async def test_a_ping_of_the_exchange_is_answered(
    autojump_clock: MockClock, manners: Manners
) -> None:
    async with running(manners) as run:
        await run.exchange.subscribed()
        with trio.fail_after(5):
            await run.exchange.clients[-1].ws.ping(b"1665000000000")
    assert autojump_clock.current_time() < 5


async def test_the_tap_hears_every_message_as_it_came(autojump_clock: MockClock) -> None:
    async with running(COINBASE) as run:
        await run.exchange.subscribed()
        await run.exchange.say('{ "odd":  1 }')
        await run.priced("BTC-USD", "7")
        assert '{ "odd":  1 }' in run.heard
    assert autojump_clock.current_time() < 5


@every_exchange
async def test_a_close_frame_of_the_exchange_ends_the_feed(
    autojump_clock: MockClock, manners: Manners
) -> None:
    async with failing(
        manners, error=FeedError, match="exchange: closed with 1001 maintenance"
    ) as run:
        await run.exchange.subscribed()
        await run.exchange.close(1001, "maintenance")
    assert autojump_clock.current_time() < 5


@every_exchange
async def test_a_broken_connection_ends_the_feed(
    autojump_clock: MockClock, manners: Manners
) -> None:
    async with failing(manners, error=FeedError, match="^exchange: ") as run:
        await run.exchange.subscribed()
        await run.exchange.break_off()
    assert autojump_clock.current_time() < 5


@pytest.mark.parametrize("system", ["maintenance", "cancel_only"])
async def test_while_nothing_is_traded_at_kraken_every_symbol_says_so(
    autojump_clock: MockClock, system: str
) -> None:
    async with running(KRAKEN, "BTC-USD", "ETH-USD", supervised=True) as run:
        await run.exchange.subscribed()
        await run.exchange.trade("BTC-USD", "7")
        await run.exchange.trade("ETH-USD", "8")
        await trio.sleep(5)
        assert run.good("BTC-USD")
        await run.exchange.announce(system)
        await trio.sleep(20)
        assert run.reasons == dict.fromkeys(["BTC-USD", "ETH-USD"], system.replace("_", " "))
        assert run.age("BTC-USD") > 15
        await run.exchange.announce("online")
        await trio.sleep(10)
        assert not run.reasons
        assert run.good("BTC-USD")
        assert run.good("ETH-USD")
        assert run.exchange.accepted == 1
    assert autojump_clock.current_time() < 60


async def test_a_feed_that_begins_during_maintenance_waits_for_its_end(
    autojump_clock: MockClock,
) -> None:
    exchange = StandIn(KRAKEN, clock=virtual_ms, system="maintenance", acknowledges=False)
    exchange.markets["BTC-USD"].price = "7"
    async with running(KRAKEN, exchange=exchange, supervised=True) as run:
        await trio.sleep(60)
        assert run.reasons == {"BTC-USD": "maintenance"}
        assert len(exchange.connects) <= 3
        exchange.acknowledges = True
        await exchange.announce("online")
        await trio.sleep(40)
        assert run.good("BTC-USD")
    assert autojump_clock.current_time() > 60


async def test_a_feed_starts_again_after_a_fault(autojump_clock: MockClock) -> None:
    exchange = StandIn(COINBASE)
    async with failing(COINBASE, error=FeedError, match="closed", exchange=exchange):
        await exchange.subscribed()
        await exchange.close(1012, "restart")
    async with running(COINBASE, exchange=exchange) as run:
        await exchange.subscribed()
        await run.priced("BTC-USD", "7")
    assert exchange.accepted == 2
    assert autojump_clock.current_time() < 5


async def trade_every_second(exchange: StandIn, seconds: float) -> None:
    """Let numbered trades happen that both an old and a new connection are told of."""
    until = trio.current_time() + seconds
    while trio.current_time() < until:
        await exchange.trade("BTC-USDT", "0.0721")
        await trio.sleep(1)


async def test_binance_is_replaced_before_its_24_hours_without_missing_a_trade(
    autojump_clock: MockClock,
) -> None:
    async with running(BINANCE, lifetime=LIFETIME_SECONDS) as run, trio.open_nursery() as nursery:
        await run.exchange.subscribed()
        before = run.exchange.accepted
        await trio.sleep(LIFETIME_SECONDS - 30)
        assert run.exchange.accepted == before
        nursery.start_soon(run.drain)
        await trade_every_second(run.exchange, 60)
        assert run.exchange.accepted == before + 1
        await run.exchange.wait_for(lambda: True)
        assert len(run.exchange.clients) == 1
        assert not run.reports
        nursery.cancel_scope.cancel()
    assert autojump_clock.current_time() < PATIENCE_SECONDS


@pytest.mark.parametrize(
    "raw",
    [
        '{"e":"serverShutdown","E":1770123456789}',
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
async def test_binance_is_replaced_when_it_says_that_it_shuts_down(
    autojump_clock: MockClock, raw: str
) -> None:
    async with running(BINANCE, lifetime=LIFETIME_SECONDS) as run, trio.open_nursery() as nursery:
        await run.exchange.subscribed()
        before = run.exchange.accepted
        nursery.start_soon(run.drain)
        await run.exchange.say(raw)
        await trade_every_second(run.exchange, 10)
        assert run.exchange.accepted == before + 1
        assert len(run.exchange.clients) == 1
        assert not run.reports
        nursery.cancel_scope.cancel()
    assert autojump_clock.current_time() < 20


async def test_a_replacement_that_fails_is_tried_again_while_the_old_connection_serves(
    autojump_clock: MockClock,
) -> None:
    async with running(BINANCE, lifetime=LIFETIME_SECONDS) as run, trio.open_nursery() as nursery:
        await run.exchange.subscribed()
        before = run.exchange.accepted
        nursery.start_soon(run.drain)
        run.refused = True
        await trio.sleep(LIFETIME_SECONDS + 1.5 * FEED_REPLACE_RETRY_SECONDS)
        assert run.reports["replacement_failed"] == 2
        assert run.exchange.accepted == before
        run.refused = False
        await trio.sleep(FEED_REPLACE_RETRY_SECONDS)
        assert run.exchange.accepted == before + 1
        nursery.cancel_scope.cancel()
    assert autojump_clock.current_time() < PATIENCE_SECONDS


async def test_a_connection_closed_at_its_limit_ends_the_feed_like_any_other(
    autojump_clock: MockClock,
) -> None:
    async with failing(BINANCE, error=FeedError, match="closed with 1008") as run:
        await run.exchange.subscribed()
        run.refused = True
        with trio.move_on_after(2 * LIFETIME_SECONDS - 100):
            await run.drain()
        await run.exchange.close(1008, "24 hours")
    assert autojump_clock.current_time() < PATIENCE_SECONDS


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"SSH-2.0-OpenSSH_9.2p1\r\n"],
    ids=["mute", "status", "no http"],
)
@every_exchange
async def test_a_catalogue_that_cannot_be_had_is_reported_and_keeps_no_price_back(
    autojump_clock: MockClock, manners: Manners, answer: bytes
) -> None:
    exchange = StandIn(manners, clock=virtual_ms, rest_answer=answer)
    async with running(manners, exchange=exchange) as run:
        await exchange.subscribed()
        await run.priced(first_symbol(manners), "7")
        assert autojump_clock.current_time() < 1
        await trio.sleep(FEED_ANSWER_SECONDS + 5)
        assert run.reports["no_catalogue"] >= 1
        await run.priced(first_symbol(manners), "8")
    assert autojump_clock.current_time() < 2 * FEED_ANSWER_SECONDS


async def test_an_empty_catalogue_tells_nothing_of_any_symbol(autojump_clock: MockClock) -> None:
    exchange = StandIn(BINANCE, clock=virtual_ms, unlisted=True)
    async with running(BINANCE, exchange=exchange, supervised=True) as run:
        await exchange.subscribed()
        await exchange.trade("BTC-USDT", "7")
        await trio.sleep(10)
        assert run.reports["no_catalogue"] >= 1
        assert run.good("BTC-USDT")
    assert autojump_clock.current_time() < 60


@with_captures
@pytest.mark.parametrize(
    ("manners", "prices", "unneeded"),
    [(COINBASE, 107, 107), (BINANCE, 86, 2)],
    ids=["coinbase", "binance"],
)
async def test_a_recorded_half_minute_of_an_exchange_becomes_its_prices(
    autojump_clock: MockClock, manners: Manners, prices: int, unneeded: int
) -> None:
    recorded = [
        (
            *parse_line(line),
            bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["message"]),
        )
        for line in (CAPTURES / f"{manners.name}.jsonl").read_bytes().splitlines()
    ]
    last = {price.symbol: str(price.price) for _, seen, _ in recorded for price in seen}
    assert sum(len(seen) for _, seen, _ in recorded) == prices
    async with running(manners, *last) as run:
        await run.exchange.wait_for(
            lambda: any(len(client.symbols) == len(last) for client in run.exchange.clients)
        )
        shown: dict[str, str] = {}
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _play() -> None:
                for _, _, message in recorded:
                    if b'"subscriptions"' not in message:
                        await run.exchange.say(message.decode())

            async for batch in run.quotes:
                shown.update((quote.symbol, str(quote.price)) for quote in batch)
                if shown == last:
                    break
        assert run.reports["unknown_type"] == unneeded
        assert not set(run.reports) - {"unknown_type", "price_jump"}
    assert autojump_clock.current_time() < 60


async def test_nothing_is_left_of_a_feed_that_was_cancelled(autojump_clock: MockClock) -> None:
    async with running(COINBASE) as run:
        await run.exchange.subscribed()
        await run.priced("BTC-USD", "7")
    assert run.exchange.clients == []
    assert autojump_clock.current_time() < 5
