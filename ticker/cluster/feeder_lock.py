"""The lock by which the workers of one machine elect their feeder.

It is a lock on a file in the data directory (flock(2)), which the kernel releases when a process
ends, however it ends. One that ends in good order hands it over by descriptor: it is then free at
no moment. The file holds the number of elections so far: the term of the one who holds
the lock, which tells what a former feeder says from what the present one does.

Rules for this module: it never waits.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ticker.storage.files import open_private

#: The file's name in the data directory.
FEEDER_LOCK: Final = "feeder.lock"
_DIGITS: Final = 20


class FeederLock:
    """The lock, held or not.

    Attributes:
        term: of the last election that was won here; 0 before the first.
    """

    def __init__(self, data_dir: Path) -> None:
        self.term = 0
        self._path = data_dir / FEEDER_LOCK
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process feeds the others."""
        return self._descriptor is not None

    def take(self, fit: Callable[[], bool] = lambda: True) -> bool:
        """Try to take it; says whether it is held now.

        Args:
            fit: whether this process is to have it, asked while no other one can take it.

        Raises:
            OSError, UnsafeFileError: the file cannot be used.
        """
        if self._descriptor is not None:
            return True
        descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT)
        try:
            if not _locked(descriptor) or not fit():
                os.close(descriptor)
                return False
            self._begin_term(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def adopt(self, descriptor: int) -> None:
        """Go on with the lock of a process that hands it over, in a term of this one.

        Args:
            descriptor: the other's, as it came through a socket; closed by `release`.

        Raises:
            OSError: the file cannot be used.
        """
        self.release()
        self._descriptor = descriptor
        self._begin_term(descriptor)

    def share(self, hand: Callable[[int], None]) -> None:
        """Give another process the lock, which is free once both have released it.

        Args:
            hand: sends a descriptor.
        """
        if self._descriptor is not None:
            hand(self._descriptor)

    def _begin_term(self, descriptor: int) -> None:
        text = os.pread(descriptor, _DIGITS, 0)
        self.term = (int(text) if text.strip().isdigit() else 0) + 1
        os.pwrite(descriptor, b"%d\n" % self.term, 0)

    def release(self) -> None:
        """Let others have it; nothing where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    """Lock a file unless another process has; says whether it did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise
        return False
    return True
