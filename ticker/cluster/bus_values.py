"""What the bus between machines answers, and how it fails.

Rules for this module: values only.
"""

from __future__ import annotations

from typing import Final

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
