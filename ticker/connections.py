"""The register of open connections: what a drain waits for, and what bounds count.

Rules for this module: it counts and cancels; it knows nothing of sockets.
"""

from __future__ import annotations

from typing import Self

import trio


class Connection:
    """One connection, in the register until the block is left.

    Attributes:
        scope: around everything that is done for it.
    """

    __slots__ = ("_late", "_register", "scope")

    def __init__(self, register: Connections) -> None:
        self._register = register
        self._late = False
        self.scope = trio.CancelScope()

    def __enter__(self) -> Self:
        self._late = self._register.enter(self)
        self.scope.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        try:
            return self.scope.__exit__(kind, error, traceback)  # type: ignore[arg-type]
        finally:
            self._register.leave(self, late=self._late)

    def asked(self) -> None:
        """Note that its first request has come: it is no half-open connection any more."""
        self._register.half_open.pop(self, None)


class Connections:
    """Every open connection.

    Attributes:
        half_open: those that have not asked for anything yet, the oldest first.
    """

    def __init__(self) -> None:
        self.half_open: dict[Connection, None] = {}
        self._open = 0
        self._awaited = 0
        self._closing = False
        self._gone = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return self._open

    def enter(self, connection: Connection) -> bool:
        """Put a connection into the register; say whether it came after the end had begun."""
        self._open += 1
        self._awaited += not self._closing
        self.half_open[connection] = None
        return self._closing

    def leave(self, connection: Connection, *, late: bool) -> None:
        """Take a connection out of the register."""
        self._open -= 1
        self._awaited -= not late
        self.half_open.pop(connection, None)
        if not self._awaited:
            self._gone.unpark_all()

    def begin_end(self) -> None:
        """Cut off those that have not asked for anything; wait for none that comes from now on."""
        self._closing = True
        for connection in tuple(self.half_open):
            connection.scope.cancel()

    async def wait_gone(self) -> None:
        """Wait for the last of those that were open when the end began."""
        while self._awaited:
            await self._gone.park()
