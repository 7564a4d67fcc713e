"""What an abuse is, and how one is run: in a process of its own, against a server on loopback.

`python -m tests.chaos.abuse NAME` reads a `Target` as one line of JSON from standard input, says
`under way` once the abuse is, and on SIGTERM prints what it did as one line of JSON. It runs at a
lower priority than the server and the subscriber, since a real one would have its own machine.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import attrs
import trio

_ROOT: Final = Path(__file__).parents[2]
_NICENESS: Final = 10


@attrs.define
class Target:
    """What an abuse is aimed at.

    Attributes:
        port: of the server, on 127.0.0.1.
        token: a good one.
        symbols: what the server has.
        done: how often the abuse did what, by name; the test prints it.
    """

    port: int
    token: str
    symbols: Sequence[str]
    done: Counter[str] = attrs.field(factory=Counter)


#: Runs until cancelled, and says by `task_status.started()` when it is under way.
Run = Callable[..., Awaitable[None]]


@attrs.frozen
class Abuse:
    """One way to misuse a server.

    Attributes:
        name: what it is called in docs/reliability.md and on the command line.
        run: `async def run(target, *, task_status)`.
        env: the `TICKER_*` settings of the server that it needs.
        symbols: how many symbols the server has.
    """

    name: str
    run: Run
    env: Mapping[str, str] = attrs.field(factory=dict)
    symbols: int = 3


def abuses() -> Iterator[Abuse]:
    """Find every abuse: the list `ABUSES` of each module in `tests/chaos/abuses`."""
    folder = Path(__file__).parent / "abuses"
    for found in sorted(pkgutil.iter_modules([str(folder)]), key=lambda each: each.name):
        module = importlib.import_module(f"tests.chaos.abuses.{found.name}")
        yield from cast("Sequence[Abuse]", module.ABUSES)


class Running:
    """An abuse that is under way.

    Attributes:
        done: how often it did what, once it has ended.
    """

    def __init__(self) -> None:
        self.done: dict[str, int] = {}


@contextmanager
def running(name: str, target: Target) -> Iterator[Running]:
    """Run an abuse in another process until the block is left."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.abuse", name],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"port": target.port, "token": target.token, "symbols": list(target.symbols)}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.close()
        found = Running()
        try:
            assert process.stdout.readline() == "under way\n", f"{name} did not begin"
            yield found
            assert process.poll() is None, f"{name} ended by itself"
            process.terminate()
            found.done = json.loads(process.stdout.readline())
        finally:
            process.kill()


async def _run(abuse: Abuse, target: Target) -> None:
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            await nursery.start(abuse.run, target)
            print("under way", flush=True)  # noqa: T201 - what the test waits for
            async for _ in signals:
                print(json.dumps(target.done), flush=True)  # noqa: T201 - the same
                nursery.cancel_scope.cancel()
                return


def _main() -> None:
    os.nice(_NICENESS)
    abuse = next(each for each in abuses() if each.name == sys.argv[1])
    trio.run(_run, abuse, Target(**json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    _main()
