"""trio-websocket over a handshake that the gateway has answered by itself.

`wrap_server_stream`, trio-websocket's own way, wants to read the request again: a second HTTP
parse for each of a thousand clients that come back at once, and an HTTP parser that every one
of them would keep. wsproto's `Connection` is the same protocol from the point on where the
handshake is over, with the same interface. What is private here is `_reader_task`, the task
that `wrap_server_stream` starts.
"""

from __future__ import annotations

import trio
from trio_websocket import WebSocketConnection
from wsproto.connection import Connection, ConnectionType

from ticker import limits


def start_websocket(nursery: trio.Nursery, stream: trio.abc.Stream) -> WebSocketConnection:
    """Speak WebSocket, as a server, over a stream on which the handshake is done.

    Args:
        nursery: runs the library's reader for as long as the connection lasts.
        stream: where frames begin with the next byte in either direction.
    """
    protocol = Connection(ConnectionType.SERVER)
    websocket = WebSocketConnection(
        stream,
        protocol,  # type: ignore[arg-type]  # see above
        max_message_size=limits.MESSAGE_BYTES,
        receive_buffer_size=limits.RECEIVE_BYTES,
    )
    nursery.start_soon(websocket._reader_task)  # noqa: SLF001 - see above
    return websocket
