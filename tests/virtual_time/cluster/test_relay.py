"""The relay: whole messages in order, a keyframe for who was behind, and no old ticks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.support.waiting import eventually
from ticker import limits
from ticker.cluster.following import Following, RelayLostError, SleptError
from ticker.cluster.relay import Relay


class Feeder:
    """Publishes numbers; a keyframe is the newest of them."""

    def __init__(self) -> None:
        self.newest = 0
        self.padding = b""
        self.greeted: list[bytes | None] = []
        self.relay = Relay(self.greet)

    def greet(self, has: bytes | None) -> tuple[Sequence[bytes], bytes]:
        self.greeted.append(has)
        return [b"k%d" % self.newest], b"has %d" % self.newest

    def publish(self) -> None:
        self.newest += 1
        self.relay.publish(b"c%d" % self.newest + self.padding)


@asynccontextmanager
async def feeding(path: Path) -> AsyncIterator[Feeder]:
    async with trio.open_nursery() as nursery:
        feeder = Feeder()
        await nursery.start(feeder.relay.serve, path)
        yield feeder
        nursery.cancel_scope.cancel()


async def heard(path: Path, into: list[bytes]) -> None:
    with Following(path, trio.current_time, b"hello") as following:
        while True:
            into += await following.receive(0.1)


async def test_a_follower_gets_a_keyframe_and_then_every_message(tmp_path: Path) -> None:
    async with feeding(tmp_path / "feeder.sock") as feeder, trio.open_nursery() as nursery:
        feeder.publish()
        messages: list[bytes] = []
        nursery.start_soon(heard, tmp_path / "feeder.sock", messages)
        await eventually(lambda: messages == [b"k1"], "the keyframe")
        for _ in range(3):
            feeder.publish()
        await eventually(lambda: len(messages) == 4, "the changes")
        assert messages == [b"k1", b"c2", b"c3", b"c4"]
        nursery.cancel_scope.cancel()
    assert feeder.relay.connected == 0
    assert feeder.greeted == [b"hello"]


async def test_a_path_that_is_too_long_for_an_address_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    async with feeding(folder / "feeder.sock") as feeder, trio.open_nursery() as nursery:
        messages: list[bytes] = []
        nursery.start_soon(heard, folder / "feeder.sock", messages)
        await eventually(lambda: messages == [b"k0"], "the keyframe")
        assert feeder.relay.connected == 1
        nursery.cancel_scope.cancel()


async def test_one_that_is_behind_gets_a_keyframe_and_no_message_before_it(tmp_path: Path) -> None:
    path = tmp_path / "feeder.sock"
    async with feeding(path) as feeder:
        feeder.padding = bytes(10_000)
        with Following(path, trio.current_time, b"hello") as following:
            assert await following.receive(1) == [b"k0"]
            await trio.testing.wait_all_tasks_blocked()
            while not feeder.relay.behind:
                feeder.publish()
                await trio.lowlevel.checkpoint()
            messages: list[bytes] = []
            while not messages or messages[-1] != b"k%d" % feeder.newest:
                messages += await following.receive(1)
        numbers = [int(message.rstrip(b"\0")[1:]) for message in messages]
        assert numbers[:-1] == list(range(1, len(numbers)))
        assert numbers[-1] == feeder.newest > numbers[-2]


async def test_a_feeder_that_is_silent_or_gone_or_absent_is_lost(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "feeder.sock"
    async with feeding(path):
        with pytest.raises(RelayLostError, match="silent"):
            await heard(path, [])
        assert autojump_clock.current_time() == pytest.approx(limits.RELAY_SILENT_SECONDS, abs=0.1)
    with pytest.raises(RelayLostError, match="no feeder"):
        await heard(path, [])


async def test_the_end_of_a_feeder_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "feeder.sock"
    ended: list[str] = []

    async def until_lost(messages: list[bytes]) -> None:
        try:
            await heard(path, messages)
        except RelayLostError as error:
            ended.append(str(error))

    async with trio.open_nursery() as nursery:
        async with feeding(path):
            messages: list[bytes] = []
            nursery.start_soon(until_lost, messages)
            await eventually(lambda: bool(messages), "the keyframe")
        await eventually(lambda: ended == ["the feeder has gone"], "the end")


async def test_a_follower_that_has_slept_drops_what_it_missed(tmp_path: Path) -> None:
    path = tmp_path / "feeder.sock"
    skipped = 0.0

    def clock() -> float:
        return trio.current_time() + skipped

    clocked: Callable[[], float] = clock
    async with feeding(path) as feeder:
        following = Following(path, clocked, b"hello")
        assert await following.receive(1) == [b"k0"]
        await trio.testing.wait_all_tasks_blocked()
        feeder.publish()
        skipped = 30.0
        with following, pytest.raises(SleptError):
            await following.receive(1)


async def test_a_socket_that_a_killed_feeder_left_is_in_no_ones_way(tmp_path: Path) -> None:
    path = tmp_path / "feeder.sock"
    path.touch()
    async with feeding(path), trio.open_nursery() as nursery:
        messages: list[bytes] = []
        nursery.start_soon(heard, path, messages)
        await eventually(lambda: messages == [b"k0"], "the keyframe")
        assert path.stat().st_mode & 0o077 == 0
        nursery.cancel_scope.cancel()
