"""Accepting: many at once, and on through every error there is."""

from __future__ import annotations

import errno
import os
import socket
from typing import cast

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from ticker import limits
from ticker.server.accept import accept_all
from ticker.transport.socket_stream import SocketStream


class Knocked:
    """A listening socket that gives what a test put in."""

    def __init__(self, *events: int | str) -> None:
        self.events = list(events)
        self.closed = False
        self.left: list[socket.socket] = []

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_exc: object) -> None:
        self.closed = True
        for each in self.left:
            each.close()

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self.events:
            await trio.sleep_forever()

    def accept(self) -> tuple[socket.socket, None]:
        if not self.events:
            raise BlockingIOError
        event = self.events.pop(0)
        if isinstance(event, int):
            raise OSError(event, os.strerror(event))
        ours, theirs = socket.socketpair()
        self.left.append(theirs)
        return ours, None


@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EMFILE, errno.ENOMEM, errno.ENETDOWN])
async def test_an_error_of_one_connection_does_not_end_accepting(
    error: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    listening = Knocked("one", error, error, "two")
    served: list[SocketStream] = []

    async def serve(stream: SocketStream, _peer: str) -> None:
        served.append(stream)
        stream.abort()

    monkeypatch.setattr("trio.lowlevel.wait_readable", Knocked.readable)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            accept_all, cast("socket.socket", listening), SocketStream, nursery, serve, bool
        )
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert len(served) == 2
    assert listening.closed
    del autojump_clock


async def test_a_crowd_slows_it_down_also_one_that_comes_one_by_one(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    listening = Knocked("one")
    times: list[float] = []

    async def serve(stream: SocketStream, _peer: str) -> None:
        times.append(trio.current_time())
        stream.abort()
        if len(times) < 5:
            listening.events.append("the next")

    monkeypatch.setattr("trio.lowlevel.wait_readable", Knocked.readable)
    async with trio.open_nursery() as nursery:
        crowded = lambda: True  # noqa: E731 - as short as `bool` below
        nursery.start_soon(
            accept_all, cast("socket.socket", listening), SocketStream, nursery, serve, crowded
        )
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [time - times[0] for time in times] == pytest.approx(
        [number * limits.CROWD_PAUSE_SECONDS for number in range(5)]
    )
    del autojump_clock


async def test_a_rush_is_accepted_and_others_have_their_turn() -> None:
    count = 3 * limits.ACCEPT_BATCH
    served = 0

    async def serve(stream: SocketStream, _peer: str) -> None:
        nonlocal served
        served += 1
        try:
            await trio.sleep_forever()
        finally:
            stream.abort()

    listening = socket.create_server(("127.0.0.1", 0), backlog=count)
    listening.settimeout(0)
    knocking = [socket.create_connection(listening.getsockname()) for _ in range(count)]
    turns: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept_all, listening, SocketStream, nursery, serve, bool)
        with trio.fail_after(10):
            while served < count:
                turns.append(served)
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert max(b - a for a, b in zip(turns, [*turns[1:], served], strict=True)) <= 2 * (
        limits.ACCEPT_BATCH
    )
    assert listening.fileno() == -1
    for each in knocking:
        each.close()


async def test_a_crowd_that_says_nothing_slows_accepting_down_and_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    listening = Knocked(*["another"] * (3 * limits.ACCEPT_BATCH))
    came: list[float] = []

    async def serve(stream: SocketStream, _peer: str) -> None:
        came.append(trio.current_time())
        stream.close()

    monkeypatch.setattr("trio.lowlevel.wait_readable", Knocked.readable)
    async with trio.open_nursery() as nursery:
        crowd = cast("socket.socket", listening)
        nursery.start_soon(accept_all, crowd, SocketStream, nursery, serve, lambda: True)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    pause = limits.CROWD_PAUSE_SECONDS
    assert sorted(set(came)) == pytest.approx([0, pause, 2 * pause])
    del autojump_clock
