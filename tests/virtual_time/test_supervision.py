"""Supervision in virtual time: restarts, pauses, and what is not contained."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from ticker.supervision import RestartPolicy, supervise


class Service:
    """A service that does one thing after the other, one in each life."""

    def __init__(self, *lives: Callable[[], Awaitable[None]]) -> None:
        self._lives = list(lives)
        self.began: list[float] = []
        self.stopped: list[str] = []
        self.restarts = 0

    async def run(self) -> None:
        self.began.append(trio.current_time())
        await self._lives.pop(0)()

    def restarting(self) -> None:
        self.restarts += 1

    async def supervised(self) -> None:
        await supervise(
            "service",
            self.run,
            RestartPolicy(),
            stopped=self.stopped.append,
            restarting=self.restarting,
            chance=lambda: 0.5,
        )


def crash_after(seconds: float, error: Exception | None = None) -> Callable[[], Awaitable[None]]:
    async def life() -> None:
        await trio.sleep(seconds)
        raise error or RuntimeError("crash")

    return life


async def end() -> None:
    await trio.lowlevel.checkpoint()


async def test_a_crashed_service_is_restarted_after_growing_pauses(
    autojump_clock: MockClock,
) -> None:
    service = Service(*[crash_after(0)] * 8, end)
    await service.supervised()
    pauses = [after - before for before, after in pairwise(service.began)]
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 64, 90])
    assert service.stopped == ["crashed"] * 8 + ["ended"]
    assert service.restarts == 8


async def test_a_long_life_forgets_earlier_crashes(autojump_clock: MockClock) -> None:
    service = Service(crash_after(0), crash_after(0), crash_after(5), crash_after(4.9), end)
    await service.supervised()
    assert service.began == pytest.approx([0, 1, 3, 3 + 5 + 1, 9 + 4.9 + 2])


async def test_a_service_that_ends_is_not_restarted(autojump_clock: MockClock) -> None:
    service = Service(end)
    await service.supervised()
    assert (service.stopped, service.restarts) == (["ended"], 0)


async def test_a_group_of_exceptions_is_one_crash(autojump_clock: MockClock) -> None:
    group = ExceptionGroup("two", [ValueError(), ExceptionGroup("deep", [KeyError()])])
    service = Service(crash_after(0, group), end)
    await service.supervised()
    assert service.stopped == ["crashed", "ended"]


@pytest.mark.parametrize("seconds", [0.5, 1.5])
async def test_cancellation_goes_through_in_life_and_in_pause(
    autojump_clock: MockClock, seconds: float
) -> None:
    service = Service(crash_after(1), end)
    with trio.move_on_after(seconds) as scope:
        await service.supervised()
    assert scope.cancelled_caught
    assert service.restarts == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_ends_a_program_is_not_contained(
    autojump_clock: MockClock, error: type[BaseException]
) -> None:
    async def life() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(error):
        await Service(life).supervised()


class PatientError(Exception):
    """A fault that knows when trying again would be of use."""

    retry_after = 30.0


async def test_a_fault_that_asks_to_wait_is_not_tried_again_before(
    autojump_clock: MockClock,
) -> None:
    service = Service(crash_after(0, PatientError()), crash_after(0), end)
    await service.supervised()
    assert service.began == pytest.approx([0, 30, 32])
