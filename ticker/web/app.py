"""The web application: its routes, errors and headers, and the service's lifespan."""

from __future__ import annotations

import signal
from http import HTTPStatus
from typing import Final

import structlog
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, LifespanScope, Scope
from quart import Request, Response, request
from quart.typing import ResponseTypes
from quart_cors import cors
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ticker import limits, service
from ticker.exception_groups import first
from ticker.server.router import Router
from ticker.server.worker import (
    TickerWorkerContext,
    end_with_arbiter,
    fail_arbiter,
    quit_worker,
)
from ticker.service import Service, ServiceError
from ticker.settings.model import Settings
from ticker.settings.network_readers import Endpoint
from ticker.web import answer_cache, auth, operations, pages, prices
from ticker.web.metrics_listener import serve_metrics
from ticker.web.responses import EXTENSION, error

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


class Lifespan:
    """Runs the service between ASGI's startup and shutdown events.

    A task that fails in Quart's own nursery is logged, and HTTP goes on answering. Here the
    engine's failure is told to the server as a failed lifespan, which ends the process.
    """

    def __init__(self, app: TickerApp, _scope: LifespanScope) -> None:
        self._app = app

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one lifespan."""
        await receive()
        started = False
        try:
            async with service.running(self._app.settings) as running:
                self._app.extensions[EXTENSION] = running
                started = True
                async with trio.open_nursery() as nursery:
                    context = TickerWorkerContext.newest
                    end_with_arbiter()
                    if isinstance(self._app.settings.metrics, Endpoint):
                        await nursery.start(serve_metrics, running, self._app.settings.metrics)
                    if context is not None:
                        nursery.start_soon(running.router.drain_with, context)
                        nursery.start_soon(_terminate_on_signal, context)
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                    if context is not None:
                        # Hypercorn waits for connections, but not for a drain of ours.
                        await running.router.drained.wait()
                    nursery.cancel_scope.cancel()
        except* ServiceError as group:
            refused = first(group)
            assert isinstance(refused, ServiceError)  # noqa: S101 - it is raised alone
            self._app.refusal = refused
            if self._app.log_refusal:
                log.error("start_refused", error=str(refused))  # noqa: TRY400 - the text is enough
            quit_worker()
        except* Exception as group:
            self._app.failed = True
            fail_arbiter()
            log.critical("engine_failed", exc_info=group)
        if self._app.refusal is not None:
            await send({"type": "lifespan.startup.failed", "message": str(self._app.refusal)})
        elif self._app.failed and not started:
            await send({"type": "lifespan.startup.failed", "message": "the engine failed"})
        elif self._app.failed:
            await send({"type": "lifespan.shutdown.failed", "message": "the engine failed"})
        else:
            await send({"type": "lifespan.shutdown.complete"})


async def _terminate_on_signal(context: TickerWorkerContext) -> None:
    """Begin a clean shutdown at SIGTERM, and at SIGINT where Hypercorn does not ignore it.

    Hypercorn's own command signals its workers by other means, but a service manager that
    signals the whole process group reaches the worker directly. After the first signal the
    system's own handling is back, so that a second one ends the process at once.
    """
    signals = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signals.append(signal.SIGINT)
    with trio.open_signal_receiver(*signals) as received:
        async for number in received:
            log.info("signal_received", signal=signal.Signals(number).name)
            await context.terminate.set()
            return


class TickerApp(QuartTrio):
    """The Quart application, which carries the service through its lifespan.

    Attributes:
        settings: what it was made with.
        refusal: why it did not start, if it did not.
        log_refusal: whether to log that; not where a command line shows it.
        failed: whether the engine failed.
    """

    asgi_lifespan_class = Lifespan  # type: ignore[assignment]  # it has the same interface
    settings: Settings
    refusal: ServiceError | None = None
    log_refusal = True
    failed = False

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Do as Quart, and end plainly where this is cancelled.

        Hypercorn notes a group of exceptions in a frame that the group's traceback leads to
        (`hypercorn/trio/task_group.py`, `_handle`), and so leaves all of both to the collector:
        15 KB for each client that hangs up.
        """
        try:
            await super().__call__(scope, receive, send)
        except* trio.Cancelled:
            pass
        await trio.lowlevel.checkpoint_if_cancelled()

    async def handle_request(self, request: Request) -> ResponseTypes:
        """Answer a request, also one whose host Werkzeug refuses before Quart handles errors."""
        try:
            return await super().handle_request(request)
        except HTTPException as problem:
            return _complete(await _http_error(problem), request.method)

    @property
    def gateway(self) -> Router | None:
        """Where accepted connections go while the service runs; the seam with Hypercorn asks."""
        running: Service | None = self.extensions.get(EXTENSION)
        return running.router if running is not None else None


def create_app(settings: Settings) -> TickerApp:
    """Make the application; its lifespan starts and stops everything it needs."""
    app = TickerApp(__name__, static_folder=None)
    app.settings = settings
    app.extensions[answer_cache.EXTENSION] = answer_cache.AnswerCache()
    app.config["MAX_CONTENT_LENGTH"] = limits.BODY_BYTES
    app.config["BODY_TIMEOUT"] = limits.BODY_SECONDS
    app.url_map.converters["page"] = pages.PagePath
    app.register_blueprint(auth.make_blueprint(settings))
    app.register_blueprint(prices.blueprint)
    app.register_blueprint(operations.blueprint)
    app.register_blueprint(pages.blueprint)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    app.after_request(_complete_response)
    if settings.allowed_origins:
        cors(
            app,
            allow_origin=list(settings.allowed_origins),
            allow_headers=["authorization", "content-type"],
            allow_methods=["GET", "POST"],
            expose_headers=["retry-after"],
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
    log.error("request_crashed", exc_info=problem)
    return error(HTTPStatus.INTERNAL_SERVER_ERROR, "internal server error")
