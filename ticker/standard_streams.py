"""Standard error and standard output of a process that serves: lossy, so none can stop it."""

from __future__ import annotations

import atexit
import fcntl
import multiprocessing.util
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from functools import cache
from typing import Final, TextIO, cast

from ticker import limits
from ticker.log_writer import LogWriter, LossyStream

#: The descriptors below are standard input, output and error.
_FIRST_FREE: Final = 3


def take() -> None:
    """Let nothing that this process prints raise or wait, from whatever module.

    For a process that serves: `print`, warnings, tracebacks, and the loggers that Hypercorn makes
    for its own command line then go through a `LogWriter` as well.
    """
    if not isinstance(sys.stderr, LossyStream):
        # Before their numbers are filled, or what fills them would be taken for them.
        streams = [cast("TextIO", standard(name)) for name in ("stderr", "stdout")]
        _fill_descriptors()
        sys.stderr, sys.stdout = streams


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
    """Open what was closed at the start, or the next socket or file would be standard error.

    This is not passed on to workers. Each fills its own, and so knows that its lines are lost.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # into the lowest number that is free


def _duplicate(stream: TextIO | None) -> int | None:
    """Return a descriptor of our own, which no other file can take the number of.

    None where there is no such stream. Where Hypercorn's command had none, its listening socket or
    a pipe of `multiprocessing` took the number, and its worker takes that for standard error.
    """
    try:
        if stream is None or _is_no_output(stream.fileno()):
            return None
        return fcntl.fcntl(stream.fileno(), fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    except OSError:
        return None


def _is_no_output(descriptor: int) -> bool:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return True
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(kind):
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    # A process that `multiprocessing` spawned has loaded it; no other pays for that.
    if stat.S_ISFIFO(kind) and "multiprocessing.spawn" in sys.modules:
        from multiprocessing import parent_process, resource_tracker  # noqa: PLC0415 - see above

        if parent_process() is not None:
            # What is written to the tracker of a spawned process's resources is a command to it.
            tracker = resource_tracker.getfd()
            return tracker is not None and os.path.samestat(os.fstat(descriptor), os.fstat(tracker))
    return False


def _same_file(descriptor: int | None, stream: LossyStream) -> bool:
    try:
        return descriptor is not None and os.path.samestat(
            os.fstat(descriptor), os.fstat(stream.fileno())
        )
    except OSError:
        return False
