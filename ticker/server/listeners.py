"""The sockets that are listened on, and what is made of a connection on each."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import attrs
from hypercorn.config import Config, Sockets

from ticker.server.process import ServiceError
from ticker.transport.socket_stream import SocketStream
from ticker.transport.tls_stream import TlsStream


@attrs.frozen
class Listener:
    """One socket that is listened on.

    Attributes:
        listening: the socket, non-blocking.
        url: its address, as in `http://127.0.0.1:8081`.
        connect: makes a stream of an accepted socket.
    """

    listening: socket.socket
    url: str
    connect: Callable[[socket.socket], SocketStream]


@contextmanager
def open_listeners(
    config: Config, sockets: Sockets | None, context: ssl.SSLContext | None
) -> Iterator[Sequence[Listener]]:
    """Listen until the block is left.

    Args:
        config: Hypercorn's, which names the addresses.
        sockets: those that Hypercorn's command listens on already.
        context: for connections over TLS.

    Raises:
        ServiceError: an address cannot be listened on.
    """
    with ExitStack() as stack:
        if sockets is None:
            sockets = _bound(config)
            for each in (*sockets.secure_sockets, *sockets.insecure_sockets):
                stack.enter_context(each)
        listeners = [_listener(each, "http", SocketStream) for each in sockets.insecure_sockets]
        if context is not None:
            connect = partial(TlsStream, context=context)
            listeners += [_listener(each, "https", connect) for each in sockets.secure_sockets]
        yield listeners


def _bound(config: Config) -> Sockets:
    try:
        sockets = config.create_sockets()
        for each in (*sockets.secure_sockets, *sockets.insecure_sockets):
            each.listen(config.backlog)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServiceError(f"cannot listen on {', '.join(config.bind)}: {reason}") from None
    return sockets


def _listener(
    listening: socket.socket, scheme: str, connect: Callable[[socket.socket], SocketStream]
) -> Listener:
    listening.settimeout(0)
    return Listener(listening, f"{scheme}://{address_of(listening)}", connect)


def address_of(listening: socket.socket) -> str:
    """Return the address of a socket as it stands in a URL."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if listening.family == socket.AF_INET6 else f"{host}:{port}"
