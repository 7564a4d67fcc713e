"""Ways in which a subscriber's connection dies without a word."""

from __future__ import annotations

import enum
import socket
from contextlib import suppress

import trio

from tests.attack.catalogue import upgrade
from tests.support.frames import TEXT, client_frame
from tests.support.raw import RESET

#: So many ticks lie unread when the last of these connections is killed.
UNREAD = 500
_READ = 65_536


class Kill(enum.Enum):
    """How a connection is killed."""

    FIN = "FIN"
    RST = "RST"
    RST_IN_FRAME = "RST in mid-frame"
    HALF_CLOSE = "half-close"
    RST_UNREAD = "RST with 500 messages unread"


class Victim:
    """A subscriber over a bare socket, which reads as much as it is told to.

    Attributes:
        port: its own.
        read: how many bytes it has read.
    """

    def __init__(self, connection: trio.socket.SocketType) -> None:
        self.connection = connection
        self.port: int = connection.getsockname()[1]
        self.read = 0

    async def take(self, count: int) -> None:
        """Read at least so many bytes more."""
        goal = self.read + count
        while self.read < goal:
            data = await self.connection.recv(_READ)
            assert data, "the server hung up"
            self.read += len(data)

    async def kill(self, how: Kill) -> float:
        """Kill the connection; return the moment at which that was done."""
        half = client_frame(TEXT, b'{"type":"ping"}')[:9]
        if how is Kill.RST_IN_FRAME:
            await self.connection.send(half)
        if how in {Kill.FIN, Kill.HALF_CLOSE}:
            self.connection.shutdown(socket.SHUT_WR)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.connection.close()
        moment = trio.current_time()
        if how is Kill.HALF_CLOSE:
            # It still listens: the server must end it all the same, if need be with a reset.
            with suppress(ConnectionResetError):
                while await self.connection.recv(_READ):
                    pass
        self.connection.close()
        return moment


async def subscriber(port: int, token: str, *, room: int = 4 * 1024 * 1024) -> Victim:
    """Open a stream and read up to its first tick.

    Args:
        port: of the server.
        token: a good one.
        room: of the buffer for what is to lie unread.
    """
    connection = trio.socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    await connection.connect(("127.0.0.1", port))
    await connection.send(upgrade(token))
    victim = Victim(connection)
    await victim.take(700)
    return victim
