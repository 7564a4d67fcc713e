"""The pace at which a crowd gets through, beside the ticks."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.inmemory import World
from ticker import limits
from ticker.pacing import Pacer

TICK = 0.01


@attrs.define
class Ticks:
    """What a hub tells of its ticks."""

    offering: bool = False
    offered_at: float = -1000.0


class Turns(trio.abc.Instrument):
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - its signature
        self.count += 1


@attrs.define
class Crowd:
    """Tasks that want to get through, and when they did."""

    pacer: Pacer
    turns: Turns = attrs.field(factory=Turns)
    passed: list[tuple[int, int, float]] = attrs.field(factory=list)

    async def come(self, number: int) -> None:
        await self.pacer.turn()
        self.passed.append((number, self.turns.count, trio.current_time()))


@pytest.fixture
async def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
async def crowd(ticks: Ticks) -> AsyncIterator[Crowd]:
    crowd = Crowd(Pacer(ticks, TICK))
    trio.lowlevel.add_instrument(crowd.turns)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.pacer.run)
        yield crowd
        nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(crowd.turns)


async def test_some_pass_at_once(autojump_clock: MockClock, crowd: Crowd) -> None:
    for number in range(limits.PACE_FEW):
        await crowd.come(number)
    assert len({turn for _, turn, _ in crowd.passed}) == 1


async def test_a_crowd_passes_in_its_order_and_a_few_in_each_turn_of_the_loop(
    autojump_clock: MockClock, crowd: Crowd
) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(crowd.come, number)
    waited = [number for number, _, _ in crowd.passed]
    assert sorted(waited) == list(range(1000))
    in_turns = Counter(turn for _, turn, _ in crowd.passed)
    assert max(in_turns.values()) <= limits.ACCEPT_BATCH


async def test_none_but_a_few_pass_while_a_tick_is_on_its_way(
    autojump_clock: MockClock, crowd: Crowd, ticks: Ticks
) -> None:
    ticks.offering, ticks.offered_at = True, trio.current_time()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(5 * limits.PACE_FEW):
            nursery.start_soon(crowd.come, number)
    times = sorted(time - began for _, _, time in crowd.passed)
    assert times[limits.PACE_FEW - 1] == 0
    # However long ticks take, the last of a crowd gets through.
    for group in range(1, 5):
        earliest = (group - 1) * limits.PACE_SECONDS
        assert times[limits.PACE_FEW * group] >= earliest
    assert times[-1] <= 5 * (limits.PACE_SECONDS + limits.PACE_LOOK_SECONDS)


async def test_what_is_left_until_the_next_tick_says_how_many_pass(
    autojump_clock: MockClock, crowd: Crowd, ticks: Ticks
) -> None:
    async def come() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(4 * limits.PACE_FEW):
                nursery.start_soon(crowd.come, number)

    most = int(limits.PACE_FEW * 1.5)
    ticks.offered_at = trio.current_time() - TICK + most * limits.PACE_EACH_SECONDS
    await come()
    in_turns = Counter(turn for _, turn, _ in crowd.passed)
    assert limits.PACE_FEW < max(in_turns.values()) <= most + 1


async def test_no_more_are_let_in_while_many_wait(
    autojump_clock: MockClock, crowd: Crowd, ticks: Ticks
) -> None:
    ticks.offering = True
    roomy = False

    async def come_in() -> None:
        nonlocal roomy
        await crowd.pacer.wait_room()
        roomy = True

    async with trio.open_nursery() as nursery:
        for number in range(3 * limits.ACCEPT_BATCH):
            nursery.start_soon(crowd.come, number)
        await wait_all_tasks_blocked()
        nursery.start_soon(come_in)
        await trio.sleep(limits.PACE_SECONDS)
        assert not roomy
        ticks.offering = False
    assert roomy


async def test_many_that_hang_up_at_once_do_not_end_in_one_turn(
    autojump_clock: MockClock, running: World
) -> None:
    turns = Turns()
    ends: list[int] = []
    clients = []
    async with trio.open_nursery() as nursery:
        for _ in range(10 * limits.ACCEPT_BATCH):
            client = await nursery.start(_stay, running)
            clients.append(client)
        trio.lowlevel.add_instrument(turns)
        leave, sessions = running.engine._sessions.leave, running.engine._sessions

        def noted(session: object) -> None:
            ends.append(turns.count)
            leave(session)  # type: ignore[arg-type]

        sessions.leave = noted  # type: ignore[method-assign]
        for client in clients:
            client.set()
    trio.lowlevel.remove_instrument(turns)
    assert len(ends) == len(clients)
    assert max(Counter(ends).values()) <= limits.ACCEPT_BATCH
    assert running.engine.statistics().hub.subscriptions == 0


async def _stay(running: World, task_status: trio.TaskStatus[trio.Event]) -> None:
    leaving = trio.Event()
    async with running.client() as client:
        await client.until("ticker")
        task_status.started(leaving)
        await leaving.wait()
