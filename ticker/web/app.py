"""The web application: its routes, errors and headers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Final

import quart.wrappers
import structlog
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Request, Response, request
from quart.typing import ResponseTypes
from quart_cors import cors
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ticker import limits, service
from ticker.http.origin import EXPOSED
from ticker.server.lifespan import RefusingLifespan
from ticker.service import Service
from ticker.settings.model import Settings
from ticker.settings.network_readers import Endpoint
from ticker.web import answer_cache, auth, history, operations, pages, prices, stream
from ticker.web.metrics_listener import serve_metrics
from ticker.web.responses import EXTENSION, error
from ticker.web.sibling_answers import answer_siblings

log = structlog.get_logger()

#: Only our own origin, nothing inline. `connect-src 'self'` covers the WebSocket too
#: (Content Security Policy Level 3, §6.7.2.8).
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


#: What Quart from 0.23 on raises where a client leaves before its body or its answer is complete.
CLIENT_LEFT: Final[tuple[type[Exception], ...]] = tuple(
    error for error in [getattr(quart.wrappers, "ClientDisconnectedError", None)] if error
)
_ENDED: Final[tuple[type[BaseException], ...]] = (trio.Cancelled, *CLIENT_LEFT)


class TickerApp(QuartTrio):
    """The Quart application.

    Attributes:
        settings: what it was made with.
    """

    asgi_lifespan_class = RefusingLifespan  # type: ignore[assignment]  # it has the same interface
    settings: Settings

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        """Run the service behind it until the block is left; raises as `service.running`."""
        async with service.running(self.settings) as running:
            await self.attach(running)
            yield running

    async def attach(self, running: Service) -> None:
        """Stand before a running service; what else the web room does for it begins here.

        Raises:
            ServiceError: nothing can listen where the settings want the metrics.
        """
        self.extensions[EXTENSION] = running
        nursery = running.engine.nursery
        if isinstance(self.settings.metrics, Endpoint):
            await nursery.start(serve_metrics, running, self.settings.metrics)
        if running.role is not None:
            await nursery.start(answer_siblings, running, running.role)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Do as Quart, and end plainly where this is cancelled.

        What a request holds beyond its handler, as a stream does, is let go of here, however it
        ends: a client may leave before its response has begun.

        Hypercorn notes a group of exceptions in a frame that the group's traceback leads to
        (`hypercorn/trio/task_group.py`, `_handle`), and so leaves all of both to the collector:
        15 KB for each client that hangs up.
        """
        try:
            with ExitStack() as held:
                scope[stream.HELD] = held  # type: ignore[typeddict-unknown-key]  # it is ours
                await super().__call__(scope, receive, send)
        except* _ENDED:
            pass
        await trio.lowlevel.checkpoint_if_cancelled()

    async def handle_request(self, request: Request) -> ResponseTypes:
        """Answer a request, also one whose host Werkzeug refuses before Quart handles errors."""
        try:
            return await super().handle_request(request)
        except HTTPException as problem:
            return _complete(await _http_error(problem), request.method)


def create_app(settings: Settings) -> TickerApp:
    """Make the application; `running` starts and stops everything it needs."""
    app = TickerApp(__name__, static_folder=None)
    app.settings = settings
    app.extensions[answer_cache.EXTENSION] = answer_cache.AnswerCache()
    app.config["MAX_CONTENT_LENGTH"] = limits.BODY_BYTES
    app.config["BODY_TIMEOUT"] = limits.BODY_SECONDS
    app.url_map.converters["page"] = pages.PagePath
    app.register_blueprint(auth.blueprint)
    app.register_blueprint(prices.blueprint)
    app.register_blueprint(history.blueprint)
    app.register_blueprint(operations.blueprint)
    app.register_blueprint(stream.blueprint)
    app.register_blueprint(pages.blueprint)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    app.after_request(_complete_response)
    if settings.allowed_origins:
        cors(
            app,
            allow_origin=list(settings.allowed_origins),
            # A page may follow `/stream` by `fetch`, and says itself where to go on.
            allow_headers=["authorization", "content-type", "last-event-id"],
            allow_methods=["GET", "POST"],
            expose_headers=EXPOSED,
            max_age=limits.PREFLIGHT_KEPT_SECONDS,
        )
    return app


async def _complete_response(response: Response) -> Response:
    return _complete(response, request.method)


def _complete(response: Response, method: str) -> Response:
    """Add what every response has, and take away what one to HEAD does not (RFC 9110 §9.3.2)."""
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if method == "HEAD":
        size = response.headers.get("Content-Length")
        response.set_data(b"")
        del response.headers["Content-Length"]  # of the body that is not sent
        if size is not None:
            response.headers["Content-Length"] = size
    return response


async def _http_error(problem: HTTPException) -> Response:
    """Turn every error that Quart knows into our shape, keeping its headers (`Allow`)."""
    status = problem.code or HTTPStatus.INTERNAL_SERVER_ERROR
    answer = error(status, HTTPStatus(status).phrase.lower())
    for name, value in problem.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            answer.headers[name] = value
    return answer


async def _fault(problem: Exception) -> Response:
    if not isinstance(problem, CLIENT_LEFT):
        log.error("request_crashed", exc_info=problem)
    return error(HTTPStatus.INTERNAL_SERVER_ERROR, "internal server error")
