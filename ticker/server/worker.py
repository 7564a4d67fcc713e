"""The life of a worker: start the service, listen, serve, drain. It takes the place of Hypercorn's.

`serve` is that life, read from top to bottom. Hypercorn's own command comes to it by
`hypercorn_seam`; what Hypercorn does for HTTP is in `http/hypercorn_server.py`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol, runtime_checkable

import structlog
import trio
from hypercorn.config import Config, Sockets

from ticker import limits, logs
from ticker.engine import Engine
from ticker.exception_groups import leaves
from ticker.http.bridge import HttpBridge, HttpServer
from ticker.http.gate import Gate
from ticker.server.accept import accept_all
from ticker.server.listeners import Listener, open_listeners
from ticker.server.process import ServiceError, end_with_parent
from ticker.server.router import Router
from ticker.server.tls_context import tls_context
from ticker.settings.model import Settings

log = structlog.get_logger()

#: Gives the addresses that are listened on, once they are.
Listening = trio.TaskStatus[list[str]]
ShutdownTrigger = Callable[..., Awaitable[None]]


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
    load_http: Callable[[], Awaitable[HttpServer]],
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
        load_http: gives what answers HTTP, while streams are served already.
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
    _ = config.log  # which makes its handlers
    logs.take_handlers()
    end_with_parent()
    tls = tls_context(config)
    async with application.running() as service:
        settings = service.settings
        with open_listeners(config, sockets, tls) as listeners:
            http = HttpBridge(config.root_path, service.gate, settings.token_from)
            accepting: list[trio.CancelScope] = []
            for listener in listeners:
                accepting.append(_accept(listener, service, http))
                await config.log.info("Running on %s (CTRL + C to quit)", listener.url)
            service.engine.nursery.start_soon(_begin_http, http, load_http)
            task_status.started([listener.url for listener in listeners])
            await _end_is_asked_for(http.wait_enough, shutdown_trigger)
            if not accepts_while_draining():
                for scope in accepting:
                    scope.cancel()
                await service.router.settle()
            await http.end_idle()
            grace = settings.graceful_timeout - limits.SHUTDOWN_MARGIN_SECONDS
            await service.engine.drain(max(0.0, grace))


async def _begin_http(http: HttpBridge, load: Callable[[], Awaitable[HttpServer]]) -> None:
    http.begin(await load())


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
    enough: ShutdownTrigger, shutdown_trigger: ShutdownTrigger | None
) -> None:
    """Wait for the first to ask for the end."""

    async def asked(wait: ShutdownTrigger) -> None:
        await wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked, enough)
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


def report(failure: BaseException) -> None:
    """Log why a worker failed."""
    refused = next((each for each in leaves(failure) if isinstance(each, ServiceError)), None)
    if refused is not None:
        log.error("start_refused", error=str(refused))
    else:
        log.critical("engine_failed", exc_info=failure)
