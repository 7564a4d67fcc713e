"""A worker's side of what our supervisor hands over (`server/supervisor.py`)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NoReturn

import trio

from ticker import limits
from ticker.server.handover import ALIVE, ENDING, SERVING, SUCCEEDED, Handover


class HandedOver:
    """The listening socket, the life sign and the leash of this worker.

    Attributes:
        number: which worker it is, from 1.
        listening: its socket.
    """

    def __init__(self, handover: Handover) -> None:
        self.number = handover.number
        self.listening = socket.socket(fileno=handover.listening)
        self._alive = handover.alive
        self._leash = handover.leash
        self._ended = self._succeeded = False
        # None of them is for a process that this one may start.
        for descriptor in (handover.listening, handover.alive, handover.leash):
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no names
        os.set_blocking(self._alive, False)

    async def wait_end(self) -> None:
        """Wait until the supervisor wants this worker to end, or has gone."""
        async with trio.lowlevel.FdStream(os.dup(self._leash)) as leash:
            while said := await leash.receive_some(len(SUCCEEDED)):
                self._succeeded = self._succeeded or said == SUCCEEDED
        self._ended = True

    def accepts_while_draining(self) -> bool:
        """Whether no successor accepts on this worker's socket: the whole service ends."""
        return self._ended and not self._succeeded

    async def show_life(self) -> NoReturn:
        """Tell the supervisor that this worker serves, and then that it lives, until cancelled."""
        self._say(SERVING)
        while True:
            await trio.sleep(limits.WORKER_ALIVE_SECONDS)
            self._say(ALIVE)

    def say_ending(self) -> None:
        """Tell the supervisor that this worker has served, and will say nothing more."""
        self._say(ENDING)

    def _say(self, sign: bytes) -> None:
        # Where the supervisor has gone the leash says so; where it is stopped the pipe fills up.
        with suppress(OSError):
            os.write(self._alive, sign)
