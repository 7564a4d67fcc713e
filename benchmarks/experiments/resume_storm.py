"""2,000 clients resume at once, as after a cut, beside 300 that are healthy.

    python -m benchmarks.experiments.resume_storm [ROUNDS]

Each round starts a server with 250 symbols of which two move in a tick, puts 300 subscribers of
`changes` on it, and two seconds into their measurement opens 2,000 connections that each ask in
their handshake to go on after a tick of a second before. Printed are the rate of the slowest
healthy subscriber, the time between ticks, and how long it took until the last of the 2,000 was in.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from typing import Final

from benchmarks import build, measure, servers
from benchmarks.commands import HOST, Need
from benchmarks.measure import Load

_HEALTHY: Final = 300
_STORM: Final = 2000


def _position(target: servers.Target) -> str:
    request = urllib.request.Request(
        f"http://{HOST}:{target.port}/prices",
        headers={"Authorization": f"Bearer {target.token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        prices = json.load(answer)
    return f"{prices['epoch']}:{prices['seq']}"


def once() -> None:
    """Print one round."""
    cpus = measure.Cpus.apart()
    with servers.running("ticker", Need(100, symbols=250, changing=2), cpus=cpus.server) as target:
        healthy: list[measure.Run] = []
        load = Load(_HEALTHY, warmup=2.0, seconds=6.0, query="mode=changes")
        thread = threading.Thread(target=lambda: healthy.append(measure.run(target, load, cpus)))
        thread.start()
        time.sleep(3.0)
        position = _position(target)
        time.sleep(1.0)
        storm = measure.run(
            target,
            Load(_STORM, warmup=0.1, seconds=0.5, query=f"mode=changes&resume={position}"),
            cpus,
        )
        thread.join()
    [run] = healthy
    rate, gap = run["rate"], run["gap_ms"]
    print(
        f"healthy: slowest {rate['min']:.1f} Hz, mean {rate['mean']:.1f} Hz, "
        f"between ticks p99 {gap['p99']:.1f} ms; storm: {storm['opened']} resumed in "
        f"{storm['handshake_seconds']:.2f} s, {storm['handshakes_per_second']:.0f} a second; "
        f"others' CPU share {run['others_cpu_share']:.2f}"
    )


if __name__ == "__main__":
    build.build()
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        once()
