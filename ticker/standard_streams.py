"""Standard error and standard output of a process that serves: lossy, so none can stop it."""

from __future__ import annotations

import atexit
import multiprocessing.util
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from functools import cache
from typing import TextIO, cast

from ticker import limits
from ticker.log_writer import LogWriter, LossyStream


def take() -> None:
    """Let nothing that this process prints raise or wait, from whatever module.

    For a process that serves: `print`, warnings, tracebacks, and the loggers that Hypercorn makes
    for its own command line then go through a `LogWriter` as well.
    """
    if not isinstance(sys.stderr, LossyStream):
        _fill_descriptors()
        sys.stderr = cast("TextIO", standard("stderr"))
        sys.stdout = cast("TextIO", standard("stdout"))


def dropped() -> int:
    """Return how many lines were dropped since the start."""
    return sum(standard(name).writer.dropped for name in ("stderr", "stdout"))


def drain() -> None:
    """Wait a moment until the last lines are written; called at the end of the process."""
    deadline = time.monotonic() + limits.LOG_DRAIN_SECONDS
    for writer in (standard("stderr").writer, standard("stdout").writer):
        writer.drain(deadline)


@cache
def standard(name: str) -> LossyStream:
    """Return the stream that stands for standard error or standard output; made once each.

    Where both are the same file they share a writer, which keeps their lines in order.
    """
    descriptor = _duplicate(getattr(sys, f"__{name}__"))
    if name == "stdout":
        first = standard("stderr")
        if _same_file(descriptor, first):
            return LossyStream(first.writer, descriptor)
    else:
        atexit.register(drain)
        # Hypercorn's workers end with these, the last to run being the end of their command.
        multiprocessing.util.Finalize(None, drain, exitpriority=1)
    return LossyStream(LogWriter(descriptor), descriptor)


def lossy(stream: TextIO) -> TextIO:
    """Return what stands for a stream; the stream itself where it has no descriptor."""
    if isinstance(stream, LossyStream):
        return stream
    for name in ("stderr", "stdout"):
        if stream is getattr(sys, f"__{name}__"):
            return cast("TextIO", standard(name))
    descriptor = _duplicate(stream)
    if descriptor is None:
        return stream
    return cast("TextIO", LossyStream(LogWriter(descriptor), descriptor))


def _fill_descriptors() -> None:
    """Open what was closed at the start, or the next socket or file would be standard error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - its only argument


def _duplicate(stream: TextIO | None) -> int | None:
    """Return a descriptor of our own, which no other file can take the number of.

    None where there is no such stream. Where Hypercorn's command had none, its listening socket
    took the number, and its worker takes that for standard error.
    """
    try:
        return None if stream is None or _listens(stream) else os.dup(stream.fileno())
    except OSError:
        return None


def _listens(stream: TextIO) -> bool:
    if not stat.S_ISSOCK(os.fstat(stream.fileno()).st_mode):
        return False
    with socket.socket(fileno=os.dup(stream.fileno())) as found:
        return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _same_file(descriptor: int | None, stream: LossyStream) -> bool:
    try:
        return descriptor is not None and os.path.samestat(
            os.fstat(descriptor), os.fstat(stream.fileno())
        )
    except OSError:
        return False
