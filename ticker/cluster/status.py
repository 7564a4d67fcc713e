"""What one worker says of itself, for `ticker cluster`."""

from __future__ import annotations

import os
from typing import Literal

import msgspec

from ticker.cluster.role import Role
from ticker.market.market import Market


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker at one moment.

    Attributes:
        worker: its name.
        pid: its process.
        role: `feeds` where it makes the ticks, `leads` where it tells its siblings of those of
            another machine, `follows` where it is told.
        term: of the feeder.
        epoch: of the last tick.
        seq: its number.
        lag_ms: how long ago that was published, by the feeder's clock.
        subscribers: its open streams.
        ready: why it is not ready; empty where it is.
    """

    worker: str
    pid: int
    role: Literal["feeds", "leads", "follows"]
    term: int
    epoch: str
    seq: int
    lag_ms: int
    subscribers: int
    not_ready: str


def status_of(
    worker: str, role: Role, market: Market, *, subscribers: int, not_ready: str | None
) -> WorkerStatus:
    """Return what a worker is now."""
    published = market.hub.published
    leads = "feeds" if role.leader.feeding else "leads"
    return WorkerStatus(
        worker=worker,
        pid=os.getpid(),
        role=leads if role.leading else "follows",  # type: ignore[arg-type]
        term=role.mirror.term,
        epoch=published.epoch,
        seq=published.seq,
        lag_ms=max(0, market.wall_ms() - published.time_ms),
        subscribers=subscribers,
        not_ready=not_ready or "",
    )
