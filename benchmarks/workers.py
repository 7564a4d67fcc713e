"""What several workers of one machine cost, beside one process.

    python -m benchmarks.workers [--seconds 6] [--workers 1 2 4] [--connections 300]

For each number of workers: CPU of each worker for each tick without a subscriber, its memory (PSS:
what several share is counted once), and with subscribers at 100 Hz the CPU of all workers for each
frame and the frames per second. For the relay, how much later a frame of a follower reaches a
subscriber than the same frame of the feeder; all of them share a clock here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

from benchmarks import build
from benchmarks.machines import cpu_seconds
from tests.support import raw
from tests.support.cluster import Cluster, running
from tests.support.frames import TEXT
from tests.support.metrics import Samples

#: Bounds are lifted, as for every line of the benchmarks.
_ENV: Final = {
    "TICKER_MAX_STREAMS_PER_TOKEN": "0",
    "TICKER_MAX_STREAMS_PER_ADDRESS": "0",
    "TICKER_MAX_STREAMS_PER_KEY": "0",
}
_WARMUP_SECONDS: Final = 2.0
#: A worker loads what answers HTTP once it serves, which takes half a second of CPU.
_LOADING_SECONDS: Final = 4.0
_LATENCY_STREAMS: Final = 24


def total(samples: Samples, name: str) -> float:
    """Return a counter of all workers together."""
    return sum(value for each, value in samples.items() if each.partition("{")[0] == name)


def per_tick(pids: Mapping[int, int], seconds: float) -> Mapping[int, float]:
    """Return the microseconds of CPU that each worker takes for a tick of 10 ms."""
    before, began = {n: cpu_seconds(pid) for n, pid in pids.items()}, time.monotonic()
    time.sleep(seconds)
    ticks = (time.monotonic() - began) * 100
    return {n: (cpu_seconds(pid) - before[n]) / ticks * 1e6 for n, pid in pids.items()}


def memory_mb(pid: int) -> float:
    """Return the proportional set size of a process, in megabytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


def per_frame(
    cluster: Cluster, pids: Sequence[int], connections: int, seconds: float
) -> tuple[float, float]:
    """Return the microseconds of CPU of all workers for a frame, and the frames per second."""
    server = cluster.server
    command = [
        *(str(build.LOAD), "127.0.0.1", str(server.port), "--path", "/ws/ticker"),
        *("--header", f"Authorization: Bearer {server.token()}"),
        *("--connections", str(connections), "--warmup", "1"),
        *("--seconds", str(seconds + 2 * _WARMUP_SECONDS), "--poll-us", "300"),
    ]
    load = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(_WARMUP_SECONDS + 1)
        before, began = sum(map(cpu_seconds, pids)), time.monotonic()
        frames = total(server.metrics(), "ticker_frames_sent_total")
        time.sleep(seconds)
        frames = total(server.metrics(), "ticker_frames_sent_total") - frames
        cpu, took = sum(map(cpu_seconds, pids)) - before, time.monotonic() - began
    finally:
        load.terminate()
        load.wait()
    return cpu / frames * 1e6, frames / took


async def relay_delays(cluster: Cluster, seconds: float) -> list[float]:
    """Return by how many milliseconds each frame came later to a subscriber than to the first."""
    arrivals: dict[int, list[float]] = {}
    token = await trio.to_thread.run_sync(cluster.server.token)

    async def listen() -> None:
        async with raw.opened(cluster.server, token) as stream:
            while (frame := await stream.frame()) is not None:
                at = time.perf_counter()
                if frame.opcode == TEXT and frame.message["type"] == "ticker":
                    arrivals.setdefault(frame.message["seq"], []).append(at)

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(_LATENCY_STREAMS):
                nursery.start_soon(listen)
    whole = [each for each in arrivals.values() if len(each) == _LATENCY_STREAMS]
    return [(at - min(each)) * 1000 for each in whole for at in each]


def report(workers: int, connections: int, seconds: float) -> None:
    """Measure and print one number of workers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "data", workers, env=_ENV) as cluster,
    ):
        pids = cluster.workers() or {1: cluster.server.pid}
        time.sleep(_LOADING_SECONDS)
        ticks = per_tick(pids, seconds)
        feeder = cluster.feeder() if workers > 1 else 1
        followers = [f"{cost:.0f}" for number, cost in ticks.items() if number != feeder]
        print(f"{workers} workers: feeder {ticks[feeder]:.0f} µs a tick, followers {followers}")
        memory = [f"{memory_mb(pid):.0f}" for pid in pids.values()]
        print(f"{workers} workers: memory {memory} MB")
        cost, rate = per_frame(cluster, list(pids.values()), connections, seconds)
        print(f"{workers} workers: {cost:.2f} µs a frame, {rate:.0f} frames a second")
        print(f"{workers} workers: {delays(trio.run(relay_delays, cluster, seconds))}")


def delays(found: Sequence[float]) -> str:
    """Return the line of the relay's delay."""
    cuts = statistics.quantiles(found, n=100)
    return f"after the first subscriber of a tick: p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--connections", type=int, default=300)
    asked = parser.parse_args()
    build.load()
    for workers in asked.workers:
        report(workers, asked.connections, asked.seconds)
    print(json.dumps(vars(asked)))


if __name__ == "__main__":
    main()
