"""One run of the load generator against one server.

Rules for this module: it returns what `load.c` printed, checked for sanity, and adds nothing
of its own but the server's memory before any client came.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import build, servers
from benchmarks.commands import HOST, Need

#: One run as it was measured: the object that load.c prints.
Run = dict[str, Any]

#: More than a run can take by its own arithmetic.
_GRACE_SECONDS: Final = 60


class RunError(Exception):
    """A run that says nothing: the load generator failed, or no client could connect."""


@dataclass(frozen=True)
class Cpus:
    """Where the server and the load run; None lets the system choose."""

    server: set[int] | None
    load: set[int] | None

    @classmethod
    def apart(cls) -> Cpus:
        """Give the server a CPU of its own, and the load the others, where there are two."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls({first}, set(others)) if others else cls.any()

    @classmethod
    def any(cls) -> Cpus:
        """Leave it to the system."""
        return cls(None, None)


@dataclass(frozen=True)
class Load:
    """What the load generator does; the names are its options.

    Attributes:
        stall: how many of the connections read nothing.
        stall_for: they read again after so many seconds of the measurement.
        rcvbuf: SO_RCVBUF of those that stall.
        poll_us: while measuring it looks at its sockets this often, asleep on a timer between;
            0: it waits in epoll, and sends wake it. See the README.
        messages: line i modulo their number is what connection i sends first.
        query: of the address.
        compressed: offer compression; what comes compressed is counted, not looked into.
        http: ask for `GET /stream` instead.
    """

    connections: int
    warmup: float = 1.5
    seconds: float = 6.0
    linger: float = 0.0
    stall: int = 0
    stall_for: float = 0.0
    rcvbuf: int = 0
    probe: str = ""
    poll_us: int = 300
    messages: Sequence[str] = ()
    query: str = ""
    compressed: bool = False
    http: bool = False

    @property
    def path(self) -> str:
        """What is asked for."""
        path = servers.HTTP_PATH if self.http else servers.PATH
        return f"{path}?{self.query}" if self.query else path

    def arguments(self) -> list[str]:
        """Return the options of the command line, without the messages."""
        given = {
            "connections": self.connections,
            "warmup": self.warmup,
            "seconds": self.seconds,
            "linger": self.linger,
            "stall": self.stall,
            "stall-for": self.stall_for,
            "rcvbuf": self.rcvbuf,
            "probe": self.probe,
            "poll-us": self.poll_us,
        }
        flags = {"--compressed": self.compressed, "--http": self.http}
        return [
            *(part for name, value in given.items() if value for part in (f"--{name}", str(value))),
            *(flag for flag, on in flags.items() if on),
        ]


def run(target: servers.Target, load: Load, cpus: Cpus) -> Run:
    """Put a load on a server that listens.

    Raises:
        RunError: nothing was measured.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as messages:
        messages.write("\n".join(load.messages))
        messages.flush()
        command = [
            str(build.LOAD),
            HOST,
            str(target.port),
            *("--path", load.path),
            *("--header", f"Authorization: Bearer {target.token}"),
            *load.arguments(),
            *(["--message-file", messages.name] if load.messages else []),
            *(["--tls"] if target.tls else []),
            *(part for pid in target.pids for part in ("--pid", str(pid))),
        ]
        with servers.on_cpus(cpus.load):
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        patience = load.warmup + load.seconds + load.linger + _GRACE_SECONDS
        try:
            said, fault = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RunError("the load generator did not come back") from None
    try:
        result: Run = json.loads(said)
    except ValueError:
        raise RunError(f"the load generator said {said!r} {fault!r}") from None
    if "error" in result or result["opened"] < load.connections or result["protocol_errors"]:
        raise RunError(f"not a clean run: {said.strip()}")
    return result


def once(name: str, need: Need, load: Load, cpus: Cpus, *, settle: float = 0.0) -> Run:
    """Start a server, let a few come and go, put the load on it, and end it.

    Args:
        name: which server.
        need: what it shall do.
        load: who comes.
        cpus: where both run.
        settle: seconds between those few and the load, for memory to come to rest.
    """
    with servers.running(name, need, cpus=cpus.server, helper_cpus=cpus.load) as target:
        # The first handshakes pay for imports, caches and compilers.
        run(target, Load(connections=10, warmup=0.2, seconds=0.3), cpus)
        time.sleep(settle)
        before = target.rss()
        return {"rss_before": before, **run(target, load, cpus)}
