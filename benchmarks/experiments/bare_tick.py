"""Nothing but trio that wakes up at each tick: what an interpreter and its loop ask for that.

Settings come from the environment, as for every peer: BENCH_PORT, BENCH_RATE.
"""

from __future__ import annotations

import os

import trio


async def main() -> None:
    """Listen, so that it is known to run, and sleep until each tick."""
    interval = 1 / float(os.environ["BENCH_RATE"])
    (listener,) = await trio.open_tcp_listeners(int(os.environ["BENCH_PORT"]), host="127.0.0.1")
    async with listener:
        due = trio.current_time()
        while True:
            due += interval
            await trio.sleep_until(due)


if __name__ == "__main__":
    trio.run(main)
