"""The hub: encoded once, offered to all, behind at no cost, and never twice."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.support.frames import FrameParser
from tests.support.made_up import SYMBOLS, quotes
from ticker import limits
from ticker.encodings.json import JSON
from ticker.market.book import Book
from ticker.market.hub import Hub
from ticker.market.subscription import Subscription

WALL_MS = 1_790_000_000_000


class Reader:
    """A subscriber that takes what a test lets it."""

    def __init__(self, room: float = float("inf")) -> None:
        self.room = room
        self.frames: list[bytes] = []
        self.fell_behind: list[Exception | None] = []
        self.fault: Exception | None = None

    def send_nowait(self, frame: bytes, /) -> None:
        if self.fault is not None:
            raise self.fault
        if self.room <= 0:
            raise trio.WouldBlock
        self.room -= 1
        self.frames.append(frame)

    def messages(self) -> list[tuple[int, bool]]:
        """Return the seq of every message, and whether it is a snapshot."""
        parsed = [frame.message for frame in FrameParser().feed(b"".join(self.frames))]
        return [(message["seq"], message.get("snapshot", False)) for message in parsed]


def make_hub() -> tuple[Book, Hub]:
    book = Book(SYMBOLS)
    book.apply(quotes(1, 2))
    return book, Hub(book, time_ms=WALL_MS, tick_seconds=0.01, log_seconds=30)


async def tick(hub: Hub) -> None:
    seq = hub.published.seq + 1
    await hub.publish(seq, WALL_MS + 10 * seq)


def subscribe(
    stack: ExitStack, hub: Hub, reader: Reader, every: int = 1, symbols: tuple[str, ...] = SYMBOLS
) -> Subscription:
    subscription = stack.enter_context(
        hub.subscribe(symbols, every, JSON, reader, reader.fell_behind.append)
    )
    subscription.resume()
    return subscription


async def test_the_first_frame_is_a_snapshot_made_now_and_each_tick_follows() -> None:
    _, hub = make_hub()
    reader = Reader()
    with ExitStack() as stack:
        await tick(hub)
        subscribe(stack, hub, reader)
        for _ in range(3):
            await tick(hub)
    assert reader.messages() == [(1, True), (2, False), (3, False), (4, False)]
    await tick(hub)
    assert len(reader.frames) == 4


async def test_a_frame_is_encoded_once_however_many_want_it() -> None:
    book, hub = make_hub()
    readers = [Reader() for _ in range(300)]
    with ExitStack() as stack:
        for reader in readers:
            subscribe(stack, hub, reader)
        before = hub.statistics().frames_encoded
        for price in (5, 6, 7):
            book.apply(quotes(price, price))
            await tick(hub)
        assert hub.statistics().frames_encoded == before + 3
        assert hub.statistics().topics == 1
        assert hub.statistics().frames_sent == 300 * 4
    assert all(reader.frames[-1] is readers[0].frames[-1] for reader in readers)
    assert hub.statistics().topics == hub.statistics().subscriptions == 0


async def test_topics_differ_by_symbols_and_interval() -> None:
    _, hub = make_hub()
    all_, one, slow = Reader(), Reader(), Reader()
    with ExitStack() as stack:
        subscribe(stack, hub, all_)
        subscribe(stack, hub, one, symbols=("ETH-USD",))
        subscribe(stack, hub, slow, every=3)
        assert hub.statistics().topics == 3
        for _ in range(7):
            await tick(hub)
    assert [seq for seq, _ in slow.messages()[1:]] == [3, 6]
    (parsed, *_) = FrameParser().feed(one.frames[-1])
    assert [entry["symbol"] for entry in parsed.message["data"]] == ["ETH-USD"]
    assert len(json.loads(FrameParser().feed(all_.frames[-1])[0].payload)["data"]) == 2


async def test_who_is_full_is_set_aside_and_comes_back_with_a_snapshot() -> None:
    _, hub = make_hub()
    reader, other = Reader(room=3), Reader()
    with ExitStack() as stack:
        subscription = subscribe(stack, hub, reader)
        subscribe(stack, hub, other)
        for _ in range(10):
            await tick(hub)
        assert reader.fell_behind == [None]
        assert hub.statistics().behind == 1
        assert not subscription.resume()
        reader.room = 100
        assert subscription.resume()
        assert hub.statistics().behind == 0
        assert subscription.resume()
        await tick(hub)
    assert reader.messages() == [(0, True), (1, False), (2, False), (10, True), (11, False)]
    assert [seq for seq, _ in other.messages()] == list(range(12))
    assert hub.statistics().behind == 0


async def test_a_seq_never_has_two_prices_whatever_the_book_holds_meanwhile() -> None:
    book, hub = make_hub()
    early, ready, behind = Reader(), Reader(), Reader(room=1)
    with ExitStack() as stack:
        subscribe(stack, hub, early)
        await tick(hub)
        subscribe(stack, hub, ready)
        subscription = subscribe(stack, hub, behind)
        await tick(hub)
        book.apply(quotes(7, 8))
        behind.room = 2
        assert subscription.resume()
        late = Reader()
        subscribe(stack, hub, late)
        assert [quote.price for quote in hub.published.quotes if quote] == [1, 2]
        await tick(hub)
    shown: dict[int, set[str]] = {}
    for reader in (early, ready, behind, late):
        for frame in FrameParser().feed(b"".join(reader.frames)):
            shown.setdefault(frame.message["seq"], set()).add(
                str([entry["price"] for entry in frame.message["data"]])
            )
    assert shown == {0: {"[]"}, 1: {"[1, 2]"}, 2: {"[1, 2]"}, 3: {"[7, 8]"}}


async def test_a_fault_of_one_subscriber_reaches_only_its_owner() -> None:
    _, hub = make_hub()
    broken, other = Reader(), Reader()
    with ExitStack() as stack:
        subscribe(stack, hub, broken)
        subscribe(stack, hub, other)
        broken.fault = ZeroDivisionError()
        await tick(hub)
        assert broken.fell_behind == [broken.fault]
        await tick(hub)
        assert broken.fell_behind == [broken.fault]
    assert len(other.frames) == 3


@pytest.mark.parametrize("leave", [None, ZeroDivisionError(), trio.WouldBlock()])
async def test_leaving_the_block_in_any_way_unsubscribes(leave: Exception | None) -> None:
    _, hub = make_hub()
    reader = Reader()
    with pytest.raises(type(leave)) if leave else ExitStack(), ExitStack() as stack:
        subscribe(stack, hub, reader)
        assert hub.statistics().subscriptions == 1
        if leave:
            raise leave
    assert hub.statistics().subscriptions == 0
    await tick(hub)
    assert len(reader.frames) == 1


async def test_cancellation_unsubscribes() -> None:
    _, hub = make_hub()
    with trio.CancelScope() as scope, ExitStack() as stack:
        subscribe(stack, hub, Reader())
        scope.cancel()
        await trio.sleep_forever()
    assert hub.statistics().subscriptions == 0


async def test_a_subscriber_that_leaves_during_the_fan_out_gets_nothing_more() -> None:
    _, hub = make_hub()
    readers = [Reader() for _ in range(3 * limits.FANOUT_SLICE_FRAMES)]
    with ExitStack() as stack:
        for reader in readers:
            subscribe(stack, hub, reader)

        async def leave() -> None:
            stack.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick, hub)
            nursery.start_soon(leave)
        assert {len(reader.frames) for reader in readers[: limits.FANOUT_SLICE_FRAMES]} <= {1, 2}
        assert all(len(reader.frames) == 1 for reader in readers[2 * limits.FANOUT_SLICE_FRAMES :])
        assert hub.statistics().subscriptions == 0


async def test_a_memory_channel_is_a_subscriber() -> None:
    _, hub = make_hub()
    send, receive = trio.open_memory_channel[bytes](1)
    behind: list[Exception | None] = []
    with hub.subscribe(SYMBOLS, 1, JSON, send, behind.append) as subscription:
        subscription.resume()
        await tick(hub)
        assert behind == [None]
        receive.receive_nowait()
        assert subscription.resume()
        (frame,) = FrameParser().feed(receive.receive_nowait())
        assert frame.message["seq"] == 1
        await receive.aclose()
        await tick(hub)
        assert isinstance(behind[-1], trio.BrokenResourceError)


async def test_others_get_their_turn_during_a_large_fan_out(autojump_clock: MockClock) -> None:
    _, hub = make_hub()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    with ExitStack() as stack:
        for _ in range(20 * limits.FANOUT_SLICE_FRAMES):
            subscribe(stack, hub, Reader())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await tick(hub)
            nursery.cancel_scope.cancel()
    assert turns >= 18


async def test_a_subscriber_that_comes_during_a_fan_out_gets_no_tick_twice() -> None:
    _, hub = make_hub()
    late = Reader()
    with ExitStack() as stack:

        async def come_late() -> None:
            subscribe(stack, hub, late)

        for _ in range(5 * limits.FANOUT_SLICE_FRAMES):
            subscribe(stack, hub, Reader())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick, hub)
            nursery.start_soon(come_late)
        await tick(hub)
    seqs = [seq for seq, _ in late.messages()]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == 2


STEPS = st.tuples(
    st.sampled_from(["tick", "quote", "fill", "drain", "leave", "join"]), st.integers(0, 3)
)


class Audience:
    """Four readers that come, stall, read on and leave as they are told."""

    def __init__(self) -> None:
        self.book, self.hub = make_hub()
        self.readers = [Reader() for _ in range(4)]
        self.held: dict[int, tuple[ExitStack, Subscription]] = {}

    def quote(self, number: int) -> None:
        self.book.apply(quotes(number + 1, 5))

    def fill(self, number: int) -> None:
        self.readers[number].room = 1

    def drain(self, number: int) -> None:
        self.readers[number].room = float("inf")
        if number in self.held:
            assert self.held[number][1].resume()

    def leave(self, number: int) -> None:
        if number in self.held:
            self.held.pop(number)[0].close()

    def join(self, number: int) -> None:
        self.leave(number)
        stack = ExitStack()
        reader = self.readers[number]
        self.held[number] = (stack, subscribe(stack, self.hub, reader, every=number % 2 + 1))

    def check(self) -> None:
        statistics = self.hub.statistics()
        assert statistics.subscriptions == len(self.held)
        assert statistics.behind == sum(found.behind for _, found in self.held.values())


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=60)
def test_any_order_of_events_keeps_every_subscriber_in_order(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        audience = Audience()
        for action, number in steps:
            if action == "tick":
                await tick(audience.hub)
            else:
                getattr(audience, action)(number)
            audience.check()
        for number, reader in enumerate(audience.readers):
            audience.leave(number)
            seqs = [seq for seq, _ in reader.messages()]
            assert seqs == sorted(seqs)
            ticks = [seq for seq, snapshot in reader.messages() if not snapshot]
            assert ticks == sorted(set(ticks))
        assert audience.hub.statistics().topics == 0

    trio.run(run)
