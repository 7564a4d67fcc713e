"""What a server holds, so that a test can show that it left nothing behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.support.server import Server
from tests.support.waiting import wait_until
from ticker import limits


@attrs.frozen(kw_only=True)
class Footprint:
    """What a server holds at one moment; the scrape that asks is part of it each time.

    Attributes:
        descriptors: open files but those of the database, whose pool may grow up to its bound,
            and those of the history as far as it may have them.
    """

    streams: int
    sessions: int
    subscriptions: int
    topics: int
    behind: int
    connections: int
    tasks: int
    descriptors: int

    def exceeds(self, other: Footprint) -> list[str]:
        """Name what there is more of than in the other."""
        return [
            f"{field.name}: {mine} > {theirs}"
            for field in attrs.fields(Footprint)
            if (mine := getattr(self, field.name)) > (theirs := getattr(other, field.name))
        ]


def footprint(server: Server) -> Footprint:
    """Ask a server what it holds."""
    metrics = server.metrics()

    def count(name: str) -> int:
        return int(metrics[f"ticker_{name}"])

    return Footprint(
        streams=count("streams_open"),
        sessions=count("sessions"),
        subscriptions=count("subscriptions"),
        topics=count("topics"),
        behind=count("streams_behind"),
        connections=count("connections_open"),
        tasks=count("tasks"),
        descriptors=descriptors(server.pid, "auth.db"),
    )


def descriptors(pid: int, *kept: str) -> int:
    """Count the open files of a process, but those that it may keep and those of the history.

    Args:
        kept: parts of the names of files that may be open in any number.
    """
    files = [name for name in _open_files(pid) if not any(part in name for part in kept)]
    of_history = sum("history.db" in name for name in files)
    return len(files) - min(of_history, HISTORY_FILES)


def threads(pid: int) -> int:
    """Count the threads of a process."""
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - names are all that is wanted


#: The program's own thread, those that the database may use at once, and one for static files.
MOST_THREADS = 1 + limits.DATABASE_CONNECTIONS + 1


#: The history's connection, and the one that tidies, each with the file, its log and its index.
HISTORY_FILES = 2 * 3


def _open_files(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue  # closed meanwhile
    return found


def idle(server: Server) -> Footprint:
    """Return what an idle server holds, after one use of everything that is kept for reuse."""
    server.token()

    def settled() -> Footprint | None:
        found = footprint(server)
        return found if found.connections == 1 and found.streams == 0 else None

    return wait_until(settled, "an idle server")


@contextmanager
def nothing_left(server: Server, baseline: Footprint, *, seconds: float = 12.0) -> Iterator[None]:
    """Check after the block that a server holds no more than before."""
    yield
    if server.process.poll() is not None:
        return
    last: list[str] = []

    def clean() -> bool:
        last[:] = footprint(server).exceeds(baseline)
        if threads(server.pid) > MOST_THREADS:
            last.append(f"threads: {threads(server.pid)} > {MOST_THREADS}")
        return not last

    try:
        wait_until(clean, "nothing left", seconds=seconds)
    except AssertionError:
        raise AssertionError(f"left behind: {', '.join(last)}") from None
