"""The register of connections: who goes first where there is no room, and what a drain awaits."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from functools import partial

import trio
import trio.testing
from trio.testing import MockClock

from ticker.connections import Connections, OpenConnection


async def hold(register: Connections, address: str, ended: list[str], *, asked: bool) -> None:
    with OpenConnection(register, address) as connection, connection.scope:
        if asked:
            connection.asked()
        await trio.sleep_forever()
    ended.append(address)


async def test_the_oldest_half_open_one_of_the_address_with_most_goes_first(
    autojump_clock: MockClock,
) -> None:
    register, ended = Connections(), list[str]()
    async with trio.open_nursery() as nursery:
        for address in ("b", "a", "c", "b", "a", "b"):
            nursery.start_soon(partial(hold, register, address, ended, asked=False))
            await trio.testing.wait_all_tasks_blocked()
        for left in ("b", "b", "a"):  # of three, then of two each: the older address first
            assert register.evict()
            await trio.testing.wait_all_tasks_blocked()
            assert ended[-1] == left
        assert register.evict()
        await trio.testing.wait_all_tasks_blocked()
        assert register.half_open == len(register) == 2
        nursery.cancel_scope.cancel()
    assert len(register) == 0


async def test_who_has_asked_for_something_is_never_cut_off(autojump_clock: MockClock) -> None:
    register, ended = Connections(), list[str]()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(partial(hold, register, "a", ended, asked=True))
        nursery.start_soon(partial(hold, register, "b", ended, asked=False))
        await trio.testing.wait_all_tasks_blocked()
        assert register.evict()
        assert len(register) == 3  # counted no more before it has gone
        assert not register.evict()
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["b"]
        assert (len(register), register.half_open) == (3, 0)
        nursery.cancel_scope.cancel()
    assert (len(register), register.half_open) == (0, 0)


async def test_a_drain_waits_for_those_who_were_there_and_for_none_that_comes(
    autojump_clock: MockClock,
) -> None:
    register, ended = Connections(), list[str]()
    async with trio.open_nursery() as nursery:
        scopes = []
        for asked in (True, False):
            scope = trio.CancelScope()
            scopes.append(scope)

            async def run(scope: trio.CancelScope = scope, *, asked: bool = asked) -> None:
                with scope:
                    await hold(register, "a", ended, asked=asked)

            nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        register.begin_end()
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["a"]  # the half-open one
        nursery.start_soon(partial(hold, register, "late", ended, asked=True))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1) as patience:
            await register.wait_gone()
        assert patience.cancelled_caught
        scopes[0].cancel()
        with trio.fail_after(1):
            await register.wait_gone()
        nursery.cancel_scope.cancel()
    assert len(register) == 0
