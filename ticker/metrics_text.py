"""What is counted and read, as Prometheus' text: every family has its home here.

Two kinds. `Metrics` holds what is counted where it happens. `Readings` holds what is read at a
scrape: plain integers that the parts of the service keep (`statistics()`), so that nothing on the
way of a price touches a metric.

Rules for this module: it knows numbers and names, not the parts of the service they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ticker.metrics import Metrics


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


#: The counters of `Metrics` by label: attribute, family, what it means, the label.
_COUNTED: Final = (
    ("closed", "streams_closed", "Streams that ended, by close code", "code"),
    ("refused", "handshakes_refused", "Handshakes that were refused", "reason"),
    ("requests_refused", "requests_refused", "Requests over HTTP that were refused", "reason"),
    (
        "token_requests_refused",
        "token_requests_refused",
        "Token requests that were refused",
        "reason",
    ),
)
_PROCESS: Final = CollectorRegistry()
for _collector in (ProcessCollector, PlatformCollector, GCCollector):
    _collector(registry=_PROCESS)


def write_metrics(metrics: Metrics, readings: Readings) -> bytes:
    """Return everything in Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Counted(metrics))
    registry.register(_Read(readings))
    return generate_latest(_PROCESS) + generate_latest(registry) + _ages(readings.price_age)


class _Counted(Collector):
    """The families of what was counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        metrics = self._metrics
        for attribute, name, text, label in _COUNTED:
            family = CounterMetricFamily(f"ticker_{name}", text, labels=[label])
            for value, count in getattr(metrics, attribute).items():
                family.add_metric([value], count)
            yield family
        issued = metrics.tokens_issued.count
        yield CounterMetricFamily("ticker_tokens_issued", "Tokens given for a key", value=issued)
        yield CounterMetricFamily(
            "ticker_connection_faults",
            "Exceptions contained in one connection",
            value=metrics.connection_faults.count,
        )
        took = metrics.fanout_seconds
        yield HistogramMetricFamily(
            "ticker_fanout_seconds",
            "How long a tick took to go out to all",
            buckets=took.cumulated(),
            sum_value=took.total,
        )


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
