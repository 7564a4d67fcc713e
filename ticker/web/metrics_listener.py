"""The metrics on a listener of their own (`TICKER_METRICS=host:port`), for a network of operators.

It answers `GET` and `HEAD` of `/metrics` and nothing else, one request a connection, without
Hypercorn: a scraper needs no more.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import Final

import structlog
import trio

from ticker import limits
from ticker.http.head import Head, read_head
from ticker.server.fault_boundary import FaultBoundary
from ticker.server.process import ServiceError
from ticker.service import Service
from ticker.settings.network_readers import Endpoint
from ticker.web.answer_cache import AnswerCache
from ticker.web.operations import METRICS_TYPE, metrics_text

log = structlog.get_logger()

_PATH: Final = "/metrics"
_METHODS: Final = ("GET", "HEAD")
_KEY: Final = "metrics"


async def serve_metrics(
    service: Service,
    endpoint: Endpoint,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen and answer until cancelled; once it listens, `task_status` is told the port.

    Raises:
        ServiceError: nothing can listen there.
    """
    try:
        listeners = await _listen(endpoint, shared=service.siblings is not None)
    except OSError as error:
        raise ServiceError(f"TICKER_METRICS: cannot listen on {endpoint}: {error}") from None
    port: int = listeners[0].socket.getsockname()[1]
    log.info("metrics_listening", url=f"http://{Endpoint(endpoint.host, port)}{_PATH}")
    task_status.started(port)
    cache, room = AnswerCache(), trio.Semaphore(limits.METRICS_CONNECTIONS)

    async def serve(stream: trio.SocketStream) -> None:
        with FaultBoundary(service.metrics), trio.CancelScope() as scope:
            async with stream:
                try:
                    room.acquire_nowait()
                except trio.WouldBlock:
                    return
                try:
                    scope.deadline = trio.current_time() + limits.HEAD_SECONDS
                    head = await read_head(stream, scope, idle_seconds=limits.HEAD_SECONDS)
                    if head is not None:
                        scope.deadline = trio.current_time() + limits.WRITE_SECONDS
                        await stream.send_all(await _response(service, cache, head))
                finally:
                    room.release()

    await trio.serve_listeners(serve, listeners)


async def _listen(endpoint: Endpoint, *, shared: bool) -> list[trio.SocketListener]:
    """Listen on an address, which several workers may share: each answers for all of them."""
    if not shared:
        return await trio.open_tcp_listeners(endpoint.port, host=endpoint.host)
    found = await trio.socket.getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listening = trio.socket.socket(found[0][0])
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        await listening.bind(found[0][4])
        listening.listen(limits.METRICS_CONNECTIONS)
    except OSError:
        listening.close()
        raise
    return [trio.SocketListener(listening)]


async def _response(service: Service, cache: AnswerCache, head: Head) -> bytes:
    """Return a whole HTTP response; the connection closes after it."""
    status, kind = HTTPStatus.OK, METRICS_TYPE
    if head.fault:
        status = HTTPStatus(head.fault)
    elif head.path != _PATH:
        status = HTTPStatus.NOT_FOUND
    elif head.method not in _METHODS:
        status = HTTPStatus.METHOD_NOT_ALLOWED
    if status is HTTPStatus.OK:
        symbols = service.market.book.symbols
        body = (await cache.get(_KEY, lambda: metrics_text(service, symbols))).body
    else:
        kind, body = "application/json", f'{{"error":"{status.phrase.lower()}"}}'.encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *([f"allow: {', '.join(_METHODS)}"] if status is HTTPStatus.METHOD_NOT_ALLOWED else []),
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + (b"" if head.method == "HEAD" else body)
