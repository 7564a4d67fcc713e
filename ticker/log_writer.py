"""Writing lines to a descriptor without ever raising or waiting: what cannot be written is counted.

Theory of operation. `LogWriter.put` appends a line to a bounded queue and returns. One daemon
thread, started in the process that logs, takes what is there and writes it. (A pipe that has room
takes a line at once instead, by a write that cannot block.) Where the reader is
gone, the disk is full or the descriptor closed, the lines are dropped; where a pipe is not read,
the thread blocks and the queue fills, and further lines are dropped. Drops are counted, and
reported in a line of their own as soon as a write succeeds again.

The lock is reentrant and the queue is `SimpleQueue`, whose `put` is too: the garbage collector
may run a finalizer that logs in the middle of logging.
"""

from __future__ import annotations

import io
import math
import os
import select
import stat
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from ticker import limits


def _nothing(_value: float) -> str:
    return ""


class LogWriter:
    """A queue of lines and the thread that writes them to one descriptor.

    Attributes:
        report: makes the line that says how many were dropped.
        more: called from the thread about once a second with the monotonic time; returns the
            lines that are due by then, with all of them due at infinity.
    """

    _given_up: bool

    def __init__(self, descriptor: int | None) -> None:
        """Take a descriptor, which stays the caller's; None drops every line."""
        self._descriptor = descriptor
        self._pipe = None if descriptor is None else _reopen_pipe(descriptor)
        self.report: Callable[[int], str] = _nothing
        self.more: Callable[[float], str] = _nothing
        self._dropped = 0
        self._unreported = 0
        self._torn = False
        self._failing = False
        self._reset()
        _WRITERS.add(self)

    @property
    def dropped(self) -> int:
        """How many lines were dropped since the start."""
        return self._dropped

    def put(self, line: str) -> None:
        """Queue a line, with its line break, or drop it. Never raises, never waits."""
        self.put_encoded(line.encode("utf-8", "backslashreplace"))

    def put_encoded(self, data: bytes) -> None:
        """Do as `put` with a line in UTF-8."""
        with self._lock:
            if self._pipe is not None and self._written_at_once(self._pipe, data):
                return
            size = len(data) + limits.LOG_LINE_OVERHEAD_BYTES
            full = self._waiting + size > limits.LOG_QUEUE_BYTES
            if self._descriptor is None or full or not self._running():
                self._drop(1)
                return
            self._waiting += size
        self._queue.put(data)

    def _written_at_once(self, pipe: int, data: bytes) -> bool:
        """Write a line here and now, where nothing waits before it and the pipe has room.

        That spares the thread its turn, and a reader sees a line before what follows it. So
        short a write to a pipe is whole or not at all (POSIX, `PIPE_BUF`).
        """
        if self._waiting or self._unreported or self._torn or len(data) > select.PIPE_BUF:
            return False
        try:
            return os.write(pipe, data) == len(data)
        except OSError:
            return False

    def drop(self) -> None:
        """Count a line that could not even be made."""
        with self._lock:
            self._drop(1)

    def drain(self, deadline: float) -> None:
        """Wait until everything queued is written or dropped, up to a monotonic time.

        Where that takes too long once, it is not waited for again: the other end does not read.
        """
        self._hurry = True
        self._finish(self.more(math.inf), deadline)
        if self._unreported and not self._waiting:
            with self._lock:
                reported, self._unreported = self._unreported, 0
            self._finish(self.report(reported), deadline)

    def _finish(self, last: str, deadline: float) -> None:
        if last:
            self.put(last)
        while self._waiting and self._alive() and not self._given_up:
            if time.monotonic() >= deadline:
                self._given_up = True
            time.sleep(limits.LOG_DRAIN_LOOK_SECONDS)

    def _reset(self) -> None:
        """Begin anew, as a forked child must: it has no thread, and its parent writes the queue."""
        self._lock = threading.RLock()
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._hurry = False
        self._given_up = False

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _running(self) -> bool:
        """Start the thread where there is none; False where the system has none to give."""
        if self._alive():
            return True
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._unreported += count

    def _run(self) -> None:
        due = time.monotonic() + limits.LOG_LOOK_SECONDS
        while True:
            lines: list[bytes] = []
            with suppress(Empty):
                lines.append(self._queue.get(timeout=max(0.0, due - time.monotonic())))
                if not self._hurry:
                    # Gather what comes in a burst: each turn of this thread interrupts the loop.
                    time.sleep(limits.LOG_GATHER_SECONDS)
                size = 0
                while size < limits.LOG_WRITE_BYTES:
                    lines.append(self._queue.get_nowait())
                    size += len(lines[-1])
            self._write(lines, report=False)
            with self._lock:
                self._waiting -= sum(len(line) + limits.LOG_LINE_OVERHEAD_BYTES for line in lines)
            if time.monotonic() >= due:
                due = time.monotonic() + limits.LOG_LOOK_SECONDS
                self._look()

    def _look(self) -> None:
        """Write what is due by time: summaries, and the report of drops, as soon as it works."""
        more = self.more(time.monotonic())
        if more or (self._unreported and not self._waiting):
            lines = [more.encode("utf-8", "backslashreplace")] if more else []
            self._write(lines, report=not self._waiting)

    def _write(self, lines: list[bytes], *, report: bool) -> None:
        """Write some lines, after a report of what was dropped before them where there is need.

        Where that fails, those lines are counted that are not out whole.
        """
        reported = self._unreported if report or self._failing else 0
        first = self.report(reported).encode() if reported else b""
        if not lines and not first:
            return
        # A line that was cut in the middle must not run into the next one.
        data = (b"\n" if self._torn else b"") + first + b"".join(lines)
        written = self._write_all(data)
        left = data[written:]
        with self._lock:
            self._failing = bool(left)
            if not left:
                self._torn = False
                self._unreported -= reported
                return
            if written:
                self._torn = not data[:written].endswith(b"\n")
            self._drop(self._count_lost(lines, left))

    @staticmethod
    def _count_lost(lines: list[bytes], left: bytes) -> int:
        """Count the lines of which something is among the bytes that were not written."""
        lost, size = 0, 0
        for line in reversed(lines):
            if size >= len(left):
                break
            size += len(line)
            lost += 1
        return lost

    def _write_all(self, data: bytes) -> int:
        """Write as much as the system takes; return how much that was."""
        assert self._descriptor is not None  # noqa: S101 - `put` drops everything then
        written = 0
        try:
            while written < len(data):
                try:
                    written += os.write(self._descriptor, data[written:])
                except BlockingIOError:
                    # Another process may have made a descriptor that is shared non-blocking.
                    poll = select.poll()
                    poll.register(self._descriptor, select.POLLOUT)
                    poll.poll(1000 * limits.LOG_LOOK_SECONDS)
        except OSError:
            pass
        return written


def _reopen_pipe(descriptor: int) -> int | None:
    """Open a pipe once more, without blocking; None where it is none or the system refuses.

    The flag belongs to what is opened, so that others who share the descriptor do not notice.
    """
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        pass
    return None


_WRITERS: weakref.WeakSet[LogWriter] = weakref.WeakSet()


def _reset_all() -> None:
    for writer in tuple(_WRITERS):
        writer._reset()  # noqa: SLF001 - the same module's


os.register_at_fork(after_in_child=_reset_all)


class LossyStream(io.TextIOBase):
    """A text stream over a `LogWriter`, to stand for `sys.stderr`: writing to it never raises."""

    def __init__(self, writer: LogWriter, descriptor: int | None) -> None:
        self.writer = writer
        self._descriptor = descriptor
        self._line = ""

    encoding = "utf-8"
    errors = "backslashreplace"

    def write(self, text: str, /) -> int:
        """Pass on whole lines; what has no end yet waits for it."""
        if not isinstance(text, str):
            raise TypeError("this is a text stream")
        line = self._line + text
        whole, end, self._line = line.rpartition("\n")
        if len(self._line) > limits.LOG_WRITE_BYTES:
            whole, end, self._line = line, "\n", ""
        if end:
            self.writer.put(whole + end)
        return len(text)

    def flush(self) -> None:
        """Do nothing: the writer's thread writes as soon as it can."""

    def writable(self) -> bool:
        """Say yes."""
        return True

    def isatty(self) -> bool:
        """Say whether a person may be reading."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Return the descriptor."""
        if self._descriptor is None:
            raise OSError("there is no descriptor")
        return self._descriptor

    def close(self) -> None:
        """Write an unfinished line; the descriptor stays open."""
        if self._line:
            self.write("\n")
