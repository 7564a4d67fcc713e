"""Several machines with one market: real servers on this one, and witnesses of their streams."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from tests.support.postgres_server import PostgresServer
from tests.support.raw import opened
from tests.support.server import START_SECONDS, Server, environment, script, started
from tests.support.waiting import eventually

#: Beside other tests a process may be kept from running for as long.
SLACK: Final = 10.0
#: Several of them start at once, beside other tests.
MACHINE_SECONDS: Final = 120.0


@attrs.frozen
class Shared:
    """What all machines of a test share."""

    folder: Path
    bus: str
    database: str

    def environment(self, bus: str = "") -> dict[str, str]:
        """Return the settings of a machine, which may reach the bus by another way."""
        return {
            "TICKER_BUS": bus or self.bus,
            "TICKER_DATABASE_URL": self.database,
            "TICKER_TOKEN_KEY": "k" * 32,
            "TICKER_KEY_PEPPER": "p" * 32,
            "TICKER_MAX_STREAMS_PER_ADDRESS": "0",
        }

    def ticker(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another command of the program with the settings of a machine."""
        place = self.folder / "operator" / "data"
        place.parent.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [script("ticker"), *args],
            cwd=place.parent,
            env=environment(place, self.environment()),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=check,
        )

    def new_key(self, user: str = "ada") -> str:
        """Make an API key."""
        return self.ticker("keys", "create", user).stdout.strip()

    @contextmanager
    def machine(
        self,
        name: str,
        *args: str,
        bus: str = "",
        env: Mapping[str, str] | None = None,
        listen: bool = True,
    ) -> Iterator[Server]:
        """Run a machine until the block is left."""
        settings = {**self.environment(bus), **(env or {})}
        place = self.folder / name / "data"
        with started("serve", place, args=args, env=settings, listen=False) as server:
            if listen:
                server.wait_listening(MACHINE_SECONDS)
            yield server

    @contextmanager
    def machines(self, count: int, *args: str) -> Iterator[list[Server]]:
        """Run some machines until the block is left."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.machine(f"node{n}", *args)) for n in range(count)]


def share(folder: Path, bus: str, postgres: PostgresServer) -> Shared:
    """Make what machines of a test share, with a new database."""
    return Shared(folder, bus, postgres.url(postgres.new_database()))


@attrs.define
class Witness:
    """What one stream showed.

    Attributes:
        ticks: when each frame came, in trio's time, with its epoch and number.
        values: of each epoch and number, the prices.
        ages: when each frame came, how old it was, by the wall clock, and its number.
        states: when the state of the source changed.
        closed: the code that the stream ended with, 0 where it was cut off.
    """

    ticks: list[tuple[float, str, int]] = attrs.field(factory=list)
    values: dict[tuple[str, int], str] = attrs.field(factory=dict)
    ages: list[tuple[float, float, int]] = attrs.field(factory=list)
    states: list[tuple[float, str]] = attrs.field(factory=list)
    closed: int | None = None
    closed_at: float = 0.0

    @property
    def seq(self) -> int:
        """The last number; 0 before the first."""
        return self.ticks[-1][2] if self.ticks else 0

    @property
    def epoch(self) -> str:
        """The last epoch."""
        return self.ticks[-1][1] if self.ticks else ""

    @property
    def state(self) -> str:
        """The last state of the source."""
        return self.states[-1][1] if self.states else ""

    async def watch(self, server: Server, token: str) -> None:
        """Look at a stream of a server until it ends."""
        try:
            async with opened(server, token) as stream:
                epoch = ""
                while True:
                    frame = await stream.frame(3600)
                    if frame is None:
                        break
                    if frame.opcode == 8:
                        self.closed = frame.code
                        break
                    epoch = self._see(json.loads(frame.payload), epoch)
        except (trio.BrokenResourceError, ConnectionError):
            pass
        if self.closed is None:
            self.closed = 0
        self.closed_at = trio.current_time()

    def _see(self, message: dict[str, Any], epoch: str) -> str:
        now = trio.current_time()
        if message["type"] in {"welcome", "epoch"}:
            epoch = message["epoch"]
        elif message["type"] == "status":
            self.states.append((now, message["state"]))
        elif message["type"] == "ticker":
            assert message["seq"] > self.seq, f"{message['seq']} came after {self.seq}"
            self.ticks.append((now, epoch, message["seq"]))
            age = time.time() - message["time"] / 1000
            self.ages.append((time.time(), age, message["seq"]))
            shown = json.dumps({each["symbol"]: each["price"] for each in message["data"]})
            self.values[epoch, message["seq"]] = shown
        return epoch

    async def goes_on(self, seconds: float = SLACK) -> float:
        """Wait for another tick; return when it came."""
        seen = len(self.ticks)
        await eventually(lambda: len(self.ticks) > seen, "another tick", seconds=seconds)
        return self.ticks[seen][0]

    async def becomes(self, state: str, seconds: float = SLACK) -> float:
        """Wait until the source has a state; return when it came."""
        await eventually(lambda: self.state == state, f"the state {state}", seconds=seconds)
        return self.states[-1][0]

    def silence(self, since: float) -> float:
        """Return the longest time without a frame since a moment."""
        times = [since, *(at for at, _, _ in self.ticks if at > since)]
        return max((later - sooner for sooner, later in itertools.pairwise(times)), default=0.0)


@asynccontextmanager
async def watched(servers: Sequence[Server], api_key: str) -> AsyncIterator[list[Witness]]:
    """Watch a stream of each server until the block is left; begins once each shows ticks."""
    witnesses = [Witness() for _ in servers]
    async with trio.open_nursery() as nursery:
        for server, witness in zip(servers, witnesses, strict=True):
            token = await trio.to_thread.run_sync(server.new_token, api_key)
            nursery.start_soon(witness.watch, server, token)
        for witness in witnesses:
            await witness.goes_on(30)
        yield witnesses
        nursery.cancel_scope.cancel()


def two_values(witnesses: Sequence[Witness]) -> list[tuple[str, int]]:
    """Return each epoch and number that had different prices in two streams."""
    seen: dict[tuple[str, int], str] = {}
    wrong = []
    for witness in witnesses:
        for at, shown in witness.values.items():
            if seen.setdefault(at, shown) != shown:
                wrong.append(at)
    return wrong
