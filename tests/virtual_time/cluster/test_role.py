"""Workers of one machine: one feeds, the others follow it tick by tick, and take over."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

import pytest
import trio
from trio.testing import MockClock

from tests.support.frames import TEXT
from tests.support.inmemory import Client, World, world
from tests.support.made_up import SYMBOLS, WALL, quotes
from tests.support.waiting import eventually
from ticker import limits
from ticker.cluster import unix_socket
from ticker.cluster.feeder_lock import FeederLock
from ticker.cluster.following import Following
from ticker.cluster.market_messages import (
    Changes,
    Conditions,
    Heartbeat,
    Hello,
    Keyframe,
    Message,
    Past,
    encode,
)
from ticker.cluster.mirror import GapError, Mirror
from ticker.cluster.relay import Relay
from ticker.cluster.role import RELAY_SOCKET, Role
from ticker.cluster.siblings import Siblings
from ticker.market.candles import STEPS
from ticker.market.epochs import Span
from ticker.market.followed import NO_FEEDER
from ticker.market.published import Row
from ticker.market.quote import Quote
from ticker.market.sources.spec import SourceSpec
from ticker.protocol.requests import Subscribe
from ticker.settings.model import Settings


@asynccontextmanager
async def worker(data_dir: Path, number: int) -> AsyncIterator[World]:
    with Siblings(data_dir, number) as siblings:
        async with world(siblings, data_dir=data_dir) as running:
            yield running


@asynccontextmanager
async def workers(data_dir: Path, count: int) -> AsyncIterator[list[World]]:
    """Run some, of which the first feeds."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(worker(data_dir, number + 1)) for number in range(count)
        ]


def feeding(running: World) -> bool:
    assert running.service.role is not None
    return running.service.role.leader.feeding


def same(*all_of_them: World) -> bool:
    """Whether all have published the same."""
    published = [each.market.hub.published for each in all_of_them]
    return (
        len({(p.epoch, p.seq, p.time_ms, tuple(p.quotes), tuple(p.days)) for p in published}) == 1
    )


async def level(*all_of_them: World) -> None:
    await eventually(lambda: same(*all_of_them), "all workers to be level")


async def prices(client: Client, mode: str, frames: int) -> list[dict[str, object]]:
    """Return the next messages of a stream, up to so many frames."""
    found: list[dict[str, object]] = []
    while sum(message["type"] == "ticker" for message in found) < frames:
        frame = await client.frame()
        assert frame is not None, mode
        if frame.opcode == TEXT:
            found.append(frame.message)
    return found


async def test_one_worker_feeds_and_the_others_publish_the_same(tmp_path: Path) -> None:
    async with workers(tmp_path, 3) as (first, second, third):
        assert [feeding(each) for each in (first, second, third)] == [True, False, False]
        for price in range(1, 20):
            # Two quotes of a symbol within one tick, of which bars know both.
            first.source.put.send_nowait(quotes(price * 7 % 5 + 1, price))
            first.source.put.send_nowait(quotes(price))
            await trio.sleep(0.013)
        newest = quotes(19)[0]
        await eventually(lambda: first.market.hub.published.get("BTC-USD") == newest, "the last")
        await level(first, second, third)
        assert second.market.hub.published.get("BTC-USD") == quotes(19)[0]
        assert second.source.lives == third.source.lives == 0
        bars = [
            list(
                each.market.book.candles("BTC-USD").bars(
                    STEPS["1s"], now_ms=int(WALL * 1000), begin=None, end=None, limit=None
                )
            )
            for each in (first, second, third)
        ]
        assert bars[0] == bars[1] == bars[2]
        assert bars[0][0].prices[2] == "1"


@pytest.mark.parametrize("mode", ["changes", "every"])
async def test_the_next_feeder_goes_on_without_a_loss_in_an_epoch_of_its_own(
    tmp_path: Path, mode: str
) -> None:
    async with workers(tmp_path, 3) as (first, second, third):
        asked = Subscribe(mode=mode)  # type: ignore[arg-type]
        async with second.client(asked=asked) as one, third.client(asked=asked) as two:
            before = [await prices(each, mode, 1) for each in (one, two)]
            epoch, seq = first.market.hub.published.epoch, first.market.hub.published.seq
            assert first.service.role is not None
            first.service.role.stop()
            await eventually(lambda: feeding(second) or feeding(third), "another feeder")
            await level(second, third)
            assert second.market.hub.published.epoch != epoch
            assert second.market.hub.published.seq >= seq
            for client, messages in zip((one, two), before, strict=True):
                last = messages[-1]["seq"]
                assert isinstance(last, int)
                told = False
                for message in await prices(client, mode, 3):
                    if message["type"] == "epoch":
                        assert message["epoch"] == second.market.hub.published.epoch
                        told = True
                    elif message["type"] == "ticker":
                        assert "snapshot" not in message
                        assert isinstance(message["prev"], int)
                        assert isinstance(message["seq"], int)
                        assert message["prev"] <= last < message["seq"]
                        last = message["seq"]
                while not told:
                    told = (await client.message())["type"] == "epoch"
            # Who comes from the epoch before is brought on by either of them.
            for each in (second, third):
                assert each.market.hub.resumable("changes", epoch, seq)
                assert not each.market.hub.resumable("changes", epoch, 10**9)


async def test_what_the_sources_are_is_known_to_every_worker(tmp_path: Path) -> None:
    async with workers(tmp_path, 2) as (first, second):
        await eventually(lambda: second.market.not_ready() is None, "a fresh follower")
        first.source.put.send_nowait(RuntimeError("crash"))
        await eventually(lambda: "crashed" in str(second.market.not_ready()), "the crash")
        assert second.market.status == first.market.status
        await eventually(lambda: second.market.not_ready() is None, "the next life", seconds=20)


async def test_a_follower_that_hears_nothing_calls_every_price_stale(tmp_path: Path) -> None:
    lock = FeederLock(tmp_path)
    async with workers(tmp_path, 2) as (first, second):
        await level(first, second)
        assert first.service.role is not None
        first.service.role.stop()
        # Something holds the lock and does nothing, as a process does that was stopped.
        while not lock.take() and not feeding(second):
            await trio.lowlevel.checkpoint()
        if feeding(second):
            pytest.skip("the follower was faster")
        await eventually(lambda: second.market.not_ready() is not None, "staleness")
        assert second.market.stale() == dict.fromkeys(SYMBOLS, NO_FEEDER)
        assert not second.engine.stands_still()
        lock.release()
        await eventually(lambda: feeding(second), "the follower's turn")
        await eventually(lambda: second.market.not_ready() is None, "fresh prices")


def mirror_of(running: World) -> Mirror:
    async def told() -> None:
        await running.context.sessions.tell_epoch()

    return Mirror(running.market, told)


def row(symbol: str, price: int, seq: int) -> Row:
    return Row(seq, seq, Quote(symbol, Decimal(price), 1000, 1000, "scripted"))


def changes(
    epoch: str, first: int, prev_epoch: str, prev: int, seq: int, price: int, *, term: int = 1
) -> Changes:
    quote = Quote("BTC-USD", Decimal(price), 1000, 1000, "scripted")
    return Changes(term, epoch, first, prev_epoch, prev, seq, seq, [quote], [])


@pytest.fixture
async def idle(tmp_path: Path) -> World:
    """A market that neither ticks nor follows by itself."""
    await trio.lowlevel.checkpoint()
    return World(Settings(source=(SourceSpec("scripted"),), data_dir=tmp_path))


KEYFRAME = Keyframe(1, 10, 10, [Span("a", 0)], [row("BTC-USD", 5, 8), row("ETH-USD", 6, 10)])


async def test_a_mirror_publishes_what_follows_and_refuses_all_else(idle: World) -> None:
    mirror, published = mirror_of(idle), idle.market.hub.published
    with pytest.raises(GapError):
        await mirror.apply([changes("a", 0, "a", 9, 10, 5)])
    await mirror.apply([KEYFRAME, changes("a", 0, "a", 10, 11, 7)])
    assert (published.epoch, published.seq) == ("a", 11)
    assert list(published.changed_since(9, "price")) == [0, 1]
    assert list(published.changed_since(10, "price")) == [0]
    await mirror.apply([changes("a", 0, "a", 10, 11, 7)])  # it was here already
    await mirror.apply([changes("b", 12, "a", 11, 12, 8)])
    assert (published.epoch, published.seq) == ("b", 12)
    assert [published.proves(*each) for each in (("a", 11), ("a", 12), ("b", 12), ("b", 11))] == [
        True,
        False,
        True,
        False,
    ]
    for refused in (
        changes("b", 12, "b", 13, 14, 1),  # something is missing
        changes("c", 13, "a", 12, 13, 1),  # the tick before was of another epoch there
        changes("c", 11, "a", 10, 12, 1),  # this number was given already
        Heartbeat(1, "b", 13),
    ):
        with pytest.raises(GapError):
            await mirror.apply([refused])
    assert (published.epoch, published.seq) == ("b", 12)


async def test_what_a_former_feeder_still_says_is_passed_over(idle: World) -> None:
    mirror, published = mirror_of(idle), idle.market.hub.published
    await mirror.apply([KEYFRAME, changes("b", 11, "a", 10, 11, 7, term=2)])
    await mirror.apply([changes("a", 0, "a", 10, 11, 9), changes("a", 0, "a", 11, 12, 9)])
    assert (published.epoch, published.seq) == ("b", 11)
    assert published.get("BTC-USD") == quotes_of("BTC-USD", 7)


def quotes_of(symbol: str, price: int) -> Quote:
    return Quote(symbol, Decimal(price), 1000, 1000, "scripted")


async def test_a_keyframe_never_takes_numbers_back(idle: World) -> None:
    mirror = mirror_of(idle)
    await mirror.apply([KEYFRAME, changes("a", 0, "a", 10, 11, 7)])
    with pytest.raises(GapError, match="behind"):
        await mirror.apply([Keyframe(2, 11, 11, [Span("a", 0), Span("b", 11)], KEYFRAME.rows)])
    assert idle.market.hub.published.seq == 11
    later = Keyframe(2, 12, 12, [Span("a", 0), Span("b", 11)], [row("BTC-USD", 5, 8)])
    await mirror.apply([later])
    assert idle.market.hub.published.get("ETH-USD") is None
    assert idle.market.hub.resumable("changes", "a", 10)
    assert not idle.market.hub.resumable("changes", "a", 11)


async def test_the_condition_of_the_sources_is_that_of_the_feeder(idle: World) -> None:
    mirror = mirror_of(idle)
    condition = idle.market.ingest.condition()
    await mirror.apply([Conditions(1, condition)])
    assert idle.market.condition() == condition


async def test_who_is_ahead_of_a_feeder_makes_it_go_on_beyond(tmp_path: Path) -> None:
    async with workers(tmp_path, 1) as (first,):
        assert first.service.role is not None
        leader, published = first.service.role.leader, first.market.hub.published
        ahead = published.seq + 1000
        leader.relay._greet(encode(Hello("unknown", ahead)))
        await eventually(lambda: published.seq > ahead, "a greater number")


async def test_a_feeder_that_resigns_hands_over_between_two_ticks(tmp_path: Path) -> None:
    lock = FeederLock(tmp_path)
    async with workers(tmp_path, 3) as all_of_them:
        first, second, third = all_of_them
        await level(*all_of_them)
        assert first.service.role is not None
        old = first.market.hub.published
        epoch = old.epoch

        async def look() -> NoReturn:
            """See that the lock is never free."""
            while True:
                assert not lock.take()
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await first.service.role.resign(1.0)
            await eventually(lambda: feeding(third), "the newest one's turn")
            nursery.cancel_scope.cancel()
        # The newest one has it.
        assert [feeding(each) for each in all_of_them] == [False, False, True]
        assert third.service.role is not None
        assert third.service.role.leader.term == 2
        await level(second, third)
        for each in (second, third):
            # It went on from the very last tick, and nobody was left out of it.
            assert each.market.hub.published.proves(epoch, old.seq)
            assert not each.market.hub.published.proves(epoch, old.seq + 1)
            assert each.market.hub.resumable("every", epoch, old.seq)


async def test_a_sibling_that_does_not_answer_holds_up_no_feeder_that_resigns(
    tmp_path: Path,
) -> None:
    async with workers(tmp_path, 2) as (first, second):
        await level(first, second)
        assert first.service.role is not None
        with Following(tmp_path / RELAY_SOCKET, trio.current_time, encode(Hello())):
            await eventually(lambda: relay_of(first).connected == 2, "both")
            await trio.sleep(0.1)
            began, seq = trio.current_time(), first.market.hub.published.seq
            await first.service.role.resign(1.0)
            assert 1.0 <= trio.current_time() - began < 10
            assert first.market.hub.published.seq > seq + 10  # it went on meanwhile
        await eventually(lambda: feeding(second), "another feeder")


async def test_a_feeder_that_ends_while_another_makes_ready_leaves_it_the_lock(
    tmp_path: Path,
) -> None:
    async with workers(tmp_path, 2) as (first, second):
        await level(first, second)
        assert first.service.role is not None
        assert await relay_of(first).find_successor() is not None
        first.service.role.stop()
        await eventually(lambda: feeding(second), "another feeder")
        assert lock_is_held(tmp_path)


def role_of(running: World) -> Role:
    assert running.service.role is not None
    return running.service.role


def relay_of(running: World) -> Relay:
    return role_of(running).leader.relay


def lock_is_held(data_dir: Path) -> bool:
    lock = FeederLock(data_dir)
    taken = lock.take()
    lock.release()
    return not taken


@asynccontextmanager
async def without_a_feeder(data_dir: Path) -> AsyncIterator[tuple[World, World]]:
    """Run a worker that heard a feeder until that one ended, and one that began after it.

    The lock is free, but the first of them does not come to take it, as on a machine with too much
    to do, until `patch.stopall`.
    """
    lock = FeederLock(data_dir)
    async with workers(data_dir, 2) as (feeder, knowing):
        await level(feeder, knowing)
        patch.object(role_of(knowing)._lock, "take", return_value=False).start()
        try:
            role_of(feeder)._lock.share(lambda held: lock.adopt(os.dup(held)))
            role_of(feeder).stop()
            with Siblings(data_dir, 3) as siblings:
                async with trio.open_nursery() as nursery:
                    source = (SourceSpec("scripted"),)
                    blank = World(Settings(source=source, data_dir=data_dir), siblings)
                    await nursery.start(blank.engine.run)
                    assert not role_of(blank).ready.is_set()
                    lock.release()
                    yield knowing, blank
                    nursery.cancel_scope.cancel()
        finally:
            patch.stopall()


async def test_a_worker_without_the_market_leaves_the_lead_to_a_sibling_that_has_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with without_a_feeder(tmp_path) as (knowing, blank):
        epoch, seq = knowing.market.hub.published.epoch, knowing.market.hub.published.seq
        await trio.sleep(1)
        assert not feeding(blank)
        patch.stopall()
        await eventually(lambda: feeding(knowing), "the one that has it")
        await level(knowing, blank)
        assert blank.market.hub.published.seq > seq
        assert blank.market.hub.resumable("changes", epoch, seq)
    assert autojump_clock.current_time() < 10


async def test_a_sibling_that_has_the_market_and_hangs_is_not_waited_for_for_ever(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with without_a_feeder(tmp_path) as (knowing, blank):
        seq, began = knowing.market.hub.published.seq, trio.current_time()
        await eventually(lambda: feeding(blank), "the one that has nothing")
        assert autojump_clock.current_time() - began > limits.WORKER_SILENT_SECONDS
        # Once the other one hears it, no number is given twice.
        await eventually(lambda: same(knowing, blank), "both")
        assert blank.market.hub.published.seq > seq


async def test_a_start_waits_for_a_past_that_comes_slowly(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async def tell_slowly() -> None:
        """Be a feeder with much to tell, and little time to do so."""
        with unix_socket.listen(tmp_path / RELAY_SOCKET, socket.SOCK_SEQPACKET) as listening:
            await trio.lowlevel.wait_readable(listening)
            with listening.accept()[0] as follower:
                parts: list[Message] = [Past(1, 0, [])] * 4
                for message in (*parts, KEYFRAME):
                    await trio.sleep(limits.RELAY_SILENT_SECONDS * 0.9)
                    follower.send(encode(message))
                await trio.sleep_forever()

    lock = FeederLock(tmp_path)
    assert lock.take()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell_slowly)
        with Siblings(tmp_path, 2) as siblings:
            settings = Settings(source=(SourceSpec("scripted"),), data_dir=tmp_path)
            late = World(settings, siblings)
            await nursery.start(late.engine.run)
            assert late.market.hub.resumable("changes", "a", 10)
            assert autojump_clock.current_time() > limits.FOLLOWING_SECONDS
            nursery.cancel_scope.cancel()
    lock.release()
