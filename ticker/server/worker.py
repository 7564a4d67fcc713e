"""The one seam with Hypercorn: every accepted connection passes here first.

Hypercorn's trio worker serves each accepted stream with `TCPServer`, which it looks up as a
global of `hypercorn.trio.run`, and makes one `WorkerContext` per worker the same way.
`install` puts subclasses of both in their place. Nothing else in the code base touches
Hypercorn's insides, the minor version is pinned, and tests/system/test_launch.py shows that
the seam is engaged however the service was started.

What stock Hypercorn does, and is kept from doing here: end the whole server for an exception
in one connection; wait for ever for a reader in a send that cannot be cancelled; switch to
HTTP/2, past the seam; inflate compressed messages without a limit.
"""

from __future__ import annotations

import ctypes
import multiprocessing.util
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Sequence
from functools import partial
from types import ModuleType
from typing import Any, Final, Protocol

import hypercorn.trio.run
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, LifespanState

from ticker import limits, logs, standard_streams
from ticker.http.bridge import HttpStream
from ticker.http.head import Head
from ticker.server.accept import accept_all
from ticker.transport.socket_stream import SocketStream

#: <linux/prctl.h>
_PR_SET_PDEATHSIG: Final = 1


class Gateway(Protocol):
    """What the seam hands connections to: an attribute `gateway` of the application."""

    async def serve(self, connection: TickerTCPServer) -> None:
        """Serve one accepted connection to its end; raises nothing but cancellation."""

    graceful_seconds: float

    def crowded(self) -> bool:
        """Say whether many connections are open that have not asked for anything yet."""

    def listens(self, listening: socket.socket) -> None:
        """Take a second handle of a listening socket, to answer on while a drain lasts."""


def _gateway(app: AppWrapper) -> Gateway | None:
    return getattr(getattr(app, "app", None), "gateway", None)


class TickerWorkerContext(WorkerContext):
    """Hypercorn's worker context, remembered so that a drain can begin with it."""

    newest: TickerWorkerContext | None = None

    def __init__(self, max_requests: int | None) -> None:
        super().__init__(max_requests)
        TickerWorkerContext.newest = self


class TickerTCPServer(TCPServer):
    """Hypercorn's server of one connection, with our gateway in front of it.

    An application without a `gateway` is served as Hypercorn would.
    """

    stream: Any

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: LifespanState,
        stream: Any,
    ) -> None:
        # A stream is served in this task to its end, and needs nothing of what Hypercorn would
        # make here: that is done where a request of HTTP's is to be answered.
        self._for_http = (app, config, context, state)
        self.app = app
        self.stream = stream

    async def run(self) -> None:
        """Serve the connection."""
        gateway = _gateway(self.app)
        if gateway is None:
            if isinstance(self.stream, SocketStream):
                self.stream = self.stream.detach()
            await self._serve_to_the_end()
        else:
            await gateway.serve(self)

    async def serve_http(self, stream: HttpStream) -> Head | None:
        """Let Hypercorn answer HTTP requests until the connection ends.

        Returns:
            The head of an upgrade to our stream, where that is how its HTTP part ended.
        """
        self.stream = stream
        await self._serve_to_the_end()
        # What becomes a stream from here is not to hold on to what it was before.
        self.stream = None
        return stream.handed_over

    async def _serve_to_the_end(self) -> None:
        """Let Hypercorn serve until the connection is over, or nothing can come of it any more.

        The scope is around all of it: Hypercorn's task group lets the cancellation of its own
        nursery out, and that would end the server.
        """
        super().__init__(*self._for_http, self.stream)
        try:
            with trio.CancelScope() as self._over:
                await super().run()
        finally:
            # It knows this object, which knows it: the collector would have to find that out.
            # There is none where the peer had gone already.
            vars(self).pop("protocol", None)

    async def _read_data(self) -> None:
        """Read requests until the peer ends.

        Hypercorn would keep the connection until its timer for the next request runs out.
        """
        await super()._read_data()
        self._end()

    async def protocol_send(self, event: Event) -> None:
        """Pass an event of Hypercorn's on, noting the end of each request and of the connection.

        A response that ends disconnects the application, and Quart-Trio then cancels the very
        task that is telling the connection to close or to wait for the next request. It is
        shielded for as long as that may take, or the connection would stay open for ever. So
        it would where a write fails: Hypercorn's reader waits for a response to be over.
        """
        http = self.stream if isinstance(self.stream, HttpStream) else None
        if isinstance(event, RawData):
            await super().protocol_send(event)
            if http is not None and http.broken:
                self._end()
            return
        if isinstance(event, Updated) and event.idle and http is not None:
            http.request_done()
            if http.handed_over is not None:
                return
        with trio.CancelScope(shield=True) as patience:
            patience.deadline = trio.current_time() + limits.CLOSE_SECONDS
            await super().protocol_send(event)
        if isinstance(event, Closed):
            self._end()

    def _end(self) -> None:
        """End every task of this connection: nothing can be waited for any more."""
        self._over.cancel()


def install() -> None:
    """Put the seam in place; doing so again changes nothing.

    TLS offers HTTP/1.1 alone unless a configuration of the operator's says otherwise: browsers
    would send WebSockets over HTTP/2 (RFC 8441), past the gateway.
    """
    Config.alpn_protocols = ["http/1.1"]
    hypercorn.trio.run.trio = _Trio("trio")  # type: ignore[attr-defined]
    hypercorn.trio.run.TCPServer = TickerTCPServer  # type: ignore[attr-defined]
    hypercorn.trio.run.WorkerContext = TickerWorkerContext  # type: ignore[attr-defined]


def fail_arbiter() -> None:
    """Make Hypercorn's command end with a failure once this worker of its has ended.

    Hypercorn 0.18 asks its workers for their exit codes twice, the second time when none is
    left, and so ends with 0 whatever a worker ended with (`hypercorn/run.py`, `_join_exited`).
    A service manager would then not restart what has failed. So the arbiter is ended by a signal
    that it does not handle, as the last thing this process does.
    """
    arbiter = multiprocessing.parent_process()
    if arbiter is not None and arbiter.pid is not None:
        multiprocessing.util.Finalize(None, os.kill, (arbiter.pid, signal.SIGUSR1), exitpriority=0)


def end_with_arbiter() -> None:
    """Have the kernel tell this worker of Hypercorn's command to end when the command has gone.

    However it went: a worker that nobody watches over would serve on, and hold the port.
    """
    arbiter = multiprocessing.parent_process()
    if arbiter is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != arbiter.pid:
        os.kill(os.getpid(), signal.SIGTERM)  # it went before that


def quit_worker() -> None:
    """End this worker of Hypercorn's command, and the command, at once and without a traceback.

    For a start that was refused: the reason was logged, and nothing is open that must be closed.
    Returns where this process is no such worker.
    """
    arbiter = multiprocessing.parent_process()
    if arbiter is not None and arbiter.pid is not None:
        standard_streams.drain()
        os.kill(arbiter.pid, signal.SIGUSR1)
        os._exit(1)


async def tls_handshake(stream: trio.SSLStream[trio.SocketStream], seconds: float) -> bool:
    """Do a TLS handshake; False where it failed."""
    try:
        with trio.fail_after(seconds):
            await stream.do_handshake()
    except (trio.BrokenResourceError, trio.TooSlowError):
        return False
    return True


class _Trio(ModuleType):
    """trio as Hypercorn's worker sees it: with another way to accept."""

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)

    @staticmethod
    async def serve_listeners(
        handler: partial[Awaitable[None]],
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        handler_nursery: trio.Nursery,
    ) -> None:
        """Do as `trio.serve_listeners`, for plain sockets by `accept_all`."""

        async def serve(stream: SocketStream) -> None:
            try:
                await handler(stream)
            finally:
                stream.close()

        logs.take_handlers()
        app, config, *_ = handler.args
        gateway = _gateway(app)
        crowded = gateway.crowded if gateway is not None else bool
        if gateway is not None:
            # Hypercorn's own default would cut short a drain that may take longer.
            config.graceful_timeout = gateway.graceful_seconds
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                if isinstance(listener, trio.SocketListener):
                    old = listener.socket
                    raw = socket.socket(old.family, old.type, old.proto, fileno=old.detach())
                    raw.settimeout(0)
                    if gateway is not None:
                        gateway.listens(raw.dup())
                    nursery.start_soon(accept_all, raw, handler_nursery, serve, crowded)
                else:
                    tls = partial(trio.serve_listeners, handler_nursery=handler_nursery)
                    nursery.start_soon(tls, handler, [listener])
