"""Accept connections, in batches during reconnect storms, each into a task of its own.

trio's own loop accepts one connection per turn and wraps it three times. After a restart all
clients come back at once, and that is when accepting has to be cheap.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog
import trio

from ticker import limits
from ticker.addresses import UNKNOWN
from ticker.transport.socket_stream import SocketStream

log = structlog.get_logger()

#: The peer has gone before it was accepted: the next one is a better one (accept(2)).
_GONE: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})


async def accept_all(
    listening: socket.socket,
    connect: Callable[[socket.socket], SocketStream],
    nursery: trio.Nursery,
    serve: Callable[[SocketStream, str], Awaitable[None]],
    crowded: Callable[[], bool],
    wait_room: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint_if_cancelled,
) -> NoReturn:
    """Accept connections until cancelled, which closes the listening socket.

    Where the system has no more descriptors or memory, accepting pauses, and new connections
    wait. It slows down while it is crowded, so that those that were accepted can make their
    requests before the bound on them is reached. It does not stop then: connections that ask for
    nothing must not keep all the others out.

    Args:
        listening: a non-blocking socket.
        connect: makes a stream of an accepted socket.
        nursery: where a task for each connection runs.
        serve: the task, given the stream and the peer's address; it raises nothing but
            cancellation.
        crowded: whether many were accepted that have not asked for anything yet.
        wait_room: returns once there is time for the work of further ones.
    """
    paused = False
    with listening:
        while True:
            await trio.lowlevel.wait_readable(listening)
            await wait_room()
            try:
                for _ in range(limits.ACCEPT_BATCH):
                    accepted, address = listening.accept()
                    accepted.settimeout(0)
                    peer = address[0] if isinstance(address, tuple) else UNKNOWN
                    nursery.start_soon(serve, connect(accepted), peer)
                    paused = False
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno not in _GONE:
                    if not paused:
                        log.warning("accepting_paused", reason=error.strerror)
                    paused = True
            if paused:
                await trio.sleep(limits.ACCEPT_PAUSE_SECONDS)
            elif crowded():
                await trio.sleep(limits.CROWD_PAUSE_SECONDS)
