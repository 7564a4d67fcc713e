"""What the client does in the modes `changes` and `every`, and with its place in them."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from ticker.client import (
    Client,
    Epoch,
    Message,
    Reconnected,
    RequestError,
    Resume,
    Subscribed,
    Ticker,
)
from ticker.client.limits import EVERY_FRAMES
from ticker.client.requests import Subscribe, subscription
from ticker.protocol.details import Mode

if TYPE_CHECKING:
    from tests.virtual_time.client.conftest import Peer, Script, Session

Upto = Callable[[Client, type[Message]], Awaitable[Message]]
SYMBOLS = ("BTC-USD", "ETH-USD")


def wanted(mode: Mode, resume: Resume | None = None) -> Subscribe:
    return subscription(SYMBOLS, None, mode, None, resume)


async def granted(session: Session, mode: Mode, epoch: str = "one", **more: Any) -> None:
    """Welcome, and grant the subscription of the handshake, or else of the first message."""
    await session.welcome()
    if not session.query:
        more["id"] = (await session.hear())["id"]
    await session.send(
        type="subscribed",
        symbols=SYMBOLS,
        interval_ms=10,
        mode=mode,
        detail="price",
        epoch=epoch,
        **more,
    )


async def frame(session: Session, seq: int, prev: int | None, **prices: int) -> None:
    data = [
        {"symbol": f"{base}-USD", "price": price, "timestamp": 17} for base, price in prices.items()
    ]
    more = {"snapshot": True} if prev is None else {"prev": prev}
    await session.send(type="ticker", data=data, seq=seq, time=17000, **more)


def ending(*steps: Callable[[Session], Awaitable[None]]) -> Script:
    """Carry out some steps, and end the connection."""

    async def script(session: Session) -> None:
        for step in steps:
            await step(session)
        await session.close(1011)

    return script


async def first_two(session: Session) -> None:
    await granted(session, "changes")
    await frame(session, 10, None, BTC=1, ETH=2)
    await frame(session, 12, 10, BTC=3)


def held(client: Client) -> dict[str, Decimal]:
    return {symbol: price.price for symbol, price in client.latest.items()}


def asked(session: Session) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(session.query).items()}


async def test_after_a_cut_the_handshake_goes_on_after_the_last_frame(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def resumed(session: Session) -> None:
        await granted(session, "changes", resumed=True)
        await frame(session, 15, 12, ETH=4)
        await session.serve()

    peer.plan(ending(first_two), resumed)
    async with peer.client(wanted=wanted("changes")) as client:
        assert await upto(client, Reconnected) == Reconnected(resumed=True)
        ticker = await upto(client, Ticker)
        assert isinstance(ticker, Ticker)
        assert (ticker.prev, ticker.seq, ticker.snapshot) == (12, 15, False)
        assert held(client) == {"BTC-USD": 3, "ETH-USD": 4}
        assert client.position == Resume("one", 15)
        assert client.statistics().skipped_ticks == 0
    assert asked(peer.sessions[0]) == {}
    assert peer.sessions[0].heard[0] == {
        "type": "subscribe",
        "symbols": list(SYMBOLS),
        "mode": "changes",
        "id": 1,
    }
    assert asked(peer.sessions[1]) == {
        "symbols": "BTC-USD,ETH-USD",
        "mode": "changes",
        "resume": "one:12",
    }
    assert not peer.sessions[1].heard


async def test_where_it_cannot_go_on_the_program_is_told_and_a_snapshot_follows(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def anew(session: Session) -> None:
        await granted(session, "changes", epoch="two", resumed=False)
        await frame(session, 3, None, ETH=9)
        await session.serve()

    peer.plan(ending(first_two), anew)
    async with peer.client(wanted=wanted("changes")) as client:
        assert await upto(client, Reconnected) == Reconnected(resumed=False)
        ticker = await upto(client, Ticker)
        assert isinstance(ticker, Ticker)
        assert ticker.snapshot
        assert held(client) == {"ETH-USD": 9}
        assert client.position == Resume("two", 3)


@pytest.mark.parametrize(("frames", "resume"), [(0, "one:12"), (1, "two:13")])
async def test_an_epoch_begins_with_its_first_frame(
    autojump_clock: MockClock, peer: Peer, upto: Upto, frames: int, resume: str
) -> None:
    # Between the two it is not known whether a snapshot was to come.
    async def new_epoch(session: Session) -> None:
        await session.send(type="epoch", epoch="two")
        for seq in range(13, 13 + frames):
            await frame(session, seq, seq - 1, ETH=5)

    async def resumed(session: Session) -> None:
        await granted(session, "changes", epoch="two", resumed=True)
        await session.serve()

    peer.plan(ending(first_two, new_epoch), resumed)
    async with peer.client(wanted=wanted("changes")) as client:
        assert await upto(client, Epoch) == Epoch(epoch="two")
        await upto(client, Reconnected)
    assert asked(peer.sessions[1])["resume"] == resume


async def test_a_frame_that_leaves_something_out_is_not_applied(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def gap(session: Session) -> None:
        await frame(session, 15, 14, BTC=9)

    async def anew(session: Session) -> None:
        await granted(session, "changes")
        await frame(session, 16, None, BTC=8, ETH=8)
        await session.serve()

    peer.plan(ending(first_two, gap), anew)
    async with peer.client(wanted=wanted("changes")) as client:
        assert await upto(client, Reconnected) == Reconnected(resumed=False)
        assert "left out" in (client.statistics().last_fault or "")
        ticker = await upto(client, Ticker)
        assert isinstance(ticker, Ticker)
        assert ticker.snapshot
        assert held(client) == {"BTC-USD": 8, "ETH-USD": 8}
    assert "resume" not in asked(peer.sessions[1])


async def test_a_slow_consumer_of_changes_gets_them_in_one(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    sent = trio.Event()

    async def three(session: Session) -> None:
        await granted(session, "changes")
        await frame(session, 10, None, BTC=1, ETH=2)
        await session.hear()
        await frame(session, 12, 10, BTC=3)
        await frame(session, 13, 12, ETH=4)
        await frame(session, 17, 13, BTC=5)
        sent.set()
        await session.serve()

    peer.plan(three)
    async with peer.client(wanted=wanted("changes")) as client:
        first = await upto(client, Ticker)
        assert isinstance(first, Ticker)
        assert first.snapshot
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.ping)
            await sent.wait()
            await trio.testing.wait_all_tasks_blocked()
            ticker = await upto(client, Ticker)
            nursery.cancel_scope.cancel()
        assert isinstance(ticker, Ticker)
        assert (ticker.prev, ticker.seq, ticker.snapshot) == (10, 17, False)
        assert {p.symbol: p.price for p in ticker.data} == {"BTC-USD": 5, "ETH-USD": 4}


async def test_a_slow_consumer_of_every_misses_no_tick(
    autojump_clock: MockClock, peer: Peer
) -> None:
    last = EVERY_FRAMES + 300

    async def from_(session: Session, first: int) -> None:
        for seq in range(first, last + 1):
            await frame(session, seq, seq - 1, BTC=seq)

    async def begin(session: Session) -> None:
        await granted(session, "every")
        await frame(session, 1, None, BTC=1, ETH=1)
        await from_(session, 2)
        await session.serve()

    async def go_on(session: Session) -> None:
        await granted(session, "every", resumed=True)
        await from_(session, int(asked(session)["resume"].removeprefix("one:")) + 1)
        await session.serve()

    peer.plan(begin, go_on)
    async with peer.client(wanted=wanted("every")) as client:
        await trio.sleep(2000)  # nothing is taken
        assert len(peer.sessions) == 1
        seen = []
        with trio.fail_after(1000):
            async for message in client:
                if isinstance(message, Ticker):
                    seen.append(message.seq)
                    if message.seq == last:
                        break
        assert seen == list(range(1, last + 1))
        assert client.statistics().conflated == 0
        assert "too slowly" in (client.statistics().last_fault or "")
    assert len(peer.sessions) == 2


async def test_a_server_that_passes_over_the_query_is_asked_by_message(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def deaf(session: Session) -> None:
        await session.welcome()
        await session.tick(20)  # of a subscription that was not asked for
        await session.serve()

    peer.plan(ending(first_two), deaf)
    async with peer.client(wanted=wanted("changes")) as client:
        await upto(client, Subscribed)
        await upto(client, Reconnected)
        assert held(client) == {"BTC-USD": 3, "ETH-USD": 2}
    assert peer.sessions[1].heard[0]["resume"] == {"epoch": "one", "seq": 12}


@pytest.mark.parametrize("status", [400, 403])
async def test_a_subscription_refused_in_the_handshake_is_asked_for_by_message(
    autojump_clock: MockClock, peer: Peer, upto: Upto, status: int
) -> None:
    async def refuse(session: Session) -> None:
        await session.handshake.reject(status, body=b'{"error":"no"}')

    async def tell(session: Session) -> None:
        await session.welcome()
        number = (await session.hear())["id"]
        await session.send(type="error", id=number, code="unknown_symbol", message="no such")
        await session.serve()

    peer.plan(ending(first_two), refuse, tell)
    async with peer.client(wanted=wanted("changes")) as client:
        with pytest.raises(RequestError) as caught:
            await upto(client, Reconnected)
        assert caught.value.code == "unknown_symbol"


async def test_a_program_goes_on_from_an_earlier_life(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def resumed(session: Session) -> None:
        await granted(session, "every", resumed=True)
        await frame(session, 8, 7, BTC=4)
        await session.serve()

    peer.plan(resumed)
    async with peer.client(wanted=wanted("every", Resume("one", 7))) as client:
        await upto(client, Ticker)
        assert client.position == Resume("one", 8)
    assert peer.sessions[0].heard[0]["resume"] == {"epoch": "one", "seq": 7}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mode": "all"}, "latest, changes, every"),
        ({"detail": "everything"}, "price, full"),
        ({"mode": "every", "interval_ms": 10}, "no interval_ms"),
        ({"resume": Resume("one", 7)}, "changes and every"),
    ],
    ids=["mode", "detail", "interval", "resume"],
)
def test_a_subscription_that_cannot_be_is_refused_at_once(
    arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        subscription(**arguments)


async def test_a_subscription_that_is_not_waited_for_is_the_one_that_goes_on(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    # The server's answer decides what is held, and so what a later handshake has to ask for.
    async def replaced(session: Session) -> None:
        await granted(session, "changes")
        await frame(session, 10, None, BTC=1, ETH=2)
        number = (await session.hear())["id"]
        await trio.sleep(1)
        answer = {"symbols": ["SOL-USD"], "interval_ms": 10, "detail": "price", "epoch": "one"}
        await session.send(type="subscribed", id=number, mode="every", **answer)
        await frame(session, 12, None, SOL=3)
        await frame(session, 13, 12, SOL=4)
        await session.close(1011)

    async def resumed(session: Session) -> None:
        await session.welcome()
        answer = {"symbols": ["SOL-USD"], "interval_ms": 10, "detail": "price", "epoch": "one"}
        await session.send(type="subscribed", mode="every", resumed=True, **answer)
        await frame(session, 15, 13, SOL=5)
        await session.serve()

    peer.plan(replaced, resumed)
    async with peer.client(wanted=wanted("changes")) as client:
        await upto(client, Ticker)
        with trio.move_on_after(0.5):
            await client.subscribe(["SOL-USD"], mode="every")
        seqs = []
        while (message := await anext(client)) != Reconnected(resumed=True):
            if isinstance(message, Ticker):
                seqs.append(message.seq)
        assert seqs == [12, 13]
        await upto(client, Ticker)
        assert held(client) == {"SOL-USD": 5}
    assert asked(peer.sessions[1]) == {
        "symbols": "SOL-USD",
        "mode": "every",
        "resume": "one:13",
    }
