"""The supervisor in virtual time: starts, crashes, replacements and ends, of workers made up here.

What a real process makes of it is looked at in tests/cluster.
"""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.support.waiting import eventually
from ticker.exception_groups import leaves
from ticker.server.supervisor import Supervisor, WorkerStartError
from ticker.supervision import RestartPolicy

START, DRAIN, GRACE = 2.0, 1.0, 8.0
POLICY = RestartPolicy(initial=0.1, maximum=30.0, jitter=0.0, reset_after=10.0)


@attrs.define(eq=False)
class MadeUp:
    """A worker as its supervisor sees it.

    Attributes:
        began: when it was started.
        served_at: when it came to serve.
        retired: whether it was told to end, and whether a successor accepted by then.
        gone_at: when it had ended.
        status: what it ended with.
        drains: how many seconds it takes to end by itself; None for one that never does.
        replaces: whether it was told that another one serves until it does.
    """

    number: int
    starts: float
    drains: float | None
    replaces: bool
    began: float = attrs.field(factory=trio.current_time)
    served_at: float | None = None
    retired: bool | None = None
    retired_at: float | None = None
    gone_at: float | None = None
    status: int = 0
    _told: trio.Event = attrs.field(factory=trio.Event)
    _gone: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def watch(self, served: Callable[[], None]) -> int:
        try:
            with self._gone:
                await trio.sleep(self.starts)
                self.served_at = trio.current_time()
                served()
                await self._told.wait()
                await trio.sleep(float("inf") if self.drains is None else self.drains)
        finally:
            self.gone_at = trio.current_time()
        return self.status

    def retire(self, *, succeeded: bool = False) -> None:
        if self.retired is None:
            self.retired, self.retired_at = succeeded, trio.current_time()
        self._told.set()

    def kill(self) -> None:
        self.end(-signal.SIGKILL)

    def end(self, status: int) -> None:
        """End, for whatever reason."""
        self.status = status
        self._gone.cancel()


class Scene:
    """A supervisor of three, and all the workers that it ever started.

    Attributes:
        fails: the status with which a worker that starts from now on ends instead of serving.
        drains: how long those take to end.
        starts: how long a worker takes to serve, by its number, where it is not `START`.
    """

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.workers: list[MadeUp] = []
        self.fails: int | None = None
        self.drains: float | None = DRAIN
        self.starts: dict[int, float] = {}
        self.supervisor = Supervisor(self._start, sockets, POLICY, grace=GRACE)
        self.ended = trio.Event()

    async def _start(self, number: int, listening: socket.socket, *, replaces: bool) -> MadeUp:
        assert listening.fileno() != -1
        await trio.lowlevel.checkpoint()
        worker = MadeUp(number, self.starts.get(number, START), self.drains, replaces)
        self.workers.append(worker)
        if self.fails is not None:
            worker.end(self.fails)
        return worker

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self.supervisor.run(task_status=task_status)
        self.ended.set()

    @property
    def living(self) -> list[MadeUp]:
        return [each for each in self.workers if each.gone_at is None]

    def serving(self) -> list[int]:
        """Return the numbers of those that serve and were not told to end."""
        found = [
            each for each in self.living if each.served_at is not None and each.retired is None
        ]
        return sorted(each.number for each in found)

    def most_draining(self) -> int:
        """Return how many were ever about to end at once."""
        times = [(w.retired_at, w.gone_at) for w in self.workers if w.retired_at is not None]
        return max(sum(1 for a, b in times if a <= at < (b or at + 1)) for at, _ in times)


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [socket.socket() for _ in range(3)]
    yield made
    for each in made:
        each.close()


@asynccontextmanager
async def supervised(sockets: list[socket.socket]) -> AsyncIterator[Scene]:
    """Run a supervisor, all of whose workers serve, until the block is left."""
    scene = Scene(sockets)
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.run)
        assert scene.serving() == [1, 2, 3]
        yield scene
        nursery.cancel_scope.cancel()


async def test_a_worker_that_crashes_again_and_again_comes_back_after_growing_pauses(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        for _ in range(12):
            next(each for each in scene.living if each.number == 2).end(1)
            await trio.testing.wait_all_tasks_blocked()
            assert scene.serving() == [1, 3]
            await eventually(lambda: scene.serving() == [1, 2, 3], "all to serve", seconds=40)
    lives = [each for each in scene.workers if each.number == 2]
    pauses = [new.began - (old.gone_at or 0.0) for old, new in pairwise(lives)]
    doubled = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]
    assert pauses == pytest.approx(doubled)


async def test_a_crash_after_a_long_life_is_a_first_one(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        for _ in range(3):
            await trio.sleep(POLICY.reset_after)
            next(each for each in scene.living if each.number == 1).end(-signal.SIGSEGV)
            await trio.sleep(0.11)
            assert len(scene.living) == 3
            await trio.sleep(START)


async def test_a_worker_that_another_process_asked_to_end_is_followed_at_once(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        first = scene.workers[0]
        first.end(0)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.workers[-1].began == first.gone_at


async def test_a_worker_that_cannot_start_ends_all_of_them(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    scene = Scene(sockets)
    errors: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.run)
            await trio.sleep(START / 2)
            scene.workers[1].end(3)
    except* WorkerStartError as group:
        errors = list(leaves(group))
    (error,) = errors
    assert isinstance(error, WorkerStartError)
    assert error.status == 3
    assert not scene.living


async def test_a_worker_that_served_once_and_cannot_start_again_is_tried_again(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        scene.fails = 1
        next(each for each in scene.living if each.number == 3).end(-signal.SIGKILL)
        await trio.sleep(5)
        assert scene.serving() == [1, 2]
        scene.fails = None
        await trio.sleep(10)
        assert scene.serving() == [1, 2, 3]


async def test_sighup_replaces_one_after_the_other_each_by_one_that_serves(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(3 * (START + DRAIN) + 0.01)
        assert scene.serving() == [1, 2, 3]
        old, new = scene.workers[:3], scene.workers[3:]
    assert [each.retired for each in old] == [True] * 3
    assert [each.replaces for each in scene.workers] == [False] * 3 + [True] * 3
    by_number = {each.number: each for each in new}
    assert [each.retired_at for each in old] == [by_number[e.number].served_at for e in old]
    assert scene.most_draining() == 1
    assert scene.supervisor.status == 0


async def test_sighup_during_a_replacement_replaces_all_once_more(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(START + DRAIN + START)
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(6 * (START + DRAIN))
        assert scene.serving() == [1, 2, 3]
        assert len(scene.workers) == 9
        assert min(each.began for each in scene.living) >= START + 3 * (START + DRAIN)
    assert scene.most_draining() == 1


async def test_sighup_while_the_first_workers_start_waits_for_them(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    scene = Scene(sockets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(START / 2)
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(START / 4)
        assert len(scene.workers) == 3
        await trio.sleep(10)
        assert scene.serving() == [1, 2, 3]
        assert len(scene.living) == 3
        nursery.cancel_scope.cancel()
    assert scene.most_draining() == 1


@pytest.mark.parametrize("crashed", [1, 3])
async def test_a_worker_that_waits_to_be_restarted_is_replaced_by_one_worker_alone(
    autojump_clock: MockClock, sockets: list[socket.socket], crashed: int
) -> None:
    async with supervised(sockets) as scene:
        scene.fails = 1
        next(each for each in scene.living if each.number == crashed).end(1)
        await trio.sleep(5)  # several tries later
        scene.fails = None
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(60)
        assert scene.serving() == [1, 2, 3]
        assert len(scene.living) == 3


async def test_where_a_replacement_cannot_start_those_before_serve_on(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        scene.fails = 2
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(30)
        assert scene.living == scene.workers[:3]
        assert scene.serving() == [1, 2, 3]
        scene.fails = None
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(30)
        assert scene.serving() == [1, 2, 3]
        assert not {*scene.living} & {*scene.workers[:4]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_all_workers_and_the_service_with_success(
    autojump_clock: MockClock, sockets: list[socket.socket], number: signal.Signals
) -> None:
    async with supervised(sockets) as scene:
        signal.raise_signal(number)
        await scene.ended.wait()
        assert [each.retired for each in scene.workers] == [False] * 3
        assert {each.gone_at for each in scene.workers} == {START + DRAIN}
        assert scene.supervisor.status == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
@pytest.mark.parametrize("at", [START / 2, START + 1])
async def test_ctrl_c_before_all_serve_ends_it_as_interrupted_and_it_never_says_that_it_serves(
    autojump_clock: MockClock,
    sockets: list[socket.socket],
    at: float,
    number: signal.Signals,
    status: int,
) -> None:
    scene = Scene(sockets)
    slow = 2
    scene.starts[slow] = 2 * START
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(at)
        assert slow not in scene.serving()
        signal.raise_signal(number)
        await scene.ended.wait()
    assert not scene.living
    assert not scene.supervisor.serves
    assert scene.supervisor.status == status


async def test_a_worker_that_does_not_end_is_killed_and_the_service_fails(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        scene.workers[1].drains = None
        signal.raise_signal(signal.SIGTERM)
        await scene.ended.wait()
        assert trio.current_time() == START + GRACE
        assert scene.supervisor.status == 1


async def test_a_worker_that_had_to_be_killed_when_replaced_is_no_failure_of_the_service_later(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        scene.workers[0].drains = None
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(60)
        assert scene.workers[0].status == -signal.SIGKILL
        signal.raise_signal(signal.SIGTERM)
        await scene.ended.wait()
        assert scene.supervisor.status == 0


@pytest.mark.parametrize("after", [0.0, START / 2, START + DRAIN / 2, START + DRAIN + START / 2])
async def test_the_end_in_the_middle_of_a_replacement_leaves_no_worker(
    autojump_clock: MockClock, sockets: list[socket.socket], after: float
) -> None:
    async with supervised(sockets) as scene:
        signal.raise_signal(signal.SIGHUP)
        await trio.sleep(after)
        signal.raise_signal(signal.SIGTERM)
        count = len(scene.workers)
        await scene.ended.wait()
        assert not scene.living
        assert len(scene.workers) <= count + 1
        assert scene.supervisor.status == 0


@pytest.mark.parametrize("after", [0.0, START / 2])
async def test_the_end_before_the_workers_serve_is_no_failure(
    autojump_clock: MockClock, sockets: list[socket.socket], after: float
) -> None:
    scene = Scene(sockets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(after)
        signal.raise_signal(signal.SIGTERM)
    assert not scene.living
    assert scene.supervisor.status == 0


async def test_the_end_does_not_wait_for_a_worker_that_waits_to_be_restarted(
    autojump_clock: MockClock, sockets: list[socket.socket]
) -> None:
    async with supervised(sockets) as scene:
        scene.fails = 1
        scene.workers[0].end(1)
        await trio.sleep(5)
        asked = trio.current_time()
        signal.raise_signal(signal.SIGTERM)
        await scene.ended.wait()
        assert trio.current_time() - asked == DRAIN
        assert not scene.living
