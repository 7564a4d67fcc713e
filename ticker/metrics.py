"""What the service counts and measures, as Prometheus metrics: every family has its home here.

Two kinds. `Metrics` holds what is counted where it happens. `Readings` holds what is read at a
scrape: plain integers that the parts of the service keep (`statistics()`), so that nothing on the
way of a price touches a metric.

Rules for this module: it knows numbers and names, not the parts of the service they come from.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ticker import limits

log = structlog.get_logger()

#: From a twentieth of a default tick to a hundred of them, in seconds.
_FANOUT_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@attrs.frozen(kw_only=True)
class Readings:
    """What is read at a scrape; `_GAUGES`, `_COUNTERS` and `_LABELLED` say what each means."""

    streams_open: int
    sessions: int
    subscriptions: int
    topics: int
    streams_behind: int
    connections_open: int
    tasks: int
    tokens_cached: int
    revocation_seen: int
    database_available: bool
    history_kept: bool
    frames_sent: int
    frames_skipped: int
    frames_encoded: int
    ticks: int
    ticks_skipped: int
    streams_stalled: int
    log_dropped: int
    history_written: int
    source_up: Mapping[str, bool]
    source_restarts: Mapping[str, int]
    source_faults: Mapping[tuple[str, str], int]
    keys_refused: Mapping[str, int]
    tokens_refused: Mapping[str, int]
    history_failures: Mapping[str, int]
    #: Seconds by symbol, for the symbols that the reader may see.
    price_age: Mapping[str, float]


_GAUGES: Final = {
    "streams_open": "Streams that are open",
    "sessions": "Sessions that converse",
    "subscriptions": "Subscriptions to topics",
    "topics": "Topics with a subscriber",
    "streams_behind": "Subscribers that are skipped until writable",
    "connections_open": "Connections of any kind",
    "tasks": "Trio tasks",
    "tokens_cached": "Tokens known without a database read",
    "revocation_seen": "The number of the last revocation that was read",
    "database_available": "Whether the database could be used the last time",
    "history_kept": "Whether the past could be kept the last time",
}
_COUNTERS: Final = {
    "frames_sent": "Ticker frames given to the kernel",
    "frames_skipped": "Ticker frames that a subscriber missed",
    "frames_encoded": "Ticker frames encoded, once a topic",
    "ticks": "Ticks of the market",
    "ticks_skipped": "Ticks whose turn had passed",
    "streams_stalled": "Readers cut off",
    "log_dropped": "Lines of the log that were lost",
    "history_written": "Transactions with which the past was kept",
}
#: The family, what it means, and its labels.
_LABELLED: Final = {
    "source_restarts": ("Restarts after a crash", ("source",)),
    "source_faults": ("What a source got over by itself", ("source", "kind")),
    "keys_refused": ("API keys that were refused in an exchange", ("reason",)),
    "tokens_refused": ("Tokens that were refused", ("reason",)),
    "history_failures": ("Attempts to keep or read the past that failed", ("reason",)),
}


class Metrics:
    """Counters that are counted where something happens, in a registry of their own.

    Attributes:
        fanout_seconds: how long a tick took to go out to all.
        tokens_issued: tokens given for a key.
        connection_faults: exceptions contained in one connection.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._closed = self._counter(
            "streams_closed", "Streams that ended, by close code", ["code"]
        )
        self._refused = self._counter(
            "handshakes_refused", "Handshakes that were refused", ["reason"]
        )
        self._requests_refused = self._counter(
            "requests_refused", "Requests over HTTP that were refused", ["reason"]
        )
        self._tokens_refused = self._counter(
            "token_requests_refused", "Token requests that were refused", ["reason"]
        )
        self.tokens_issued = self._counter("tokens_issued", "Tokens given for a key")
        self.connection_faults = self._counter(
            "connection_faults", "Exceptions contained in one connection"
        )
        self.fanout_seconds = Histogram(
            "ticker_fanout_seconds",
            "How long a tick took to go out to all",
            buckets=_FANOUT_BUCKETS,
            registry=self._registry,
        )
        self._logged: dict[tuple[str, str], float] = {}

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"ticker_{name}", text, labels, registry=self._registry)

    def stream_closed(self, code: int) -> None:
        """Count the end of a stream. Codes a client made up count as one, to bound the labels."""
        known = code in limits.COUNTED_CLOSE_CODES
        self._closed.labels(str(code) if known else "other").inc()

    def handshake_refused(self, reason: str) -> None:
        """Count a refused handshake."""
        self._refused.labels(reason).inc()

    def request_refused(self, reason: str) -> None:
        """Count a request over HTTP that was refused, or given up before it was whole."""
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

    def text(self, readings: Readings) -> bytes:
        """Return everything in Prometheus' text format, version 0.0.4."""
        read = CollectorRegistry()
        read.register(_Read(readings))
        return generate_latest(self._registry) + generate_latest(read) + _ages(readings.price_age)


class _Read(Collector):
    """The families of what was read."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"ticker_{name}", text, value=getattr(self._readings, name))
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"ticker_{name}", text, value=getattr(self._readings, name))
        up = GaugeMetricFamily("ticker_source_up", "Whether a source is live", labels=["source"])
        for source, live in self._readings.source_up.items():
            up.add_metric([source], live)
        yield up
        for name, (text, labels) in _LABELLED.items():
            family = CounterMetricFamily(f"ticker_{name}", text, labels=labels)
            for values, count in getattr(self._readings, name).items():
                family.add_metric([values] if isinstance(values, str) else values, count)
            yield family


def _ages(ages: Mapping[str, float]) -> bytes:
    """Write the one family that may have thousands of samples, at a tenth of the usual cost.

    A symbol holds nothing that would have to be escaped.
    """
    name = "ticker_price_age_seconds"
    lines = [f"# HELP {name} Since the newest quote came\n# TYPE {name} gauge\n"]
    lines += [f'{name}{{symbol="{symbol}"}} {age}\n' for symbol, age in ages.items()]
    return "".join(lines).encode()
