"""A failed worker of Hypercorn's command ends the command with a failure.

Hypercorn 0.18 asks its workers for their exit codes twice, the second time when none is left, and
so its command ends with 0 whatever became of them (`hypercorn/run.py`, `_join_exited`): a service
manager would not restart what has failed. Nothing of this program runs in the command's own
process. So each worker, as the first thing it does, leaves a small process behind, the watcher,
which waits for the worker's end. Unless the worker has said that it ends well, the watcher ends
the command: by a signal that the command does not handle, so that it dies of it.

The watcher holds the worker's end of the pipe by which the command learns that a worker is gone
(`multiprocessing`'s sentinel), so that the command does not go on before the watcher has acted.

The first process of a container ignores signals from inside that it does not handle. There the
watcher takes away the command's descriptors (`prlimit`, RLIMIT_NOFILE) and wakes it, so that its
next poll(2) fails, and the command with it. It stays until then: were it gone before the command
runs again, that poll would tell of the worker's end instead, and the command end with 0.

A worker that is killed before it has loaded this program, within its first tenths of a second, has
no watcher yet.
"""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import resource
import signal
import stat
import time
from contextlib import suppress
from multiprocessing.synchronize import SemLock
from typing import Final

_WELL: Final = b"1"
_LONG_SECONDS: Final = 3600.0
#: The descriptors below are standard input, output and error.
_FIRST_FREE: Final = 3
#: Of signals to the whole process group the watcher takes none: it outlives the worker.
_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


class ExitWatcher:
    """The process that watches over this worker."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor

    def ends_well(self) -> None:
        """Note that the end of this worker, which is near, is no failure."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, _WELL)


def start_exit_watcher() -> ExitWatcher:
    """Start the watcher of a worker of Hypercorn's command, before the worker has any thread.

    Elsewhere there is none, and nothing to guard: a process tells its failure itself.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return ExitWatcher()
    command = _Command(parent.pid)
    reading, writing = _pipe()
    if os.fork():
        os.close(reading)
        return ExitWatcher(writing)
    try:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        os.close(writing)
        _close_sockets()
        if os.read(reading, 1) != _WELL:
            command.fail()
    finally:
        os._exit(0)


def _pipe() -> tuple[int, int]:
    """Make a pipe whose ends no one takes for standard output or error where that was closed."""
    ends = os.pipe()
    higher = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for end in ends]
    for end in ends:
        os.close(end)
    return higher[0], higher[1]


class _Command:
    """Hypercorn's command, by a descriptor if possible, since a number may change hands."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor = _descriptor_of(pid)

    def fail(self) -> None:
        """End it with a failure; do nothing where it has gone."""
        with suppress(ProcessLookupError):
            if self._pid == 1:
                resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (0, 0))
                self._signal(signal.SIGTERM)
                while True:  # the watcher ends with the first process, as all others do
                    time.sleep(_LONG_SECONDS)
            else:
                _remove_semaphores()
                self._signal(signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        if self._descriptor is None:
            os.kill(self._pid, number)
        else:
            signal.pidfd_send_signal(self._descriptor, number)


def _remove_semaphores() -> None:
    """Remove the semaphores by which the command and its workers speak, as it would at its end.

    Killed by a signal it does not, and Python's tracker of such things would warn of them, below
    the one line that says why the worker failed.
    """
    for each in gc.get_objects():
        if isinstance(each, SemLock):
            # Where another watcher was first there is nothing left to remove.
            with suppress(OSError):
                SemLock._cleanup(each._semlock.name)  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public does


def _descriptor_of(pid: int) -> int | None:
    """Open a process; None where the system cannot, or a sandbox does not let it."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _close_sockets() -> None:
    """Let go of the listening sockets: they are the worker's."""
    for number in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - numbers are enough
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.close(number)
