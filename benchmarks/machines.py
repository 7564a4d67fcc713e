"""What a market of several machines costs: CPU per tick of the feeder, a follower and Redis.

    python -m benchmarks.machines [--seconds 10] [--symbols 3] [--machines 2]

Starts Redis, PostgreSQL and some machines on this one, with no subscriber, and reads the CPU clocks
of all processes at two moments. One process without a bus is measured the same way before; what is
above it is the path through Redis. Latency is from the tick's own time to its arrival at a
subscriber of each machine, which share a clock here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import trio

from tests.support.nodes import Shared, watched
from tests.support.postgres_server import postgres_server
from tests.support.redis_server import redis_server
from tests.support.server import Server

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return what a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def per_tick(
    pids: Sequence[int], clock: Server, api_key: str, seconds: float
) -> tuple[list[float], float]:
    """Return, for each process, the microseconds of CPU per tick, and the ticks per second."""
    token = clock.new_token(api_key)

    def seq() -> int:
        _, _, body = clock.request("GET", "/prices", headers={"Authorization": f"Bearer {token}"})
        found: int = json.loads(body)["seq"]
        return found

    first, began, before = seq(), time.monotonic(), [cpu_seconds(pid) for pid in pids]
    time.sleep(seconds)
    after, ticks = [cpu_seconds(pid) for pid in pids], seq() - first
    took = time.monotonic() - began
    return [(b - a) / ticks * 1e6 for a, b in zip(before, after, strict=True)], ticks / took


async def latencies(servers: Sequence[Server], api_key: str, seconds: float) -> list[list[float]]:
    """Return, for each machine, how old each frame was at a subscriber, in milliseconds."""
    async with watched(servers, api_key) as witnesses:
        await trio.sleep(seconds)
        return [[age * 1000 for _, age, _ in witness.ages[50:]] for witness in witnesses]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--symbols", type=int, default=3)
    parser.add_argument("--machines", type=int, default=2)
    asked = parser.parse_args()
    names = ",".join(f"S{number}-USD={number + 10}" for number in range(asked.symbols))
    market = {"TICKER_SYMBOLS": names, "TICKER_HTTP_RATE": "0"}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        postgres = stack.enter_context(postgres_server())
        redis = stack.enter_context(redis_server(Path(folder) / "redis"))
        shared = Shared(Path(folder), redis.url, postgres.url())
        key = shared.new_key()
        with shared.machine("alone", env={**market, "TICKER_BUS": ""}) as alone:
            (single,), rate = per_tick([alone.pid], alone, key, asked.seconds)
        print(f"{asked.symbols} symbols, one process: {single:.0f} µs a tick, {rate:.1f} ticks/s")
        machines = [
            stack.enter_context(shared.machine(f"machine{number}", env=market))
            for number in range(asked.machines)
        ]
        for each in machines:
            each.new_token(key)  # what answers HTTP is loaded by then
        pids = [*(each.pid for each in machines), redis.pid]
        (feeds, *follow, redis_cpu), rate = per_tick(pids, machines[0], key, asked.seconds)
        print(
            f"{asked.machines} machines: feeder {feeds:.0f} µs a tick (bus: {feeds - single:.0f}), "
            f"followers {', '.join(f'{each:.0f}' for each in follow)}, Redis {redis_cpu:.0f}; "
            f"{rate:.1f} ticks/s"
        )
        pair = machines[:2]
        for name, ages in zip(
            ("feeder", "follower"), trio.run(latencies, pair, key, 5.0), strict=True
        ):
            p99 = statistics.quantiles(ages, n=100)[98]
            print(f"age of a frame, {name}: p50 {statistics.median(ages):.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
