"""Limits that hold across the workers of one machine: a table in memory that they all map.

Theory of operation. The table is a file of fixed size that every worker maps. Its first part
counts what is open: a row for each subject (a token, an address, a key, all of them) and a
column for each worker, so that what a dead worker held is known and can be given back. Its
second part holds, for each subject of a rate, the moment at which its bucket is empty again
(see `rate_limit`); the monotonic clock is one for all processes of a machine.

A subject's row is one of the few that begin where its digest says; a row without a place taken,
or with a bucket that has run empty, is free for the next subject.

One lock guards every change: a lock on a byte of the file (`F_OFD_SETLK` of fcntl(2)), which
the kernel releases when a process ends, however it ends. It is held for a few microseconds. A
worker that is stopped in just that moment must not stop the others: taking the lock is tried for
`limits.SHARED_LOCK_SECONDS`, then the change is made without it, and counted. So that this lets
none too many in, a place is always taken first, in the worker's own column, and given back where
the sum is beyond the limit then: of two that take the last place at once, at least one sees
both, and one too few may be in, never one too many. A worker shows that it lives by a lock on
the byte of its column.

Rules for this module: bytes in a map; no event loop, and the caller brings the time.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from ticker import limits
from ticker.places import LimitReachedError, NoRoomError
from ticker.rate_limit import Rate

_MAGIC: Final = b"ticker-limits-1\n"
_HEADER_BYTES: Final = 4096
_DIGEST_BYTES: Final = 16
#: A row of counts: the digest, then an unsigned 32-bit count for each worker.
_COUNT_WORDS: Final = _DIGEST_BYTES // 4 + limits.WORKERS_MOST
_COUNT_ROW: Final = _COUNT_WORDS * 4
#: A row of rates: the digest, then a moment in monotonic seconds as a double.
_RATE_ROW: Final = _DIGEST_BYTES + 8
_COUNTS_AT: Final = _HEADER_BYTES
_RATES_AT: Final = _COUNTS_AT + _COUNT_ROW * limits.SHARED_SUBJECTS
_SIZE: Final = _RATES_AT + _RATE_ROW * limits.SHARED_RATES
_DUE: Final = struct.Struct("<d")
#: Which byte of the file is locked for what: 0 for a change, then one for each column.
_CHANGE: Final = 0
_ALIVE: Final = 1
#: How many rows a subject may be in.
_PROBES: Final = 32
#: `struct flock` of <fcntl.h>: type, whence, start, length, process.
_FLOCK: Final = struct.Struct("@hhqqi4x")


class TableFullError(NoRoomError):
    """There is no free row where a subject's could be, or no column for another worker."""


class SharedTable:
    """One worker's view of the table.

    Attributes:
        column: this worker's.
        contended: how often a change was made without the lock.
    """

    def __init__(self, path: Path) -> None:
        """Map the table, making it where there is none, and take a column.

        Raises:
            OSError: the file cannot be used.
            TableFullError: `limits.WORKERS_MOST` workers have a column already.
        """
        self.contended = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)
        try:
            os.ftruncate(self._file, _SIZE)  # a file that is there has this size already
            self._map = mmap.mmap(self._file, _SIZE)
            self._bytes = memoryview(self._map)
            self._counts = self._bytes[_COUNTS_AT:_RATES_AT].cast("I")
            with self._changing():
                if self._map[: len(_MAGIC)] != _MAGIC:
                    self._map[:_SIZE] = _MAGIC + bytes(_SIZE - len(_MAGIC))
                self.column = self._take_column()
                self._clear(self.column)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back everything that this worker holds, and its column."""
        with self._changing():
            self._clear(self.column)
        self._counts.release()
        self._bytes.release()
        self._map.close()
        os.close(self._file)

    def take(self, subjects: Sequence[str], most: Sequence[int]) -> None:
        """Take a place for each of some subjects, or for none of them.

        Args:
            subjects: for whom; no two are the same.
            most: the limit of each; 0 for none.

        Raises:
            LimitReachedError: one of the limits is reached.
            TableFullError: there is no row for one of them.
        """
        digests = [_digest(subject) for subject in subjects]
        with self._changing():
            rows: list[int] = []
            for digest in digests:
                row = self._find(digest)
                rows.append(self._free_row(digest, rows) if row is None else row)
            for row, digest in zip(rows, digests, strict=True):
                start = _COUNTS_AT + row * _COUNT_ROW
                self._map[start : start + _DIGEST_BYTES] = digest
                self._counts[self._cell(row)] += 1
            for place, (row, limit) in enumerate(zip(rows, most, strict=True)):
                if limit and self._total(row) > limit:
                    for taken in rows:
                        self._counts[self._cell(taken)] -= 1
                    raise LimitReachedError(place)

    def give_back(self, subjects: Sequence[str]) -> None:
        """Give a place of each of some subjects back, which this worker took."""
        digests = [_digest(subject) for subject in subjects]
        with self._changing():
            for digest in digests:
                row = self._find(digest)
                if row is not None and self._counts[self._cell(row)]:
                    self._counts[self._cell(row)] -= 1

    def count(self, subject: str) -> int:
        """Return how many places of a subject are taken by all workers together."""
        row = self._find(_digest(subject))
        return 0 if row is None else self._total(row)

    def admit(self, subject: str, limit: Rate, now: float) -> float:
        """Count one event of a subject.

        Args:
            subject: whose.
            limit: how many in which time.
            now: monotonic seconds, of the clock that all processes of the machine share.

        Returns:
            0.0 where it is within the limit, else the seconds to wait.
        """
        digest = _digest(subject)
        with self._changing():
            at = self._rate_row(digest)
            known = self._map[at : at + _DIGEST_BYTES] == digest
            due = _DUE.unpack_from(self._map, at + _DIGEST_BYTES)[0] if known else 0.0
            due, wait = limit.admit(due, now)
            self._map[at : at + _RATE_ROW] = digest + _DUE.pack(due)
        return wait

    def wait(self, subject: str, limit: Rate, now: float) -> float:
        """Say how long a subject would have to wait, without counting anything."""
        at = self._rate_row(digest := _digest(subject))
        known = self._map[at : at + _DIGEST_BYTES] == digest
        due = _DUE.unpack_from(self._map, at + _DIGEST_BYTES)[0] if known else 0.0
        return limit.admit(due, now)[1]

    def reclaim(self) -> int:
        """Give back what workers held that have ended; returns how many of those there were."""
        ended = 0
        for column in range(limits.WORKERS_MOST):
            if column == self.column or not self._used(column):
                continue
            if self._lock(_ALIVE + column):
                try:
                    with self._changing():
                        self._clear(column)
                        self._map[len(_MAGIC) + column] = 0
                finally:
                    self._unlock(_ALIVE + column)
                ended += 1
        return ended

    def _used(self, column: int) -> bool:
        return bool(self._map[len(_MAGIC) + column])

    def _take_column(self) -> int:
        for column in range(limits.WORKERS_MOST):
            if self._lock(_ALIVE + column):
                self._map[len(_MAGIC) + column] = 1
                return column
        raise TableFullError(f"{limits.WORKERS_MOST} workers have a place in the table already")

    def _clear(self, column: int) -> None:
        first = _DIGEST_BYTES // 4 + column
        nothing = memoryview(array("I", bytes(4 * limits.SHARED_SUBJECTS)))
        self._counts[first::_COUNT_WORDS] = nothing

    def _cell(self, row: int) -> int:
        return row * _COUNT_WORDS + _DIGEST_BYTES // 4 + self.column

    def _total(self, row: int) -> int:
        first = row * _COUNT_WORDS + _DIGEST_BYTES // 4
        return sum(self._counts[first : first + limits.WORKERS_MOST])

    def _find(self, digest: bytes) -> int | None:
        """Return the row of counts that a digest has, if it has one with a place taken."""
        first = _first(digest, limits.SHARED_SUBJECTS)
        start = _COUNTS_AT + first * _COUNT_ROW
        end = start + _PROBES * _COUNT_ROW
        found = self._map.find(digest, start, end)
        while found != -1 and (found - start) % _COUNT_ROW:
            found = self._map.find(digest, found + 1, end)
        return None if found == -1 else first + (found - start) // _COUNT_ROW

    def _free_row(self, digest: bytes, taken: Sequence[int]) -> int:
        first = _first(digest, limits.SHARED_SUBJECTS)
        for row in range(first, first + _PROBES):
            if row not in taken and not self._total(row):
                return row
        raise TableFullError("too many subjects at once")

    def _rate_row(self, digest: bytes) -> int:
        """Return where a digest's rate is, or may be: in place of the one that is empty first."""
        start = _RATES_AT + _first(digest, limits.SHARED_RATES) * _RATE_ROW
        end = start + _PROBES * _RATE_ROW
        found = self._map.find(digest, start, end)
        while found != -1 and (found - start) % _RATE_ROW:
            found = self._map.find(digest, found + 1, end)
        if found != -1:
            return found
        places = range(start, end, _RATE_ROW)
        return min(places, key=lambda at: _DUE.unpack_from(self._map, at + _DIGEST_BYTES)[0])

    @contextmanager
    def _changing(self) -> Iterator[None]:
        locked = self._lock(_CHANGE)
        if not locked:
            until = time.monotonic() + limits.SHARED_LOCK_SECONDS
            while not (locked := self._lock(_CHANGE)) and time.monotonic() < until:
                os.sched_yield()
            self.contended += not locked
        try:
            yield
        finally:
            if locked:
                self._unlock(_CHANGE)

    def _lock(self, byte: int) -> bool:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, asked)
        except BlockingIOError:
            return False
        return True

    def _unlock(self, byte: int) -> None:
        asked = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0)
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, asked)


def _digest(subject: str) -> bytes:
    """Return what stands for a subject: no address or token is in the file."""
    return hashlib.blake2b(subject.encode(), digest_size=_DIGEST_BYTES).digest()


def _first(digest: bytes, rows: int) -> int:
    return int.from_bytes(digest[:8], "little") % (rows - _PROBES)
