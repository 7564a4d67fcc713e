"""What an operator asks: is it alive, is it ready, what has it done."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from quart import Blueprint, Response
from trio.lowlevel import current_statistics

from ticker import standard_streams
from ticker.cluster.questions import Question, ask_workers
from ticker.merged_metrics import merge
from ticker.metrics_text import Readings, write_metrics
from ticker.service import Service
from ticker.settings.network_readers import Endpoint
from ticker.web.answer_cache import costly
from ticker.web.responses import answer, bearer, error, running

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


blueprint = Blueprint("operations", __name__)


@blueprint.get("/healthz")
async def healthz() -> Response:
    """Answer 200 while the process can serve."""
    if running().engine.stands_still():
        return error(503, "the market has not ticked for some seconds")
    return answer({"status": "ok"})


@blueprint.get("/readyz")
async def readyz() -> Response:
    """Answer 200 while prices are fresh, else 503 with the reason."""
    reason = running().engine.not_ready()
    return answer({"status": "ready"}) if reason is None else error(503, reason)


@blueprint.get("/metrics")
async def metrics() -> Response:
    """Answer everything that is counted, in Prometheus' text format, to those who may read it.

    That is every client, or a role with the action `metrics`; or none here, where the metrics
    have a listener of their own.
    """
    service = running()
    role = ""
    symbols = service.access.public
    if isinstance(service.settings.metrics, Endpoint):
        return error(404, "not found")
    if service.settings.metrics == "token":
        grant = await bearer()
        if isinstance(grant, Response):
            return grant
        role, symbols = grant.role, service.access.allowed(grant.role, "metrics")
        if not symbols:
            return error(403, "forbidden")
    text = await costly(("metrics", role), lambda: metrics_text(service, symbols))
    response = Response(text.body, content_type=METRICS_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response


async def metrics_text(service: Service, symbols: Collection[str]) -> bytes:
    """Write the metrics, with what is told of these symbols: of all workers, where there are."""
    own = own_metrics(service, symbols)
    siblings = service.siblings
    if siblings is None:
        return own
    asked = Question("metrics", tuple(symbols))
    others = await ask_workers(siblings.data_dir, asked, but=siblings.name)
    return merge({siblings.name: own, **others}) if others or siblings.several else own


def own_metrics(service: Service, symbols: Collection[str]) -> bytes:
    """Write the metrics of this process."""
    return write_metrics(service.metrics, _readings(service, symbols))


def _readings(service: Service, symbols: Collection[str]) -> Readings:
    statistics = service.engine.statistics()
    authority = service.authority.statistics()
    hub, ingest = statistics.hub, statistics.ingest
    now_ms = service.market.wall_ms()
    quotes = map(service.market.book.get, symbols)
    return Readings(
        streams_open=service.admission.taken,
        sessions=statistics.sessions,
        subscriptions=hub.subscriptions,
        topics=hub.topics,
        streams_behind=hub.behind,
        connections_open=statistics.connections,
        tasks=current_statistics().tasks_living,
        tokens_cached=authority.tokens_cached,
        revocation_seen=authority.revocations_seen,
        database_available=authority.database_available,
        history_kept=statistics.history.kept,
        history_written=statistics.history.written,
        history_failures=statistics.history.failed,
        frames_sent=hub.frames_sent,
        frames_skipped=hub.frames_skipped,
        frames_encoded=hub.frames_encoded,
        ticks=statistics.ticks,
        ticks_skipped=statistics.ticks_skipped,
        streams_stalled=service.router.streams.stalled,
        log_dropped=standard_streams.dropped(),
        source_up={state.source: state.state == "live" for state in service.market.status},
        source_restarts=ingest.restarts,
        source_faults=ingest.faults,
        keys_refused=authority.keys_refused,
        tokens_refused=authority.tokens_refused,
        price_age={
            quote.symbol: max(0, now_ms - quote.received_ms) / 1000
            for quote in quotes
            if quote is not None
        },
    )
