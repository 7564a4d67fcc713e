"""The life of a worker: start the service, listen, serve, drain. It takes the place of Hypercorn's.

`serve` is that life, read from top to bottom. `install` is the one seam with Hypercorn: it binds
`worker_serve`, which Hypercorn's command and `hypercorn.trio.serve` call, to a function with
the same signature that calls `serve`. Nothing else of Hypercorn is changed; what it does for HTTP
is in `http/bridge.py`.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final, Protocol, runtime_checkable

import hypercorn.trio
import hypercorn.trio.run
import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config, Sockets
from hypercorn.trio.statsd import StatsdLogger
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper

from ticker import limits, logs
from ticker.engine import Engine
from ticker.exception_groups import leaves
from ticker.http.bridge import HttpBridge
from ticker.http.gate import Gate
from ticker.server.accept import accept_all
from ticker.server.exit_watcher import ExitWatcher
from ticker.server.listeners import Listener, open_listeners, tls_context
from ticker.server.process import ServiceError, end_with_parent
from ticker.server.router import Router
from ticker.settings.model import Settings

log = structlog.get_logger()

#: Gives the addresses that are listened on, once they are.
Listening = trio.TaskStatus[list[str]]
ShutdownTrigger = Callable[..., Awaitable[None]]

_stock_worker_serve: Final = hypercorn.trio.run.worker_serve


class Service(Protocol):
    """What a worker needs of the service."""

    @property
    def settings(self) -> Settings:
        """What it was made with."""

    @property
    def engine(self) -> Engine:
        """What owns every task."""

    @property
    def gate(self) -> Gate:
        """What decides which requests of HTTP are answered."""

    @property
    def router(self) -> Router:
        """What serves a connection."""


@runtime_checkable
class Application(Protocol):
    """A web application with a service behind it."""

    def running(self) -> AbstractAsyncContextManager[Service]:
        """Run its service until the block is left."""


async def serve(
    application: Application,
    app: AppWrapper,
    config: Config,
    *,
    sockets: Sockets | None = None,
    shutdown_trigger: ShutdownTrigger | None = None,
    accepts_while_draining: Callable[[], bool] = lambda: True,
    task_status: Listening = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until a signal, the trigger or Hypercorn's bound on requests asks for the end.

    Args:
        application: has the service.
        app: the same as Hypercorn calls it.
        config: Hypercorn's.
        sockets: those to listen on; without them they are made as the configuration says.
        shutdown_trigger: returns when the end is asked for.
        accepts_while_draining: whether what still connects is to be accepted, and told that the
            service ends; not where a successor accepts on the same socket.
        task_status: is given the addresses.

    Raises:
        ServiceError: the service cannot start.
        ExceptionGroup: the engine failed while it ran.
    """
    config.set_statsd_logger_class(StatsdLogger)
    _ = config.log  # which makes its handlers
    logs.take_handlers()
    end_with_parent()
    tls = tls_context(config)
    context = WorkerContext(_max_requests(config))
    async with application.running() as service:
        with open_listeners(config, sockets, tls) as listeners:
            http = HttpBridge(app, config, context, service.gate, service.settings.token_from)
            accepting: list[trio.CancelScope] = []
            for listener in listeners:
                accepting.append(_accept(listener, service, http))
                await config.log.info("Running on %s (CTRL + C to quit)", listener.url)
            task_status.started([listener.url for listener in listeners])
            await _end_is_asked_for(context, shutdown_trigger)
            if not accepts_while_draining():
                for scope in accepting:
                    scope.cancel()
                await service.router.settle()
            await context.terminated.set()  # Hypercorn's idle connections end by that
            grace = service.settings.graceful_timeout - limits.SHUTDOWN_MARGIN_SECONDS
            await service.engine.drain(max(0.0, grace))


def _accept(listener: Listener, service: Service, http: HttpBridge) -> trio.CancelScope:
    """Accept connections, each into a task of the engine's nursery, until what is returned ends."""
    nursery = service.engine.nursery
    accepting = trio.CancelScope()
    router = service.router
    handler = partial(router.serve, http=http)

    async def accept() -> None:
        with accepting:
            await accept_all(
                listener.listening,
                listener.connect,
                nursery,
                handler,
                router.crowded,
                router.wait_room,
            )

    nursery.start_soon(accept)
    return accepting


async def _end_is_asked_for(
    context: WorkerContext, shutdown_trigger: ShutdownTrigger | None
) -> None:
    """Wait for the first to ask for the end."""

    async def asked(wait: ShutdownTrigger) -> None:
        await wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked, context.terminate.wait)
        nursery.start_soon(asked, _signal_received)
        if shutdown_trigger is not None:
            nursery.start_soon(asked, shutdown_trigger)


async def _signal_received() -> None:
    """Wait for a signal that asks for the end, but for one that this process was told to ignore.

    Hypercorn's own command signals its workers by other means, and has them ignore SIGINT, but a
    service manager that signals the whole process group reaches them directly. After the first
    signal the handling is as before, so that a second one ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        await trio.sleep_forever()  # signals are the main thread's
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    with trio.open_signal_receiver(*numbers) as received:
        async for number in received:
            log.info("signal_received", signal=signal.Signals(number).name)
            return


def _max_requests(config: Config) -> int | None:
    """Return after how many requests of HTTP the worker ends, to be replaced by the next."""
    if config.max_requests is None:
        return None
    return config.max_requests + random.randint(0, config.max_requests_jitter)  # noqa: S311 - spreads restarts


def install(exit_watcher: ExitWatcher | None = None) -> None:
    """Have Hypercorn call `serve` in the place of its own worker.

    Args:
        exit_watcher: of a worker of Hypercorn's command. With one, a failure is logged and
            becomes an exit code; without one it is raised.
    """

    async def worker_serve(
        app: AppWrapper,
        config: Config,
        *,
        sockets: Sockets | None = None,
        shutdown_trigger: ShutdownTrigger | None = None,
        task_status: Listening = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve as Hypercorn's function of this name does."""
        application = app.app if isinstance(app, ASGIWrapper) else None
        if not isinstance(application, Application):  # one without a service is served as ever
            await _stock_worker_serve(
                app,
                config,
                sockets=sockets,
                shutdown_trigger=shutdown_trigger,
                task_status=task_status,
            )
            return
        run = partial(
            serve,
            application,
            app,
            config,
            sockets=sockets,
            shutdown_trigger=shutdown_trigger,
            task_status=task_status,
        )
        await (run() if exit_watcher is None else _end_process(run, exit_watcher))

    hypercorn.trio.run.worker_serve = worker_serve
    hypercorn.trio.worker_serve = worker_serve  # type: ignore[attr-defined]


async def _end_process(run: Callable[[], Awaitable[None]], exit_watcher: ExitWatcher) -> None:
    """Run a worker of Hypercorn's command; where it fails, end the process with a failure."""
    failure: BaseException | None = None
    try:
        await run()
    except* Exception as group:  # noqa: BLE001 - the end of the process follows
        failure = group
    if failure is None:
        exit_watcher.ends_well()
        return
    with suppress(Exception):  # what becomes of the log decides nothing
        report(failure)
    sys.exit(1)


def report(failure: BaseException) -> None:
    """Log why a worker failed."""
    refused = next((each for each in leaves(failure) if isinstance(each, ServiceError)), None)
    if refused is not None:
        log.error("start_refused", error=str(refused))
    else:
        log.critical("engine_failed", exc_info=failure)
