"""The bus between machines: what they ask of it, what it answers, and how it fails.

`redis_bus` is the one that machines use; tests that let hundreds of them fail in virtual time have
one in memory.

Rules for this module: an interface and its values; nothing of Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs

#: Before the first entry of a log.
BEGINNING: Final = "0"


class BusUnavailableError(Exception):
    """Redis cannot be asked now; the text says why, without an address or a secret."""


class SupersededError(Exception):
    """Another node has been elected since: nothing was published."""


@attrs.frozen
class Elected:
    """This node holds the lease in a new term; `head` is the last number that is known of."""

    term: int
    head: int


@attrs.frozen
class Held:
    """Another node holds the lease, for so many seconds from now if it is not prolonged."""

    seconds: float


@attrs.frozen
class Entry:
    """What was published at once, and where it stands in the log."""

    place: str
    payload: bytes


@attrs.frozen
class Snapshot:
    """The book as of an entry of the log."""

    place: str
    payload: bytes


@attrs.frozen
class Published:
    """Where an entry stands, and the last sequence number that any node has told of before."""

    place: str
    head: int


class Bus(Protocol):
    """One market on the bus, as one node sees it; every method may raise BusUnavailableError."""

    async def elect(self, known: int = 0) -> Elected | Held:
        """Ask for the lease.

        Args:
            known: the highest term that this node has heard of.
        """

    async def publish(
        self, term: int, seq: int, payload: bytes, *, keep: int, snapshot: Snapshot | None = None
    ) -> Published:
        """Add an entry to the log and prolong the lease.

        Args:
            term: this node's.
            seq: the tick that it brings followers to.
            payload: what to add.
            keep: about how many entries the log is to hold.
            snapshot: the whole book, where it is time to keep one.

        Raises:
            SupersededError: another node was elected, or the bus has lost its data.
            BusUnavailableError: it is not known whether the entry was added.
        """

    async def meet(self, term: int, seq: int) -> None:
        """Tell of the highest term and sequence number that this node has heard of."""

    async def resign(self, term: int, payload: bytes = b"") -> None:
        """Give the lease up, for another to take at once, with a last entry that says so."""

    async def snapshot(self) -> Snapshot | None:
        """Return the book as it was last kept."""

    async def holds(self, place: str) -> bool:
        """Whether an entry is in the log."""

    async def newest(self) -> str:
        """Return the place of the newest entry of the log."""

    async def log(self, after: str = BEGINNING) -> Sequence[Entry]:
        """Return all entries after a place, oldest first, without waiting."""

    async def read(self, after: str, seconds: float) -> Sequence[Entry]:
        """Wait for entries after a place; none where nothing came in time."""

    async def register(self, status: bytes, /) -> None:
        """Say what is to be known of this node; it is forgotten some time after the last word."""
