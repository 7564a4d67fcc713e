"""What can be seen of a client: its state and its counts.

Rules for this module: values only.
"""

from __future__ import annotations

from enum import StrEnum

import attrs


class State(StrEnum):
    """Where a client is in its life."""

    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"  # to connect again
    CLOSED = "closed"  # left, or failed for good


@attrs.define
class ClientStatistics:
    """What a client has counted since it was made; users get a copy that stands still.

    Attributes:
        state: as `client.state`.
        connections: how many streams were opened; all but the first are reconnects.
        received: messages of known types.
        unknown: messages of types that only newer clients know, skipped.
        conflated: `Ticker` messages replaced by newer ones before the consumer took them.
        dropped: other messages lost because the consumer took none for very long.
        skipped_ticks: ticks of the market that a slow link made us miss, by the jumps of
            `seq`; those that the subscription's interval leaves out do not count.
        renewals: tokens renewed in-band.
        last_fault: why the last connection or attempt ended, for people; None if none did.
    """

    state: State = State.CONNECTING
    connections: int = 0
    received: int = 0
    unknown: int = 0
    conflated: int = 0
    dropped: int = 0
    skipped_ticks: int = 0
    renewals: int = 0
    last_fault: str | None = None
