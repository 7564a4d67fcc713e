"""Machines with several workers each: one market, however one of the workers ends."""

from __future__ import annotations

import json
import os
import signal

import pytest
import trio

from tests.support.figures import tell
from tests.support.nodes import Shared, Witness, two_values, watched
from tests.support.server import Server
from tests.support.waiting import eventually


def feeding_process(server: Server) -> int:
    """Return the process of the worker of a machine that began to feed last."""
    worker = server.events("feeding")[-1]["worker"]
    started = server.events("worker_started")
    return int(next(each["pid"] for each in reversed(started) if each["worker"] == worker))


def prices(witness: Witness, epoch: str) -> list[float]:
    """Return the prices of one symbol in an epoch, in order."""
    return [json.loads(witness.values[at])["BTC-USD"] for at in witness.values if at[0] == epoch]


@pytest.mark.slow
async def test_a_worker_that_feeds_all_machines_is_followed_by_its_sibling(shared: Shared) -> None:
    key = await trio.to_thread.run_sync(shared.new_key)
    with (
        shared.machine("one", "--workers", "2") as one,
        shared.machine("two", "--workers", "2") as two,
    ):
        one.wait_event("feeding")
        async with watched([one] * 3 + [two] * 3, key) as witnesses:
            far = witnesses[3:]
            epoch, killed = far[0].epoch, trio.current_time()
            os.kill(feeding_process(one), signal.SIGKILL)
            await eventually(lambda: all(each.epoch != epoch for each in far), "a new epoch")
            for witness in far:
                await witness.goes_on()
            silence = max(witness.silence(killed) for witness in far)
            tell(f"feeding worker killed: silence on another machine {silence:.2f} s")
            assert two_values(witnesses) == []
            assert silence <= 1.5
            assert {each.epoch for each in far} == {far[0].epoch}
            # The simulation goes on from the last price, not from its start.
            before, after = prices(far[0], epoch), prices(far[0], far[0].epoch)
            assert after[0] == pytest.approx(before[-1], rel=0.01)
        assert two.events("feeding") == []
