"""Places that are taken and given back, counted by subject.

Rules for this module: it counts in this process; `ticker.cluster.shared_table` counts for several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol


class LimitReachedError(Exception):
    """A limit is reached; `place` says which of those that were asked for."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


class NoRoomError(Exception):
    """So many subjects hold a place that one more cannot be counted."""


class Places(Protocol):
    """Who holds how many places."""

    def take(self, subjects: Sequence[str], most: Sequence[int]) -> None:
        """Take a place for each of some subjects, or for none of them.

        Args:
            subjects: for whom; no two are the same.
            most: the limit of each; 0 for none.

        Raises:
            LimitReachedError: one of the limits is reached.
            NoRoomError: one of them cannot be counted.
        """

    def give_back(self, subjects: Sequence[str]) -> None:
        """Give a place of each of some subjects back."""

    def count(self, subject: str) -> int:
        """Return how many places of a subject are taken."""


class LocalPlaces:
    """The places of one process."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, subjects: Sequence[str], most: Sequence[int]) -> None:
        """Take a place for each of some subjects; see `Places.take`."""
        for place, (subject, limit) in enumerate(zip(subjects, most, strict=True)):
            if limit and self._taken[subject] >= limit:
                raise LimitReachedError(place)
        for subject in subjects:
            self._taken[subject] += 1

    def give_back(self, subjects: Sequence[str]) -> None:
        """Give a place of each of some subjects back."""
        for subject in subjects:
            self._taken[subject] -= 1
            if not self._taken[subject]:
                # What has no place is not remembered, or the table would only grow.
                del self._taken[subject]

    def count(self, subject: str) -> int:
        """Return how many places of a subject are taken."""
        return self._taken[subject]
