"""The subscription that the user wants, from one connection to the next.

Rules for this module: values only; no I/O and no clock.
"""

from __future__ import annotations

import msgspec

from ticker.client.requests import Resume, Subscribe, Unsubscribe, query


class Wanted:
    """What was asked for last, and whether a handshake may ask for it.

    It may once the server has granted it: a message tells better what is wrong with it.

    Attributes:
        request: None for the default stream, which needs none.
    """

    def __init__(self, request: Subscribe | Unsubscribe | None) -> None:
        self.request = request
        self._granted = False

    def replace(self, request: Subscribe | Unsubscribe) -> None:
        """Want something else, which the server has just granted."""
        self.request = request
        self._granted = self._granted or isinstance(request, Subscribe)

    def grant(self) -> None:
        """Note that the server has granted it."""
        self._granted = True

    def refuse_query(self) -> None:
        """Note that a handshake may not ask for it."""
        self._granted = False

    def next_request(self, position: Resume | None) -> Subscribe | Unsubscribe | None:
        """Return what to begin the next connection with: from the last frame, if it can."""
        if not isinstance(self.request, Subscribe):
            return self.request
        resume = position if self.request.mode in {"changes", "every"} else None
        return msgspec.structs.replace(self.request, resume=resume)

    def query(self, request: Subscribe | Unsubscribe | None) -> str:
        """Return the query by which a handshake asks for it; empty where a message is to ask."""
        return query(request) if self._granted and isinstance(request, Subscribe) else ""
