"""A rate that holds across the workers of one machine, counted in their shared table.

Rules for this module: no event loop; the caller brings the time.
"""

from __future__ import annotations

import time

from ticker.cluster.shared_table import SharedTable
from ticker.rate_limit import Rate


class SharedLimiter:
    """One limit for each of many subjects, counted for all workers.

    Its clock is the machine's, since that of an event loop is one process's own.
    """

    def __init__(self, table: SharedTable, name: str, limit: Rate) -> None:
        """Make a limiter.

        Args:
            table: where to count.
            name: of the limit: the same subject may have several.
            limit: how many in which time.
        """
        self._table = table
        self._name = name
        self._limit = limit

    def admit(self, key: str, _now: float) -> float:
        """Count one event of a subject; see `KeyedLimiter.admit`."""
        return self._table.admit(f"{self._name} {key}", self._limit, time.monotonic())

    def wait(self, key: str, _now: float) -> float:
        """Say how long a subject would have to wait, without counting anything."""
        return self._table.wait(f"{self._name} {key}", self._limit, time.monotonic())
