"""What the service asks of its process: many descriptors, a collector out of the way."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from ticker import limits

log = structlog.get_logger()

#: <linux/prctl.h>
_PR_SET_PDEATHSIG: Final = 1


class ServiceError(Exception):
    """The service cannot start; the text is one line that says what to do.

    Attributes:
        settings: whether the settings are what must be mended.
    """

    def __init__(self, text: str, *, settings: bool = False) -> None:
        super().__init__(text)
        self.settings = settings


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Keep the garbage collector out of the way until the block is left.

    Left to itself it runs after every 700 new objects, that is, in the middle of every rush of
    subscribers, and looks at all of those who are there to stay: half the cost of a handshake.
    A connection that ends leaves it next to nothing (tests/chaos/test_garbage.py).
    """
    thresholds = gc.get_threshold()
    # What a start leaves, modules mostly, stays to the end. To collect before that would take a
    # tenth of a second and find two megabytes at the most.
    gc.freeze()
    gc.set_threshold(limits.COLLECT_AFTER_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def allow_descriptors(streams: int) -> None:
    """Let this process open as many descriptors as its bounds need, as far as the system does.

    The soft limit is 1024 on many systems, for the sake of programs that use select(2).

    Args:
        streams: how many may be open; 0 for no bound.

    Raises:
        ServiceError: the system lets it open too few to serve at all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = (streams or limits.STREAMS_UNLIMITED) + limits.OTHER_DESCRIPTORS
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < limits.DESCRIPTORS_LEAST:
        least = limits.DESCRIPTORS_LEAST
        raise ServiceError(f"at most {allowed} files may be open (`ulimit -n`): {least} are needed")
    if allowed < needed:
        hint = "raise `ulimit -Hn`, or lower TICKER_MAX_STREAMS: at the limit, accepting pauses"
        log.warning("descriptor_limit_low", limit=allowed, needed=needed, hint=hint)
    _reserve_descriptors(allowed)


def _reserve_descriptors(count: int) -> None:
    """Have the kernel make the table of descriptors as large as it will ever be.

    Where it must grow later, in a process with threads, each doubling waits for every CPU
    (`synchronize_rcu` in the kernel's fs/file.c): up to 10 ms each in which no price goes out,
    in the middle of a rush.
    """
    with suppress(OSError), Path(os.devnull).open() as any_file:  # it is no more than a courtesy
        os.close(fcntl.fcntl(any_file, fcntl.F_DUPFD_CLOEXEC, count - 1))


def listening_addresses() -> Iterator[str]:
    """Find the addresses this process listens on already, as under Hypercorn's own command."""
    descriptors = Path("/proc/self/fd")
    for entry in list(descriptors.iterdir()) if descriptors.is_dir() else ():
        if not entry.is_socket():
            continue
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as candidate:
            listens = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and candidate.family in {socket.AF_INET, socket.AF_INET6}:
                yield candidate.getsockname()[0]


def end_with_parent() -> None:
    """Have the kernel tell this worker of Hypercorn's command to end when the command has gone.

    However it went: a worker without it would serve on, and hold the port. Elsewhere than in such
    a worker it does nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent.pid:
        os.kill(os.getpid(), signal.SIGTERM)  # it went before that
