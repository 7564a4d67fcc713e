"""Memory does not grow, however many come and go."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import trio

from tests.attack.witness import witnessed
from tests.chaos.kills import Kill, subscriber
from tests.soak.plot import Sample, draw, settled, slope
from tests.support.leaks import idle, nothing_left
from tests.support.server import Server, started

pytestmark = pytest.mark.slow

#: An hour of churn, as fast as it goes.
CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "100000"))
PLOT = Path(os.environ.get("SOAK_PLOT", "soak.svg"))
SEED = 20261122
#: Connections at once.
CHURNERS = 40
SAMPLES = 100
#: A leak of one small object for each connection would be more than this.
BYTES_EACH = 32
#: How connections end; the rest of the ways is the kills' subject (tests/chaos).
ENDS = (Kill.FIN, Kill.RST, Kill.RST_IN_FRAME, Kill.HALF_CLOSE)


async def test_resident_memory_does_not_grow_with_connections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lifted = {"TICKER_MAX_STREAMS_PER_TOKEN": "0"}
    with started("serve", tmp_path / "data", env=lifted) as server:
        baseline = idle(server)
        with nothing_left(server, baseline):
            async with witnessed(server) as witness:
                samples = await _churn(server, CONNECTIONS)
    growth = slope(settled(samples))
    title = f"{CONNECTIONS:,} connections: {growth:+.1f} bytes of resident memory for each"
    PLOT.write_text(draw(samples, title))  # noqa: ASYNC240 - the churn is over
    with capsys.disabled():
        print(f"\n{title}; {witness.ticks} ticks for the healthy one; plot: {PLOT}")  # noqa: T201 - the result
    assert growth < BYTES_EACH


async def _churn(server: Server, count: int) -> list[Sample]:
    """Come and go so many times; sample resident memory on the way."""
    chance = random.Random(SEED)
    token = server.token()
    every = max(1, count // SAMPLES)
    samples: list[Sample] = []
    begun = 0

    async def churner() -> None:
        nonlocal begun
        while begun < count:
            begun += 1
            number = begun
            victim = await subscriber(server.port, token)
            await victim.kill(chance.choice(ENDS))
            if number % every == 0:
                samples.append((number, float(_resident(server.pid))))
                server.lines.clear()

    async with trio.open_nursery() as nursery:
        for _ in range(CHURNERS):
            nursery.start_soon(churner)
    return sorted(samples)


def _resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
