"""Answering a connection with a refusal."""

from __future__ import annotations

import trio

from ticker import limits
from ticker.http.refusal import Refusal
from ticker.transport.socket_stream import SocketStream


class Refuser:
    """Answers, and closes; so many at once that a flood of refused requests holds little."""

    def __init__(self) -> None:
        self._under_way = 0

    async def refuse(self, stream: SocketStream, refusal: Refusal) -> None:
        """Answer and close.

        It is waited for that the answer arrives, which takes the peer's time, unless there are
        `limits.REFUSALS_AT_ONCE` of them under way; then a reset may overtake it.
        """
        patient = self._under_way < limits.REFUSALS_AT_ONCE
        self._under_way += 1
        try:
            with trio.move_on_after(limits.CLOSE_SECONDS):
                await stream.send_last(refusal.response())
                if patient:
                    await stream.aclose()
        finally:
            self._under_way -= 1
            stream.close()
