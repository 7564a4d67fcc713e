"""The way of a request that is not for the streams: through the gate, then to Hypercorn.

Hypercorn and the application behind it take a third of a second to load. So what is here needs
neither: streams are served while a thread still loads them, and a request waits for it
(`web/loading.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import attrs
import trio

from ticker.http.gate import Gate
from ticker.http.head import Head
from ticker.http.http_stream import HttpStream, SecureHttpStream
from ticker.http.refusal import Refusal
from ticker.http.target import with_plain_target
from ticker.settings.readers import TokenPlace
from ticker.transport.socket_stream import SocketStream


class HttpServer(Protocol):
    """What answers requests: Hypercorn (`hypercorn_server.py`)."""

    async def serve(self, stream: HttpStream) -> None:
        """Answer the requests of a connection until its HTTP part is over."""

    async def wait_enough(self) -> None:
        """Wait until as many requests were answered as the worker is to answer."""

    async def end_idle(self) -> None:
        """Let the connections end that have no request under way."""


class HttpBridge:
    """Every request that is not for the streams."""

    def __init__(
        self, root_path: str, gate: Gate, token_from: Sequence[TokenPlace] = ("header",)
    ) -> None:
        """Begin without a server; until `begin` gives one, requests wait.

        Args:
            root_path: Hypercorn's `--root-path`.
            gate: which requests are answered.
            token_from: where a request for a stream may carry its token.
        """
        self._root = root_path
        self._gate = gate
        # A subprotocol is a handshake's.
        self._token_from = [place for place in token_from if place != "subprotocol"]
        self._server: HttpServer | None = None
        self._begun = trio.Event()

    def begin(self, server: HttpServer) -> None:
        """Answer requests from now on."""
        self._server = server
        self._begun.set()

    def placed(self, head: Head) -> Head:
        """Return a request as one to a service below Hypercorn's `--root-path`.

        Its target is in its one spelling, by which all that follow decide.
        """
        head = with_plain_target(head)
        return attrs.evolve(head, root=self._root) if self._root else head

    def readable(self, head: Head, refusal: Refusal) -> Refusal:
        """Return a refusal as the page of another origin that may ask can read it."""
        return self._gate.readable(head, refusal)

    async def serve(self, stream: SocketStream, head: Head) -> Head | None:
        """Answer the requests of a connection, of which one head was read, until its end.

        Returns:
            The head of a request for a stream, where that is how the HTTP part ended.

        Raises:
            RefusedError: with what to answer the first request.
        """
        admit = partial(self._gate.admit, peer=stream.peer, encrypted=stream.secure)
        await admit(head)
        server = await self._loaded()
        http = (SecureHttpStream if stream.secure else HttpStream)(
            stream, head, admit, self.placed, self._token_from
        )
        await server.serve(http)
        return http.handed_over

    async def wait_enough(self) -> None:
        """Wait until as many requests were answered as the worker is to answer."""
        await (await self._loaded()).wait_enough()

    async def end_idle(self) -> None:
        """Let the connections end that have no request under way."""
        if self._server is not None:
            await self._server.end_idle()

    async def _loaded(self) -> HttpServer:
        if self._server is None:
            await self._begun.wait()
        assert self._server is not None  # noqa: S101 - `begin` gave it
        return self._server
