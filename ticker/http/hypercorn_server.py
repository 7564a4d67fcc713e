"""Hypercorn, for the requests of one connection after the other.

What stock Hypercorn does, and is kept from doing here and in `http_stream`: wait for ever for a
reader in a send that cannot be cancelled; switch to HTTP/2; let the cancellation of its own nursery
out.
"""

from __future__ import annotations

import random
import re
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

from ticker import limits
from ticker.http.http_stream import HttpStream
from ticker.http.refusal import malformed

#: Hypercorn's own answer to a body that breaks HTTP (`hypercorn/protocol/h11.py`,
#: `_send_error_response`): it says nothing.
_EMPTY_ERROR: Final = re.compile(rb"HTTP/1\.1 ([45]\d\d) \r\ncontent-length: 0\r\n(?!content-type)")


class HypercornServer:
    """An application behind Hypercorn; see `bridge.HttpServer`."""

    def __init__(self, app: AppWrapper, config: Config) -> None:
        self._app = app
        self._config = config
        self._context = WorkerContext(_max_requests(config))

    async def serve(self, stream: HttpStream) -> None:
        """Answer the requests of a connection until its HTTP part is over."""
        await _Server(self._app, self._config, self._context, stream).serve()

    async def wait_enough(self) -> None:
        """Wait until as many requests were answered as the worker is to answer."""
        await self._context.terminate.wait()

    async def end_idle(self) -> None:
        """Let the connections end that have no request under way."""
        await self._context.terminated.set()


def _max_requests(config: Config) -> int | None:
    """Return after how many requests of HTTP the worker ends, to be replaced by the next."""
    if config.max_requests is None:
        return None
    return config.max_requests + random.randint(0, config.max_requests_jitter)  # noqa: S311 - spreads restarts


class _Server(TCPServer):
    """Hypercorn's server of one connection."""

    stream: HttpStream  # type: ignore[assignment]  # it has the same interface

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, stream: HttpStream
    ) -> None:
        super().__init__(app, config, context, ConnectionState({}), stream)  # type: ignore[arg-type]
        self._over = trio.CancelScope()

    async def serve(self) -> None:
        """Serve until the connection is over, or nothing can come of it any more.

        The scope is around all of it: Hypercorn's task group lets the cancellation of its own
        nursery out.
        """
        try:
            with self._over:
                await self.run()
        finally:
            # It knows this object, which knows it: the collector would have to find that out.
            # There is none where the peer had gone already.
            vars(self).pop("protocol", None)

    async def _read_data(self) -> None:
        """Read requests until the peer ends.

        Hypercorn would keep the connection until its timer for the next request runs out.
        """
        await super()._read_data()
        self._over.cancel()

    async def protocol_send(self, event: Event) -> None:
        """Pass an event of Hypercorn's on, noting the end of each request and of the connection.

        A response that ends disconnects the application, and Quart-Trio then cancels the very
        task that is telling the connection to close or to wait for the next request. It is
        shielded for as long as that may take, or the connection would stay open for ever. So
        it would where a write fails: Hypercorn's reader waits for a response to be over.
        """
        if isinstance(event, RawData):
            empty = _EMPTY_ERROR.match(event.data)
            if empty is not None:
                event = RawData(malformed(408 if self.stream.late else int(empty[1])).response())
            await super().protocol_send(event)
            if self.stream.broken:
                self._over.cancel()
            return
        if isinstance(event, Updated) and event.idle:
            self.stream.request_done()
            if self.stream.handed_over is not None:
                return
        with trio.CancelScope(shield=True) as timeout:
            timeout.deadline = trio.current_time() + limits.CLOSE_SECONDS
            await super().protocol_send(event)
        if isinstance(event, Closed):
            self._over.cancel()
