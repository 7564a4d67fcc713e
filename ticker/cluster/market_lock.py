"""The lock that tells a worker without the market whether a sibling has it.

Each follower that has the market shares a lock on a file in the data directory (flock(2)), which
the kernel releases when a process ends, however it ends. A worker that has just started has no
past: were it to lead while others know the market, `seq` would begin at 1 again and no client
could be resumed. So it leads only where this lock is free.

Rules for this module: it never waits.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from ticker.storage.files import open_private

#: The file's name in the data directory.
MARKET_LOCK: Final = "market.lock"
_FLAGS: Final = os.O_RDWR | os.O_CREAT


class MarketLock:
    """One worker's share of the lock."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / MARKET_LOCK
        self._descriptor: int | None = None

    def share(self) -> None:
        """Show the siblings that this worker has the market; to be repeated, which costs nothing.

        Raises:
            OSError, UnsafeFileError: the file cannot be used.
        """
        if self._descriptor is not None:
            return
        descriptor = open_private(self._path, _FLAGS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)  # a sibling looks just now
        except OSError:
            os.close(descriptor)
            raise
        else:
            self._descriptor = descriptor

    def shared(self) -> bool:
        """Whether any worker has the market.

        Raises:
            OSError, UnsafeFileError: the file cannot be used.
        """
        descriptor = open_private(self._path, _FLAGS)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            return True
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Say nothing any more; nothing where nothing was said."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
