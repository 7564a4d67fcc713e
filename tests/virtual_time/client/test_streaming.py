"""An open stream: requests and answers, renewal, slow consumers, leaving."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from ticker.client import (
    AuthenticationError,
    Client,
    Message,
    RequestError,
    State,
    Status,
    Ticker,
    Welcome,
)
from ticker.client.disconnects import Retry
from ticker.client.limits import CONTROL_BACKLOG
from ticker.client.requests import Subscribe

if TYPE_CHECKING:
    from tests.virtual_time.client.conftest import Peer, Session

Upto = Callable[[Client, type[Message]], Awaitable[Message]]


async def test_messages_come_typed_with_exact_prices(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def one_tick(session: Session) -> None:
        await session.welcome()
        await session.websocket.send_message(
            '{"type":"ticker","data":[{"symbol":"PEPE-USD","price":0.000010230,"timestamp":17,'
            '"source":"coinbase"}],"seq":3,"time":17123,"snapshot":true}'
        )
        await session.serve()

    peer.plan(one_tick)
    async with peer.client() as client:
        ticker = await upto(client, Ticker)
    assert isinstance(ticker, Ticker)
    assert ticker.snapshot
    [price] = ticker.data
    assert (price.symbol, str(price.price)) == ("PEPE-USD", "0.000010230")
    assert (price.timestamp, price.source) == (17, "coinbase")


async def test_each_request_gets_its_own_answer_whatever_their_order(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def backwards(session: Session) -> None:
        await session.welcome()
        requests = [await session.hear(), await session.hear()]
        for request in reversed(requests):
            await session.send(
                type="subscribed", symbols=request["symbols"], interval_ms=10, id=request["id"]
            )
        await session.serve()

    peer.plan(backwards)
    async with peer.client() as client, trio.open_nursery() as nursery:

        async def ask(symbol: str) -> None:
            assert (await client.subscribe([symbol])).symbols == (symbol,)

        nursery.start_soon(ask, "BTC-USD")
        nursery.start_soon(ask, "ETH-USD")


async def test_a_refused_request_raises_and_leaves_the_stream_as_it_was(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def refusing(session: Session) -> None:
        await session.welcome()
        request = await session.hear()
        await session.send(type="error", code="unknown_symbol", message="no X-Y", id=request["id"])
        await session.close(1012)

    async def steady(session: Session) -> None:
        await session.welcome()
        await session.serve()

    peer.plan(refusing, steady)
    async with peer.client() as client:
        with pytest.raises(RequestError) as caught:
            await client.subscribe(["X-Y"])
        assert (caught.value.code, caught.value.message) == ("unknown_symbol", "no X-Y")
        await upto(client, Welcome)
        await upto(client, Welcome)
    assert peer.sessions[1].heard == []


async def test_a_refused_first_subscription_raises_on_entering(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def refusing(session: Session) -> None:
        await session.welcome()
        request = await session.hear()
        await session.send(type="error", code="unknown_symbol", message="no X-Y", id=request["id"])
        await session.serve()

    peer.plan(refusing)
    with pytest.raises(RequestError, match="unknown_symbol"):
        async with peer.client(wanted=Subscribe(("X-Y",))):
            pytest.fail("there is no stream")


async def test_a_request_that_is_never_answered_raises_after_its_deadline(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def deaf(session: Session) -> None:
        await session.welcome()
        for seq in range(1000):
            await session.tick(seq)
            await trio.sleep(1)

    peer.plan(deaf)
    async with peer.client() as client:
        began = trio.current_time()
        with pytest.raises(RequestError) as caught:
            await client.ping()
        assert trio.current_time() - began == pytest.approx(10)
        assert caught.value.code == "timeout"


async def test_a_request_whose_connection_goes_raises(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def going(session: Session) -> None:
        await session.welcome()
        await session.hear()
        await session.close(1011)

    peer.plan(going)
    async with peer.client() as client:
        with pytest.raises(RequestError) as caught:
            await client.unsubscribe()
        assert caught.value.code == "disconnected"


async def test_a_request_waits_for_the_stream_to_come_back(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def going(session: Session) -> None:
        await session.welcome()
        await session.close(1012)

    async def steady(session: Session) -> None:
        await session.welcome()
        await session.serve()

    peer.plan(going, steady)
    async with peer.client() as client:
        await trio.testing.wait_all_tasks_blocked()
        assert client.state is State.WAITING
        assert await client.ping() < 1


async def test_a_request_too_large_for_the_server_is_never_sent(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async with peer.client() as client:
        with pytest.raises(RequestError) as caught:
            await client.subscribe([f"COIN{number}-USD" for number in range(1000)])
        assert caught.value.code == "too_large"
        await client.ping()
    assert [request["type"] for request in peer.sessions[0].heard] == ["ping"]


async def test_one_symbol_in_place_of_a_sequence_is_refused(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async with peer.client() as client:
        with pytest.raises(TypeError):
            await client.subscribe("BTC-USD")


async def test_the_token_is_renewed_ahead_of_time_on_the_open_stream(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def pinging(session: Session) -> None:
        await session.welcome()
        while True:
            with trio.move_on_after(20):
                await session.serve()
            await session.websocket.ping()

    peer.exchanges.extend([100.0, 100.0, 3600.0])
    peer.plan(pinging)
    async with peer.client() as client:
        await trio.sleep(59)
        assert client.statistics().renewals == 0
        await trio.sleep(22)
        assert client.statistics().renewals == 1
        await trio.sleep(80)
        assert client.statistics().renewals == 2
    [session] = peer.sessions
    tokens = [request["token"] for request in session.heard if request["type"] == "auth"]
    assert tokens == ["token-2", "token-3"]


async def test_a_renewal_that_fails_for_now_is_tried_again_before_the_token_expires(
    autojump_clock: MockClock,
    peer: Peer,
) -> None:
    async def steady(session: Session) -> None:
        await session.welcome()
        await session.serve()

    peer.exchanges.extend([20.0, Retry("503"), Retry("503"), 3600.0])
    peer.plan(steady)
    async with peer.client() as client:
        await trio.sleep(19)
        assert client.statistics().renewals == 1
    assert len(peer.sessions) == 1


async def test_a_database_that_is_away_does_not_cost_the_stream(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def flaky(session: Session) -> None:
        await session.welcome()
        request = await session.hear()
        await session.send(type="error", code="unavailable", message="later", id=request["id"])
        await session.serve()

    peer.exchanges.extend([20.0])
    peer.plan(flaky)
    async with peer.client() as client:
        await trio.sleep(19)
        assert client.statistics().renewals == 1
    assert len(peer.sessions) == 1


async def test_a_key_revoked_before_the_renewal_ends_the_client(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.exchanges.extend([20.0, AuthenticationError("the key is revoked")])
    async with peer.client() as client:
        with pytest.raises(AuthenticationError, match="revoked"):
            async for _ in client:
                pass


async def test_a_slow_consumer_gets_the_newest_price_and_every_other_message_in_order(
    autojump_clock: MockClock,
    peer: Peer,
) -> None:
    async def fast(session: Session) -> None:
        await session.welcome()
        for seq in range(1, 1001):
            await session.tick(seq, 40000 + seq)
            if seq in {300, 600}:
                await session.send(type="status", state="stale" if seq == 300 else "live")
        await session.serve()

    peer.plan(fast)
    async with peer.client() as client:
        await trio.sleep(5)
        taken = [await anext(client) for _ in range(4)]
        counts = client.statistics()
    welcome, stale, live, ticker = taken
    assert isinstance(welcome, Welcome)
    assert isinstance(stale, Status)
    assert isinstance(live, Status)
    assert (stale.state, live.state) == ("stale", "live")
    assert isinstance(ticker, Ticker)
    assert (ticker.seq, ticker.data[0].price) == (1000, Decimal(41000))
    assert counts.conflated == 999
    assert counts.skipped_ticks == 0


async def test_a_consumer_that_takes_nothing_costs_a_bounded_memory(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def chatty(session: Session) -> None:
        await session.welcome()
        for number in range(CONTROL_BACKLOG + 50):
            await session.send(type="status", state="stale", since=number)
        await session.serve()

    peer.plan(chatty)
    async with peer.client() as client:
        await trio.sleep(5)
        assert client.statistics().dropped == 51  # the welcome, too
        first = await anext(client)
    assert isinstance(first, Status)
    assert first.since == 50


async def test_ticks_that_a_slow_link_skipped_are_counted(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def skipping(session: Session) -> None:
        await session.welcome()
        for seq in (5, 6, 9, 10):
            await session.tick(seq)
        await session.serve()

    peer.plan(skipping)
    async with peer.client() as client:
        await trio.sleep(1)
        assert client.statistics().skipped_ticks == 2


async def test_ticks_that_the_interval_leaves_out_are_not_counted_as_skipped(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def at_intervals(session: Session) -> None:
        await session.welcome()
        await session.answer()
        for seq in (5, 15, 25, 45):
            await session.tick(seq)
        await session.serve()

    peer.plan(at_intervals)
    async with peer.client(wanted=Subscribe(("BTC-USD",), 100)) as client:
        await trio.sleep(1)
        assert client.statistics().skipped_ticks == 10


async def test_the_latest_prices_are_kept_current_and_told_from_old_ones(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def going(session: Session) -> None:
        await session.welcome()
        for seq, price in enumerate((40000.0, 41000.5)):
            await session.tick(seq, price)
        await trio.sleep(5)
        await session.send(type="status", state="stale", source="simulated", since=17)
        await trio.sleep(5)
        await session.send(type="status", state="live", source="simulated", since=18)
        await trio.sleep(5)
        await trio.aclose_forcefully(session.stream)
        peer.accepting = False

    peer.plan(going)
    async with peer.client() as client:
        latest = client.latest
        live = []
        for _ in range(4):
            await trio.sleep(4.5)
            assert str(latest["BTC-USD"].price) == "41000.5"
            live.append(client.is_live("BTC-USD"))
        assert live == [True, False, True, False]
        assert not client.is_live("ETH-USD")


async def test_the_latest_prices_are_those_of_the_subscription(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def serving(session: Session) -> None:
        await session.welcome()
        await session.tick(1)
        await session.answer()
        record = {"symbol": "ETH-USD", "price": 2500.0, "timestamp": 1790000000}
        await session.send(type="ticker", data=[record], seq=2, time=1790000000123, snapshot=True)
        await session.answer()
        await session.serve()

    peer.plan(serving)
    async with peer.client() as client:
        await upto(client, Ticker)
        assert set(client.latest) == {"BTC-USD"}
        await client.subscribe(["ETH-USD"])
        await upto(client, Ticker)
        assert set(client.latest) == {"ETH-USD"}
        await client.unsubscribe()
        assert client.latest == {}


async def test_leaving_makes_the_closing_handshake_and_leaves_no_task_behind(
    autojump_clock: MockClock, peer: Peer
) -> None:
    codes = []

    async def noting(session: Session) -> None:
        await session.welcome()
        try:
            await session.serve()
        finally:
            closed = session.websocket.closed
            codes.append(closed and closed.code)

    peer.plan(noting)
    before = trio.lowlevel.current_statistics().tasks_living
    async with peer.client() as client:
        assert client.state is State.OPEN
        began = trio.current_time()
    assert trio.current_time() == began, "the server answered at once"
    await trio.testing.wait_all_tasks_blocked()
    assert client.statistics().state is State.CLOSED
    assert codes == [1000]
    assert trio.lowlevel.current_statistics().tasks_living == before
    with pytest.raises(trio.ClosedResourceError):
        await client.ping()
    gc.collect()  # a stream left open would warn, and a warning is an error


async def test_leaving_does_not_wait_long_for_a_server_that_sends_no_close_frame(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def rude(session: Session) -> None:
        await session.welcome()
        await trio.sleep(100)

    peer.plan(rude)
    async with peer.client():
        began = trio.current_time()
    assert trio.current_time() - began <= 1


async def test_the_blocks_own_exception_comes_out_as_it_is(
    autojump_clock: MockClock, peer: Peer
) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        async with peer.client():
            raise ZeroDivisionError
    assert caught.value.__context__ is None


async def test_cancelling_the_block_leaves_at_once(autojump_clock: MockClock, peer: Peer) -> None:
    with trio.move_on_after(5) as scope:
        async with peer.client() as client:
            async for _ in client:
                pass
    assert scope.cancelled_caught
    assert trio.current_time() - peer.attempts[0] == pytest.approx(5)


async def test_a_key_never_shows_in_what_can_be_printed(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async with peer.client(api_key="tk_canary") as client:
        seen = f"{client!r} {vars(client)!r} {client.statistics()!r}"
        assert "tk_canary" not in seen
        assert "token-1" not in seen
