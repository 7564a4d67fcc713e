"""The lock on the data directory: one service at a time, of one process or of several workers.

Two services over one data directory would each invent prices. The workers of one service share it:
they have the same parent, our supervisor or Hypercorn's command, whose identity stands in the file.
"""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ticker import limits
from ticker.server.process import ServiceError
from ticker.storage.files import UnsafeFileError, make_directory, open_private

_LOCK_FILE: Final = "server.lock"
#: Held while a worker looks at, or makes, what all of them share.
_START_FILE: Final = "start.lock"
_IDENTITY_BYTES: Final = 200
_BUSY: Final = frozenset({errno.EWOULDBLOCK, errno.EACCES})


def identity(pid: int) -> str:
    """Return what no other process has had, or will have, while this one lives: as a service.

    A number alone would not do: two containers over one directory each have a process 1.
    """
    namespace = begun = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
        # proc_pid_stat(5): the 22nd field, counted after the name, which may hold anything.
        begun = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{pid} {begun} {namespace}"


def service_of_workers(*, supervised: bool) -> str | None:
    """Return the identity of the service that this process is a worker of; None if it is none.

    Args:
        supervised: whether our own supervisor is its parent.
    """
    worker = supervised or multiprocessing.parent_process() is not None
    return identity(os.getppid()) if worker else None


@contextmanager
def locked(data_dir: Path, service: str | None = None) -> Iterator[None]:
    """Hold the data directory until the block is left.

    Args:
        data_dir: made where there is none.
        service: the service that this process is a worker of, or supervises; None for a process
            by itself.

    Raises:
        ServiceError: another service holds it, or it cannot be used.
    """
    with _one_fault(f"{data_dir} cannot be used as data directory"):
        make_directory(data_dir)
    descriptor = _open(data_dir / _LOCK_FILE)
    try:
        try:
            taken = _take(descriptor, service)
        except OSError as error:
            raise ServiceError(f"{data_dir} cannot be locked: {error.strerror}") from None
        if not taken:
            raise ServiceError(
                f"another Ticker serves from {data_dir}: give each its own TICKER_DATA_DIR, or "
                f"run one with several workers (`ticker serve --workers N`)"
            )
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, service: str | None) -> bool:
    """Take the lock alone, or together with the workers of one service."""
    if service is None:
        return _lock(descriptor, fcntl.LOCK_EX)
    until = time.monotonic() + limits.SERVICE_LOCK_SECONDS
    while True:
        if _lock(descriptor, fcntl.LOCK_EX):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, service.encode(), 0)
        # Changing the lock's kind lets it go for a moment: what is in the file is read once more.
        if _lock(descriptor, fcntl.LOCK_SH):
            return os.pread(descriptor, _IDENTITY_BYTES, 0) == service.encode()
        if time.monotonic() > until:
            return False  # one process by itself holds it
        time.sleep(limits.ELECTION_PAUSE_SECONDS)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


@contextmanager
def starting(data_dir: Path) -> Iterator[None]:
    """Keep other workers from looking at what all of them share until the block is left.

    It waits for them, so it is for a thread.

    Raises:
        ServiceError: the file for it cannot be used.
    """
    descriptor = _open(data_dir / _START_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def look_at(data_dir: Path, names: Iterable[str]) -> None:
    """Refuse files that others may have put into the data directory, before anything is served.

    Raises:
        ServiceError: one is a link, no plain file, or belongs to another user.
    """
    for name in names:
        os.close(_open(data_dir / name))


def _open(path: Path) -> int:
    with _one_fault(f"{path} cannot be used"):
        return open_private(path, os.O_RDWR | os.O_CREAT)


@contextmanager
def _one_fault(text: str) -> Iterator[None]:
    """Turn what is wrong with a file into one line."""
    try:
        yield
    except UnsafeFileError as error:
        raise ServiceError(str(error)) from None
    except OSError as error:
        raise ServiceError(f"{text}: {error.strerror}") from None
