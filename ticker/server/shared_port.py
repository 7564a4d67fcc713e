"""Several listening sockets on one port, over which the kernel spreads connections."""

from __future__ import annotations

import socket

from ticker import limits


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Make so many sockets that listen on one address together.

    Raises:
        OSError: the address cannot be used, or another program listens on it.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]
    if port:
        # A socket with SO_REUSEPORT would share the port with another service of this user.
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(each := socket.socket(family))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(sockets[0].getsockname() if each is not sockets[0] else address)
            each.listen(limits.BACKLOG)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets
