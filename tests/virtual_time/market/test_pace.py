"""Both paces: on the grid, and honest about what they missed."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from unittest.mock import patch

import pytest
import trio
from trio.testing import MockClock

from ticker.market.pace import Pace, SleepingPace
from ticker.transport.kernel_timer import KernelPace, open_pace

INTERVAL = 0.002
#: What a busy machine may add to any wait.
SLACK_SECONDS = 10

both = pytest.mark.parametrize("begin", [SleepingPace, KernelPace])


def spin(seconds: float) -> None:
    """Keep the loop busy."""
    end = trio.current_time() + seconds
    while trio.current_time() < end:
        pass


@both
async def test_turns_are_on_a_grid_that_never_drifts(begin: Callable[[float], Pace]) -> None:
    began = trio.current_time()
    with closing(begin(INTERVAL)) as pace, trio.fail_after(SLACK_SECONDS):
        turns = 0
        for _ in range(20):
            turns += 1 + await pace.next_turn()
            assert trio.current_time() - began >= turns * INTERVAL - 1e-4


@both
async def test_turns_that_passed_are_told_and_the_last_is_taken_at_once(
    begin: Callable[[float], Pace],
) -> None:
    with closing(begin(INTERVAL)) as pace, trio.fail_after(SLACK_SECONDS):
        spin(5.5 * INTERVAL)
        assert await pace.next_turn() >= 4
        spin(1.1 * INTERVAL)
        assert await pace.next_turn() >= 0


@both
async def test_waiting_for_a_turn_can_be_cancelled(begin: Callable[[float], Pace]) -> None:
    with closing(begin(3600)) as pace:
        with trio.move_on_after(0) as scope:
            await pace.next_turn()
        assert scope.cancelled_caught


async def test_a_sleeping_pace_goes_by_a_clock_that_is_not_the_systems(
    autojump_clock: MockClock,
) -> None:
    pace = SleepingPace(60)
    for turn in range(1, 4):
        assert await pace.next_turn() == 0
        assert trio.current_time() == 60 * turn
    await trio.sleep(150)
    assert await pace.next_turn() == 1
    assert trio.current_time() == 180 + 150
    assert await pace.next_turn() == 0
    assert trio.current_time() == 360


def test_a_timer_is_given_back() -> None:
    pace = KernelPace(1)
    descriptor = pace._descriptor
    os.fstat(descriptor)
    pace.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


async def test_where_the_system_has_no_timer_its_clock_serves() -> None:
    with closing(open_pace(1)) as pace:
        assert isinstance(pace, KernelPace)
    with patch("sys.platform", "other"):
        assert isinstance(open_pace(1), SleepingPace)
