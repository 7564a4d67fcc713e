"""A loss of the stream and its mending, told as messages between those of the server."""

from __future__ import annotations

from ticker.client.latest_wins_buffer import LatestWinsBuffer
from ticker.client.messages import Disconnected, Reconnected


class Losses:
    """Tells of each loss once, and only where prices had come before it.

    Attributes:
        shown: whether prices are passed on, so that their end is to be told.
    """

    def __init__(self, buffer: LatestWinsBuffer) -> None:
        self.shown = False
        self._buffer = buffer
        self._told = False

    def begin_showing(self, resumed: bool) -> None:  # noqa: FBT001 - of a callback
        """Note that prices are passed on from here on; tell that a loss is mended."""
        self.shown = True
        if self._told:
            self._told = False
            self._buffer.put(Reconnected(resumed=resumed))

    def lose(self, reason: str, retry_in: float) -> None:
        """Tell that the stream is lost, and after how many seconds it is tried again."""
        if self.shown:
            self.shown, self._told = False, True
            self._buffer.put(Disconnected(reason=reason, retry_in=retry_in))
