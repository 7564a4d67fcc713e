"""One worker process, as its supervisor sees it: its start, its signs of life, its end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

import structlog
import trio

from ticker import limits
from ticker.server.handover import ENDING, SERVING, SUCCEEDED, Handover

log = structlog.get_logger()


class WorkerProcess:
    """One process, from its start until it has ended and its status is known."""

    def __init__(self, number: int, process: trio.Process, alive: int, leash: int) -> None:
        self._retired = False
        self._number = number
        self._process = process
        self._alive = alive
        self._leash = leash

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        number: int,
        listening: socket.socket,
        *,
        replaces: bool = False,
    ) -> Self:
        """Start a worker on a listening socket.

        Args:
            command: what to run.
            number: of the worker.
            listening: its socket.
            replaces: whether another worker serves on that socket until this one does.
        """
        alive, its_alive = os.pipe2(os.O_CLOEXEC)
        its_leash, leash = os.pipe2(os.O_CLOEXEC)
        handover = Handover(number, listening.fileno(), its_alive, its_leash, replaces)
        try:
            process = await trio.lowlevel.open_process(
                command,
                env={**os.environ, **handover.environment()},
                pass_fds=(handover.listening, its_alive, its_leash),
                # A terminal's Ctrl-C is the supervisor's to act on.
                process_group=0,
            )
        except BaseException:
            os.close(alive)
            os.close(leash)
            raise
        finally:
            os.close(its_alive)
            os.close(its_leash)
        log.info("worker_started", worker=number, pid=process.pid)
        return cls(number, process, alive, leash)

    async def watch(self, served: Callable[[], None]) -> int:
        """Wait for its end, killing it where it shows no sign of life; returns its status.

        Args:
            served: called once, when it serves.
        """
        try:
            async with trio.lowlevel.FdStream(self._alive) as signs:
                await self._read(signs, served)
            with trio.move_on_after(limits.WORKER_REAP_SECONDS):
                return await self._process.wait()
            self._process.kill()
            return await self._process.wait()
        finally:
            self._let_go()
            if self._process.returncode is None:
                self._process.kill()
                with trio.CancelScope(shield=True):
                    await self._process.wait()

    async def _read(self, signs: trio.lowlevel.FdStream, served: Callable[[], None]) -> None:
        """Read its signs of life until their end."""
        silence_allowed = limits.WORKER_START_SECONDS
        while True:
            sign: bytes | None = None
            with trio.move_on_after(silence_allowed):
                sign = bytes(await signs.receive_some(limits.WORKER_SIGNS))
            if sign is None:
                # This process may have slept itself: then there are signs, which it did not read.
                sign = self._unread()
            if sign is None:
                if self._retired:
                    continue
                log.error("worker_silent", worker=self._number, seconds=silence_allowed)
                self._process.kill()
                return
            if not sign:
                return
            if SERVING in sign:
                silence_allowed = limits.WORKER_SILENT_SECONDS
                served()
            if ENDING in sign:
                silence_allowed = limits.WORKER_REAP_SECONDS

    def _unread(self) -> bytes | None:
        """Return signs of life that wait to be read, empty at their end; None if there are none."""
        try:
            return os.read(self._alive, limits.WORKER_SIGNS)
        except BlockingIOError:
            return None

    def retire(self, *, succeeded: bool = False) -> None:
        """Tell it to drain and end.

        Args:
            succeeded: whether another worker accepts on its socket already.
        """
        self._retired = True
        if succeeded and self._leash != -1:
            with suppress(OSError):  # it has gone by itself
                os.write(self._leash, SUCCEEDED)
        self._let_go()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _let_go(self) -> None:
        if self._leash != -1:
            os.close(self._leash)
            self._leash = -1
