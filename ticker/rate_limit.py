"""How often something may happen: the generic cell rate algorithm (ITU-T I.371).

Rules for this module: values in, values out; the caller brings the time, a monotonic one,
so that a jump of the wall clock neither opens nor shuts a limit. One bucket costs a single
number, which is what lets a table of them be bounded.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import attrs

from ticker import limits


@attrs.frozen
class Rate:
    """So many events in so many seconds, all of which may come in one burst.

    Attributes:
        count: how many; also the burst. 0 lifts the limit.
        seconds: in how long.
    """

    count: int
    seconds: float

    def admit(self, due: float, now: float) -> tuple[float, float]:
        """Decide on one event.

        Args:
            due: what the last call for this bucket returned first; 0.0 at the beginning.
            now: monotonic seconds.

        Returns:
            The bucket's new state, and 0.0 where the event is admitted, else the
            seconds until the next would be.
        """
        if self.count == 0:
            return due, 0.0
        spacing = self.seconds / self.count
        due = max(due, now)
        wait = due - now - (self.seconds - spacing)
        # Sums of spacings carry float noise, and a caller's clock is never finer than this.
        if wait > 1e-9:  # noqa: PLR2004 - a nanosecond
            return due, wait
        return due + spacing, 0.0


class Bucket:
    """One limit for one subject."""

    __slots__ = ("_due", "_limit")

    def __init__(self, limit: Rate) -> None:
        self._limit = limit
        self._due = 0.0

    def admit(self, now: float) -> bool:
        """Say whether one more event at this time is within the limit, and count it if so."""
        self._due, wait = self._limit.admit(self._due, now)
        return wait == 0.0


class Budget:
    """A limit on work rather than on events: what costs more is waited for longer.

    Nothing is refused. What is begun is paid for afterwards, by waiting before the next.
    """

    __slots__ = ("_burst", "_paid_at", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        """Make a budget.

        Args:
            rate: how much may be spent in a second.
            burst: how much may be spent at once.
        """
        self._rate = rate
        self._burst = burst
        self._paid_at = -math.inf

    def spend(self, cost: float, now: float) -> float:
        """Spend some; return how many seconds to wait before doing what it is for."""
        start = max(self._paid_at, now - self._burst / self._rate)
        self._paid_at = start + cost / self._rate
        return max(0.0, self._paid_at - now)


class Limiter(Protocol):
    """One limit for each of many subjects."""

    def admit(self, key: str, now: float, /) -> float:
        """Count one event of a subject; 0.0 where it is within the limit, else the wait."""

    def wait(self, key: str, now: float, /) -> float:
        """Say how long a subject would have to wait, without counting anything."""


#: Makes a limiter, given its name and its limit.
MakeLimiter = Callable[[str, Rate], Limiter]


class KeyedLimiter:
    """One limit for each of many subjects, in a table of bounded size.

    A full table forgets the subject it has not heard of for longest: under an attack from
    more addresses than it holds it fails open for the quietest of them.
    """

    def __init__(self, limit: Rate, *, capacity: int) -> None:
        self._limit = limit
        self._capacity = capacity
        self._due: OrderedDict[str, float] = OrderedDict()

    def admit(self, key: str, now: float) -> float:
        """Count one event of a subject.

        Returns:
            0.0 where it is within the limit, else the seconds to wait.
        """
        due, wait = self._limit.admit(self._due.get(key, 0.0), now)
        self._remember(key, due)
        return wait

    def wait(self, key: str, now: float) -> float:
        """Say how long a subject would have to wait, without counting anything."""
        return self._limit.admit(self._due.get(key, 0.0), now)[1]

    def _remember(self, key: str, due: float) -> None:
        self._due[key] = due
        self._due.move_to_end(key)
        if len(self._due) > self._capacity:
            self._due.popitem(last=False)

    def __len__(self) -> int:
        return len(self._due)


def local_limiter(_name: str, limit: Rate) -> Limiter:
    """Make a limiter that counts in this process alone."""
    return KeyedLimiter(limit, capacity=limits.LIMITER_ADDRESSES)
