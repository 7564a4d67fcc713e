"""How long to wait before connecting again: exponential backoff with full jitter.

Rules for this module: pure but for the draw of `pause_before`. Full jitter draws each wait from
the whole range between zero and a growing bound, which spreads clients that lost the same server
better than any wait with a fixed part (M. Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ticker.client.limits import BACKOFF_INITIAL_SECONDS, BACKOFF_MAXIMUM_SECONDS


def bound(attempt: int) -> float:
    """The longest wait in seconds before reconnect number `attempt`, counted from 0."""
    try:
        return min(BACKOFF_MAXIMUM_SECONDS, math.ldexp(BACKOFF_INITIAL_SECONDS, attempt))
    except OverflowError:  # after a thousand attempts
        return BACKOFF_MAXIMUM_SECONDS


def full_jitter(attempt: int, asked_seconds: float, draw: Callable[[], float]) -> float:
    """The wait in seconds before reconnect number `attempt`.

    Args:
        attempt: how many have failed since the last stable connection.
        asked_seconds: what the server asked for, 0 where it did not. It is waited in full,
            and the jitter comes on top: a `Retry-After` is the same for everyone.
        draw: uniform in [0, 1), as `random.random`.
    """
    return asked_seconds + draw() * bound(attempt)


def pause_before(attempt: int, asked_seconds: float) -> float:
    """`full_jitter` with a draw of its own, which spreads clients and guards nothing."""
    return full_jitter(attempt, asked_seconds, random.random)
