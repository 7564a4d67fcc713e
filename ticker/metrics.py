"""What the service counts, as Prometheus metrics.

Nothing on the way of a price touches a metric: what is counted there are plain integers in
`statistics()`, read when somebody scrapes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ticker import limits

log = structlog.get_logger()

#: From a twentieth of a default tick to a hundred of them, in seconds.
FANOUT_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Durations:
    """A histogram of times, kept in plain numbers."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._total += seconds

    def metric(self, name: str, text: str) -> Metric:
        """Return what was counted so far as a metric."""
        names = [*map(str, self._bounds), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._total)


class Metrics:
    """Counters that are counted where something happens, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._closed = Counter(
            "ticker_streams_closed",
            "Streams that ended, by close code",
            ["code"],
            registry=self.registry,
        )
        self._refused = Counter(
            "ticker_handshakes_refused",
            "Handshakes that were refused",
            ["reason"],
            registry=self.registry,
        )
        self._requests_refused = Counter(
            "ticker_requests_refused",
            "Requests over HTTP whose token was refused",
            ["reason"],
            registry=self.registry,
        )
        self.tokens_issued = Counter(
            "ticker_tokens_issued", "Tokens given for a key", registry=self.registry
        )
        self._tokens_refused = Counter(
            "ticker_token_requests_refused",
            "Token requests that were refused",
            ["reason"],
            registry=self.registry,
        )
        self.connection_faults = Counter(
            "ticker_connection_faults",
            "Exceptions contained in one connection",
            registry=self.registry,
        )
        self._logged: dict[tuple[str, str], float] = {}

    def stream_closed(self, code: int) -> None:
        """Count the end of a stream. Codes a client made up count as one, to bound the labels."""
        known = code in limits.COUNTED_CLOSE_CODES
        self._closed.labels(str(code) if known else "other").inc()

    def handshake_refused(self, reason: str) -> None:
        """Count a refused handshake."""
        self._refused.labels(reason).inc()

    def request_refused(self, reason: str) -> None:
        """Count a request over HTTP whose token was refused."""
        self._requests_refused.labels(reason).inc()

    def token_request_refused(self, reason: str) -> None:
        """Count a refused token request."""
        self._tokens_refused.labels(reason).inc()

    def log_source_fault(self, source: str, kind: str, detail: str) -> None:
        """Log a fault that a source got over, at most once a minute per kind."""
        now = time.monotonic()
        if now - self._logged.get((source, kind), -limits.FAULT_LOG_SECONDS) >= (
            limits.FAULT_LOG_SECONDS
        ):
            self._logged[source, kind] = now
            log.warning("source_fault", source=source, kind=kind, detail=detail)

    def text(self, more: Iterable[Metric]) -> bytes:
        """Return everything, and what is computed at this scrape, in Prometheus' text format."""
        computed = CollectorRegistry()
        computed.register(_Computed(more))
        return generate_latest(self.registry) + generate_latest(computed)


class _Computed(Collector):
    """A collector of metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics
