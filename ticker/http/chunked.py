"""Where a chunked body ends (RFC 9112 §7.1).

Rules for this module: pure. h11 reads the chunks, as it does inside Hypercorn, so that the two
never take different bytes for the body's: what one of them took for a request, the other could
take for a part of a body.
"""

from __future__ import annotations

import h11


class ChunkedBody:
    """Finds the end of one chunked body in its bytes as they come."""

    def __init__(self, head: bytes) -> None:
        """Begin.

        Args:
            head: of the request, which h11 has understood before.
        """
        self._parser = h11.Connection(h11.SERVER)
        self._parser.receive_data(head)
        self._parser.next_event()

    def end_in(self, data: bytes) -> int | None:
        """Return how many of the next bytes are the body's; None where it goes on after them.

        A body that breaks HTTP has no end: Hypercorn finds the same fault in it.
        """
        if not data:
            return None
        try:
            self._parser.receive_data(data)
            while True:
                event = self._parser.next_event()
                if isinstance(event, h11.EndOfMessage):
                    return len(data) - len(self._parser.trailing_data[0])
                if not isinstance(event, h11.Data):
                    return None
        except h11.RemoteProtocolError:
            return None
