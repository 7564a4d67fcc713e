"""Waiting for a condition, with a bound: the one place where tests look again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import trio

_T = TypeVar("_T")
#: How often a condition outside this process is looked at.
_LOOK_SECONDS: Final = 0.03


def wait_until(condition: Callable[[], _T | None], what: str, *, seconds: float = 10.0) -> _T:
    """Return what a condition gives once that is true; for tests without trio."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(_LOOK_SECONDS)


async def eventually(condition: Callable[[], _T | None], what: str, *, seconds: float = 10.0) -> _T:
    """Return what a condition gives once that is true, letting other tasks run meanwhile."""
    deadline = trio.current_time() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert trio.current_time() < deadline, f"waited {seconds} s in vain for {what}"
        await trio.sleep(_LOOK_SECONDS)
