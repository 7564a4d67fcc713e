"""Connections to one SQLite file, few of them, each used by one thread at a time.

Rules for this module: it opens, lends, takes back and closes; what is run over a connection, and
what an error means, is its user's business. The file may be replaced by another of the same name:
a connection to one that is no longer there is not lent again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

_Identity = tuple[int, int]


class PoolBusyError(Exception):
    """No connection became free in time."""


@attrs.frozen
class _Connection:
    """An open connection.

    Attributes:
        raw: of the driver.
        file: what its file was when it was opened.
        generation: of connections: one of an earlier generation is not to be used again.
    """

    raw: sqlite3.Connection
    file: _Identity
    generation: int


class SqlitePool:
    """Lends connections."""

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        *,
        size: int,
        patience: float,
    ) -> None:
        """Begin without a connection.

        Args:
            path: of the file.
            connect: opens one, usable by any thread.
            size: how many there may be.
            patience: how long to wait for one to become free, in seconds.
        """
        self._path: Final = path
        self._connect = connect
        self._patience = patience
        self._free = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._generation = 0
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection until the block is left; one that is in a transaction then is closed.

        Raises:
            PoolBusyError: none became free in time.
            sqlite3.Error, OSError: one cannot be opened.
        """
        if not self._free.acquire(timeout=self._patience):
            raise PoolBusyError
        try:
            connection = self._take() or self._open()
            try:
                yield connection.raw
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def renew(self) -> None:
        """Let every connection there is be replaced by a new one, also those that are lent."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.raw.close()

    def close(self) -> None:
        """Close every connection, a lent one once it is back, and keep none any more."""
        self._closed = True
        self.renew()

    def _take(self) -> _Connection | None:
        """Return an idle connection to the file of that name as it is now, if there is one."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            try:
                if connection.file == self._identity():
                    return connection
            except OSError:
                pass  # opening a new one says what is wrong
            connection.raw.close()

    def _open(self) -> _Connection:
        generation, raw = self._generation, self._connect()
        try:
            return _Connection(raw, self._identity(), generation)
        except BaseException:
            raw.close()
            raise

    def _put_back(self, connection: _Connection) -> None:
        with self._lock:
            good = connection.generation == self._generation and not connection.raw.in_transaction
            if good and not self._closed:
                self._idle.append(connection)
                return
        connection.raw.close()

    def _identity(self) -> _Identity:
        status = self._path.stat()
        return status.st_dev, status.st_ino
