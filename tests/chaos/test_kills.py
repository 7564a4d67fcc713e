"""A subscription ends with its connection, however that is killed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.chaos.inprocess import Running, serving
from tests.chaos.kills import UNREAD, Kill, subscriber
from tests.support.waiting import eventually

#: From a kill to the end of the subscription, for 99 of 100.
P99_SECONDS = 0.05
KILLS = 1000
SLOW_KILLS = int(os.environ.get("CHAOS_KILLS", "10000"))
SEED = int(os.environ.get("CHAOS_SEED", "20261122"))
#: Connections at once; the unread ones are open for as long as their messages take to come.
KILLERS = 50
TICK = 0.005


async def _killed(running: Running, kills: Iterator[Kill]) -> dict[Kill, list[float]]:
    """Kill connections in every way; return how long each subscription outlived its own."""
    waits: dict[Kill, list[float]] = {kill: [] for kill in Kill}

    async def killer() -> None:
        for kill in kills:
            victim = await subscriber(running.port, running.token)
            if kill is Kill.RST_UNREAD:
                seq = running.service.market.hub.published.seq
                await eventually(
                    lambda seq=seq: running.service.market.hub.published.seq >= seq + UNREAD,  # type: ignore[misc]
                    "500 ticks",
                    seconds=30,
                )
            running.ended.pop(victim.port, None)
            moment = await victim.kill(kill)
            ended = await eventually(
                lambda victim=victim: running.ended.pop(victim.port, None),  # type: ignore[misc]
                f"the end after {kill.value}",
            )
            waits[kill].append(ended - moment)

    async with trio.open_nursery() as nursery:
        for _ in range(KILLERS):
            nursery.start_soon(killer)
    return waits


async def _check(data_dir: Path, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    async with serving(data_dir, tick=TICK) as running:
        # One connection first, so that everything kept for reuse is there.
        await (await subscriber(running.port, running.token)).kill(Kill.RST)
        await eventually(lambda: not running.service.sessions, "the first to go")
        before, threads = running.held(), running.threads()
        kills = iter([chance.choice(list(Kill)) for _ in range(count)])
        waits = await _killed(running, kills)
        await eventually(lambda: running.held() == before, f"{before}, not {running.held()}")
        assert running.threads() <= threads
    every = sorted(wait for some in waits.values() for wait in some)
    p99 = every[round(len(every) * 0.99) - 1]
    with capsys.disabled():
        counts = {kill.value: len(some) for kill, some in waits.items()}
        print(  # noqa: T201 - a seeded run says what it did
            f"\n{len(every)} kills (CHAOS_SEED={SEED}): {counts}; from kill to "
            f"unsubscribed p50 {every[len(every) // 2] * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, "
            f"the longest {every[-1] * 1000:.1f} ms"
        )
    assert len(every) == count
    assert p99 <= P99_SECONDS


async def test_a_subscription_ends_with_its_connection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _check(tmp_path / "data", KILLS, capsys)


@pytest.mark.slow
async def test_ten_thousand_subscriptions_end_with_their_connections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _check(tmp_path / "data", SLOW_KILLS, capsys)
