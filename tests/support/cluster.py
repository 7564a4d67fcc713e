"""Several workers, and subscribers that watch what becomes of the market when one of them ends."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
import trio

from tests.support import raw
from tests.support.frames import TEXT, Frame
from tests.support.server import Server, started
from tests.support.waiting import eventually, wait_until

#: Several processes start at once, which import everything, beside other tests.
START_SECONDS: Final = 120.0
#: What a peer that ends, in any way, makes of a subscriber's call.
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


@attrs.frozen
class Arrival:
    """One frame of a subscriber.

    Attributes:
        connection: which of the subscriber's connections it came by, from 0.
    """

    at: float
    connection: int
    epoch: str
    seq: int
    time_ms: int
    snapshot: bool


class DisagreementError(AssertionError):
    """Two subscribers hold different prices under one epoch and seq."""


class Witness:
    """Holds the prices of every (`epoch`, `seq`) that any subscriber was shown."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], bytes] = {}

    def check(self, epoch: str, seq: int, book: Mapping[str, Any]) -> None:
        """Compare a subscriber's book with the others' of the same tick."""
        now = msgspec.json.encode(book, order="deterministic")
        known = self._known.setdefault((epoch, seq), now)
        if known != now:
            raise DisagreementError(f"{epoch}:{seq} is {known!r} and {now!r}")

    def __len__(self) -> int:
        return len(self._known)


class Subscriber:
    """A subscriber of changes, which comes back when its connection is lost, and resumes.

    A server that ends tells each how long to wait, so that they do not all come at once.

    Attributes:
        frames: what arrived, of all its connections.
        resumed: whether each return went on without a snapshot.
        lost: when each connection was lost.
        faults: answers to its handshake that were no 101, and resets of it.
        epochs: those it was told of on a living stream.
    """

    def __init__(self, server: Server, token: str, witness: Witness, mode: str = "changes") -> None:
        self.frames: list[Arrival] = []
        self.resumed: list[bool] = []
        self.lost: list[float] = []
        self.faults: list[str] = []
        self.epochs: list[str] = []
        self._server = server
        self._token = token
        self._witness = witness
        self._mode = mode
        self._book: dict[str, Any] = {}
        self._epoch = ""
        self._position: tuple[str, int] | None = None
        self._retry_after = 0.0

    async def run(self) -> None:
        """Subscribe, and come back for ever."""
        while True:
            with suppress(*_GONE):
                await self._connection()
            self.lost.append(trio.current_time())
            await trio.sleep(max(0.01, self._retry_after))
            self._retry_after = 0.0

    async def _connection(self) -> None:
        path = f"/ws/ticker?mode={self._mode}"
        if self._position is not None:
            path += "&resume=" + ":".join(map(str, self._position))
        async with await raw.connect(self._server) as stream:
            await stream.send_all(raw.handshake(self._server, self._token, path=path))
            try:
                response, rest = await raw.read_response(stream, START_SECONDS)
            except AssertionError as error:
                self.faults.append(str(error))
                return
            if response.status != 101:
                self.faults.append(str(response.status))
                return
            frames = raw.RawStream(stream, response, rest)
            while (frame := await frames.frame(30)) is not None:
                if frame.opcode != TEXT:
                    return
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        message = frame.message
        match message["type"]:
            case "subscribed":
                self._epoch = message["epoch"]
                if "resumed" in message:
                    self.resumed.append(message["resumed"])
            case "epoch":
                self._epoch = message["epoch"]
                self.epochs.append(message["epoch"])
            case "closing":
                self._retry_after = message["retry_after_ms"] / 1000
            case "ticker":
                self._apply(message)

    def _apply(self, message: dict[str, Any]) -> None:
        entries = {entry["symbol"]: entry for entry in message["data"]}
        snapshot = "prev" not in message
        if snapshot:
            self._book = entries
        else:
            assert self._position is not None
            assert message["prev"] <= self._position[1], (message, self._position)
            self._book |= entries
        seq = message["seq"]
        if self.frames:
            assert seq >= self.frames[-1].seq, f"seq went back from {self.frames[-1]} to {seq}"
        self._position = (self._epoch, seq)
        self.frames.append(
            Arrival(
                trio.current_time(), len(self.lost), self._epoch, seq, message["time"], snapshot
            )
        )
        self._witness.check(self._epoch, seq, self._book)

    def silence(self, begin: float, end: float) -> float:
        """Return the longest time without a new tick between two moments, in seconds."""
        ticks = [new.at for old, new in pairwise(self.frames) if new.seq > old.seq]
        times = [begin, *(at for at in ticks if begin < at < end), end]
        return max(later - earlier for earlier, later in pairwise(times))

    def silence_of_lasting(self, begin: float) -> float:
        """Return the longest time between two frames of one connection since then, in seconds."""
        pairs = pairwise(frame for frame in self.frames if frame.at > begin)
        return max(
            (new.at - old.at for old, new in pairs if new.connection == old.connection),
            default=0.0,
        )

    def missed(self, begin: float, end: float) -> int:
        """Return the most ticks that one frame to the next left out between two moments."""
        seqs = [f.seq for f in self.frames if begin < f.at < end]
        return max((later - earlier - 1 for earlier, later in pairwise(seqs)), default=0)


class Cluster:
    """A running service of several workers."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def workers(self) -> dict[int, int]:
        """Return the process of each worker."""
        return {event["worker"]: event["pid"] for event in self.server.events("worker_started")}

    def feeder(self) -> int:
        """Return the worker that feeds."""
        number: int = self.server.wait_event("feeding")["worker"]
        return int((self.server.events("feeding") or [{"worker": number}])[-1]["worker"])

    def signal(self, worker: int, number: signal.Signals) -> None:
        """Send a signal to a worker."""
        os.kill(self.workers()[worker], number)

    def serving(self) -> int:
        """Return how many workers have come to serve so far."""
        return len(self.server.events("worker_serves"))


@contextmanager
def running(
    data_dir: Path, workers: int, *args: str, env: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Run a service of several workers until the block is left."""
    arguments = ["--workers", str(workers), *args]
    with started("serve", data_dir, args=arguments, env=env, listen=False) as server:
        server.wait_listening(START_SECONDS)
        yield Cluster(server)


@contextmanager
def not_collecting() -> Iterator[None]:
    """Keep this process's garbage collector off until the block is left.

    It goes through every frame that subscribers keep, a quarter of a million of them: a tenth of a
    second in which none is read, which would be taken for a silence of the service.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@asynccontextmanager
async def watched(
    cluster: Cluster, count: int, *, mode: str = "changes"
) -> AsyncIterator[Sequence[Subscriber]]:
    """Subscribe so many until the block is left; every one of them has a frame by then."""
    token = await trio.to_thread.run_sync(cluster.server.token)
    witness = Witness()
    subscribers = [Subscriber(cluster.server, token, witness, mode) for _ in range(count)]
    with not_collecting():
        async with trio.open_nursery() as nursery:
            for subscriber in subscribers:
                nursery.start_soon(subscriber.run)
            await eventually(lambda: all(s.frames for s in subscribers), "the first frames")
            yield subscribers
            nursery.cancel_scope.cancel()


async def settled(subscribers: Sequence[Subscriber], after: float, *, seconds: float = 15) -> None:
    """Wait until every subscriber has had some frames since a moment."""
    await eventually(
        lambda: all(s.frames[-1].at > after and len(s.frames) > 3 for s in subscribers),
        "frames for all",
        seconds=seconds,
    )


def has_gone(pid: int) -> bool:
    """Whether a process has ended, be it that its status has not been asked for yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def wait_gone(pids: Sequence[int], *, seconds: float = 60) -> None:
    """Wait until some processes have ended."""
    wait_until(lambda: all(map(has_gone, pids)), "their end", seconds=seconds)
