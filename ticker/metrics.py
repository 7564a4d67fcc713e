"""What is counted where it happens, without the library that writes it down.

Rules for this module: numbers only, and light to import: a start needs them, and the library of
Prometheus only who asks for them (`metrics_text`).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import structlog

from ticker import limits

log = structlog.get_logger()

#: From a twentieth of a default tick to a hundred of them, in seconds.
_FANOUT_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Count:
    """A number that grows.

    Attributes:
        count: the number.
    """

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        """Add one."""
        self.count += 1


class Durations:
    """How many durations there were of each length.

    Attributes:
        total: of all of them, in seconds.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with none; a duration counts under the first bound that it does not exceed."""
        self.total = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        self.total += seconds
        self._counts[bisect_left(self._bounds, seconds)] += 1

    def cumulated(self) -> list[tuple[str, float]]:
        """Return each bound, as Prometheus writes it, and how many were no longer."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))


class Metrics:
    """Counters of one service.

    Attributes:
        closed: streams that ended, by close code.
        refused: handshakes that were refused, by reason.
        requests_refused: requests of HTTP that were refused, or given up before they were whole.
        token_requests_refused: refused token requests, by reason.
        fanout_seconds: how long a tick took to go out to all.
        tokens_issued: tokens given for a key.
        connection_faults: exceptions contained in one connection.
    """

    def __init__(self) -> None:
        self.closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.requests_refused: Counter[str] = Counter()
        self.token_requests_refused: Counter[str] = Counter()
        self.tokens_issued = Count()
        self.connection_faults = Count()
        self.fanout_seconds = Durations(_FANOUT_BUCKETS)
        self._logged: dict[tuple[str, str], float] = {}

    def stream_closed(self, code: int) -> None:
        """Count the end of a stream. Codes a client made up count as one, to bound the labels."""
        known = code in limits.COUNTED_CLOSE_CODES
        self.closed[str(int(code)) if known else "other"] += 1

    def handshake_refused(self, reason: str) -> None:
        """Count a refused handshake."""
        self.refused[reason] += 1

    def request_refused(self, reason: str) -> None:
        """Count a request over HTTP that was refused, or given up before it was whole."""
        self.requests_refused[reason] += 1

    def token_request_refused(self, reason: str) -> None:
        """Count a refused token request."""
        self.token_requests_refused[reason] += 1

    def log_source_fault(self, source: str, kind: str, detail: str) -> None:
        """Log a fault that a source got over, at most once a minute per kind."""
        now = time.monotonic()
        if now - self._logged.get((source, kind), -limits.FAULT_LOG_SECONDS) >= (
            limits.FAULT_LOG_SECONDS
        ):
            self._logged[source, kind] = now
            log.warning("source_fault", source=source, kind=kind, detail=detail)
