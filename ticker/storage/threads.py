"""Database work in worker threads, each call with a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

from ticker import limits
from ticker.storage.errors import DatabaseUnavailableError

_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")


async def in_thread(
    limiter: trio.CapacityLimiter,
    work: Callable[[*_Args], _Result],
    *args: *_Args,
    seconds: float | None = None,
) -> _Result:
    """Run database work in a thread.

    Cancelled, or after the deadline, the work is given up on, not undone. The deadline is
    `limits.DATABASE_DEADLINE_SECONDS` unless it is said.

    Raises:
        DatabaseUnavailableError: it takes too long, or the work raised this.
    """
    with trio.move_on_after(limits.DATABASE_DEADLINE_SECONDS if seconds is None else seconds):
        return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=limiter)
    raise DatabaseUnavailableError("slow", "the database does not answer in time")
