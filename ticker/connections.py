"""The register of open connections: what a drain waits for, and what bounds count.

Rules for this module: it counts and cancels; it knows nothing of sockets.
"""

from __future__ import annotations

from typing import Self

import trio


class OpenConnection:
    """One connection, in the register until the block is left.

    Attributes:
        address: by which it is counted.
        scope: around all that is done for it until it has asked for something.
    """

    __slots__ = ("_counted", "_late", "_register", "address", "scope")

    def __init__(self, register: Connections, address: str) -> None:
        self._register = register
        self._counted = True
        self._late = False
        self.address = address
        self.scope = trio.CancelScope()

    def __enter__(self) -> Self:
        self._late = self._register.enter(self)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._register.leave(self, counted=self._counted, late=self._late)

    def asked(self) -> None:
        """Note that its first request has come: it is no half-open connection any more."""
        self._register.ask(self)

    def evict(self) -> None:
        """Cut it off, and count it no more."""
        self._counted = False
        self.scope.cancel()


class Connections:
    """Every open connection.

    Attributes:
        half_open: how many have not asked for anything yet.
    """

    def __init__(self) -> None:
        self.half_open = 0
        # By address, the oldest of each first.
        self._half_open: dict[str, dict[OpenConnection, None]] = {}
        self._open = 0
        self._awaited = 0
        self._closing = False
        self._gone = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return self._open

    def enter(self, connection: OpenConnection) -> bool:
        """Put a connection into the register; say whether it came after the end had begun."""
        self._open += 1
        self._awaited += not self._closing
        self.half_open += 1
        self._half_open.setdefault(connection.address, {})[connection] = None
        return self._closing

    def ask(self, connection: OpenConnection) -> None:
        """Count a connection as half-open no more, if it was."""
        of_address = self._half_open.get(connection.address, {})
        if connection in of_address:
            self.half_open -= 1
            del of_address[connection]
            if not of_address:
                del self._half_open[connection.address]

    def leave(self, connection: OpenConnection, *, counted: bool, late: bool) -> None:
        """Take a connection out of the register."""
        self._open -= counted
        self._awaited -= not late
        self.ask(connection)
        if not self._awaited:
            self._gone.unpark_all()

    def evict(self) -> bool:
        """Cut off the oldest half-open connection of the address that has most of them.

        Returns:
            Whether there was one.
        """
        if not self._half_open:
            return False
        largest = max(self._half_open.values(), key=len)
        oldest = next(iter(largest))
        self.ask(oldest)
        self._open -= 1
        oldest.evict()
        return True

    def begin_end(self) -> None:
        """Cut off those that have not asked for anything; wait for none that comes from now on."""
        self._closing = True
        for of_address in self._half_open.values():
            for connection in of_address:
                connection.scope.cancel()

    async def wait_gone(self) -> None:
        """Wait for the last of those that were open when the end began."""
        while self._awaited:
            await self._gone.park()
