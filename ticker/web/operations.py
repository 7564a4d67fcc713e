"""What an operator asks: is it alive, is it ready, what has it done."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from quart import Blueprint, Response
from trio.lowlevel import current_statistics

from ticker import standard_streams
from ticker.service import Service
from ticker.web.responses import answer, error, running

blueprint = Blueprint("operations", __name__)

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@blueprint.get("/healthz")
async def healthz() -> Response:
    """Answer 200 while the process can serve."""
    return answer({"status": "ok"})


@blueprint.get("/readyz")
async def readyz() -> Response:
    """Answer 200 while prices are fresh, else 503 with the reason."""
    reason = running().engine.not_ready()
    return answer({"status": "ready"}) if reason is None else error(503, reason)


@blueprint.get("/metrics")
async def metrics() -> Response:
    """Answer everything that is counted, in Prometheus' text format."""
    service = running()
    return Response(service.metrics.text(_families(service)), content_type=_METRICS_TYPE)


def _families(service: Service) -> Iterator[Metric]:
    """Turn the statistics of the engine and the gateway into metrics."""
    statistics = service.engine.statistics()
    hub, ingest = statistics.hub, statistics.ingest
    yield from (
        GaugeMetricFamily(name, text, value=value)
        for name, text, value in (
            ("ticker_streams_open", "Streams that are open", service.admission.taken),
            ("ticker_sessions", "Sessions that converse", statistics.sessions),
            ("ticker_subscriptions", "Subscriptions to topics", hub.subscriptions),
            ("ticker_topics", "Topics with a subscriber", hub.topics),
            ("ticker_streams_behind", "Subscribers that are skipped until writable", hub.behind),
            ("ticker_connections_open", "Connections of any kind", service.router.connections),
            ("ticker_tasks", "Trio tasks", current_statistics().tasks_living),
        )
    )
    yield from (
        CounterMetricFamily(name, text, value=value)
        for name, text, value in (
            ("ticker_frames_sent", "Ticker frames given to the kernel", hub.frames_sent),
            ("ticker_frames_skipped", "Ticker frames that a subscriber missed", hub.frames_skipped),
            ("ticker_frames_encoded", "Ticker frames encoded, once a topic", hub.frames_encoded),
            ("ticker_ticks", "Ticks of the market", statistics.ticks),
            ("ticker_ticks_skipped", "Ticks whose turn had passed", statistics.ticks_skipped),
            ("ticker_streams_stalled", "Readers cut off", service.router.streams.stalled),
            ("ticker_log_dropped", "Lines of the log that were lost", standard_streams.dropped()),
        )
    )
    up = GaugeMetricFamily("ticker_source_up", "Whether a source is live", labels=["source"])
    for state in ingest.states:
        up.add_metric([state.source], float(state.state == "live"))
    restarts = CounterMetricFamily(
        "ticker_source_restarts", "Restarts after a crash", labels=["source"]
    )
    for source, count in ingest.restarts.items():
        restarts.add_metric([source], count)
    faults = CounterMetricFamily(
        "ticker_source_faults", "What a source got over by itself", labels=["source", "kind"]
    )
    for (source, kind), count in ingest.faults.items():
        faults.add_metric([source, kind], count)
    age = GaugeMetricFamily(
        "ticker_price_age_seconds", "Since the newest quote came", labels=["symbol"]
    )
    now_ms = service.market.wall_ms()
    for quote in service.market.book.quotes:
        if quote is not None:
            age.add_metric([quote.symbol], max(0, now_ms - quote.received_ms) / 1000)
    yield from (up, restarts, faults, age)
    yield service.fanout_durations.metric(
        "ticker_fanout_seconds", "How long a tick took to go out to all"
    )
