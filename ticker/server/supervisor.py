"""The supervisor: the parent of several worker processes that serve one port.

It keeps a listening socket for each worker (SO_REUSEPORT: the kernel spreads connections over
them) and hands it over by descriptor, so that the queue of a worker that ends is served by its
successor: closing such a socket would reset the connections in its queue. It starts the
workers, restarts one that crashes with backoff, kills one that shows no sign of life, replaces
them one by one on SIGHUP, and ends them all on SIGTERM or SIGINT.

Theory of operation. A `Place` is a socket and the worker that serves it, kept by one task. A
worker has two pipes. Through the first it says that it serves, and then that it lives; its end
says that the worker has gone. The second is its leash: the worker drains when it ends, which it
also does when the supervisor is killed. A byte through the leash says that a successor accepts
connections already. A signal would not do: a service manager signals the workers too, and a
second signal ends a process at once.

To replace a worker, another place is kept on the same socket, and the one before is left once the
new one's worker serves: whatever the worker before is about then, be it that it crashed and waits
to be started again, there is one task that starts workers on a socket.

Rules for this module: it knows workers and signals, nothing of prices or clients.
"""

from __future__ import annotations

import math
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

import structlog
import trio

from ticker.supervision import RestartPolicy

log = structlog.get_logger()

#: What a shell expects of a program that Ctrl-C ended before it did what it was asked for.
_INTERRUPTED: Final = 130


class WorkerStartError(Exception):
    """A worker ended before it served; `status` is its exit status."""

    def __init__(self, number: int, status: int) -> None:
        super().__init__(f"worker {number} ended with status {status} before it served")
        self.status = status


class Worker(Protocol):
    """A process that was started: see `worker_process.WorkerProcess`."""

    async def watch(self, served: Callable[[], None]) -> int:
        """Wait for its end, and kill it where it shows no sign of life; returns its status."""

    def retire(self, *, succeeded: bool = False) -> None:
        """Tell it to drain and end."""

    def kill(self) -> None:
        """End it at once."""


class Start(Protocol):
    """Starts a worker: see `worker_process.WorkerProcess.start`."""

    def __call__(
        self, number: int, listening: socket.socket, /, *, replaces: bool
    ) -> Awaitable[Worker]:
        """Start the worker of a number; says whether another one serves until it does."""


class Place:
    """A listening socket, and the worker that serves it.

    Attributes:
        number: which it is, from 1.
        status: what its worker ended with once the place was left.
    """

    def __init__(
        self,
        number: int,
        listening: socket.socket,
        start: Start,
        policy: RestartPolicy,
        *,
        replaces: bool = False,
    ) -> None:
        self.number = number
        self.status = 0
        self._listening = listening
        self._start = start
        self._policy = policy
        # Whether the worker of another place serves the socket until this one's first does.
        self._replaces = replaces
        self._worker: Worker | None = None
        self._left = trio.Event()
        self._succeeded = False
        self._ended = trio.Event()

    def another(self) -> Place:
        """Return another place on the same socket, which is to replace this one."""
        return Place(self.number, self._listening, self._start, self._policy, replaces=True)

    async def keep(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run a worker, and another each time it crashes, until `leave`; started once one serves.

        Raises:
            WorkerStartError: the first one ended before it served.
        """
        crashes = 0
        served = False

        def serves() -> None:
            nonlocal served
            self._replaces = False
            log.info("worker_serves", worker=self.number)
            if not served:
                served = True
                task_status.started()

        try:
            while not self._left.is_set():
                began = trio.current_time()
                status = await self._run(serves)
                log.info("worker_ended", worker=self.number, status=status)
                if self._left.is_set():
                    self.status = status
                elif not served:
                    raise WorkerStartError(self.number, status)
                elif status:
                    crashes = self._policy.crashes(crashes, trio.current_time() - began)
                    await self._rest(self._policy.pause(crashes, random.random()))  # noqa: S311 - spreads load
                # Else another process asked it to end: the next takes its place at once.
            if not served:
                task_status.started()  # it was left before, which is no failure
        finally:
            self._ended.set()

    async def leave(self, *, succeeded: bool = False, seconds: float = math.inf) -> None:
        """Have the worker end by itself, and start no other; returns once it has ended.

        Args:
            succeeded: whether another worker accepts on its socket already.
            seconds: after which it is killed.
        """
        self._succeeded = succeeded
        self._left.set()
        if self._worker is not None:
            self._worker.retire(succeeded=succeeded)
        with trio.move_on_after(seconds):
            await self._ended.wait()
            return
        if self._worker is not None:
            log.error("worker_killed", worker=self.number, seconds=seconds)
            self._worker.kill()
        await self._ended.wait()

    async def _run(self, serves: Callable[[], None]) -> int:
        """Run one worker to its end; returns its status."""
        worker = self._worker = await self._start(
            self.number, self._listening, replaces=self._replaces
        )
        try:
            if self._left.is_set():  # meanwhile
                worker.retire(succeeded=self._succeeded)
            return await worker.watch(serves)
        finally:
            self._worker = None

    async def _rest(self, seconds: float) -> None:
        """Wait after a crash, unless the place is left meanwhile."""
        log.error("worker_crashed", worker=self.number, retry_in_s=round(seconds, 3))
        with trio.move_on_after(seconds):
            await self._left.wait()


class Supervisor:
    """Runs one worker for each of some listening sockets.

    Attributes:
        status: what this process is to exit with.
        serves: whether every worker has served, and none was told to end.
    """

    def __init__(
        self,
        start: Start,
        sockets: Sequence[socket.socket],
        policy: RestartPolicy,
        *,
        grace: float,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            start: starts a worker.
            sockets: one for each worker.
            policy: when to restart a worker that crashed.
            grace: how many seconds a worker has to end by itself.
        """
        self.status = 0
        self.serves = False
        self._grace = grace
        self._places = [
            Place(number, each, start, policy) for number, each in enumerate(sockets, 1)
        ]
        self._ending = False
        self._replacing = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the workers until a signal ends them; started once all serve, or are to end.

        Raises:
            WorkerStartError: one ended before it served, in an exception group.
        """
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with trio.open_signal_receiver(*signals) as received:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, received, nursery)
                async with trio.open_nursery() as starting:
                    for place in self._places:
                        starting.start_soon(nursery.start, place.keep)
                self.serves = not self._ending
                task_status.started()
                while True:
                    await self._replacing.wait()
                    # Asked once more meanwhile, they are all replaced once more.
                    self._replacing = trio.Event()
                    await self._replace_all(nursery)

    async def _obey(self, received: AsyncIterator[int], nursery: trio.Nursery) -> None:
        """Act on signals, the last of which ends everything."""
        async for number in received:
            log.info("signal_received", signal=signal.Signals(number).name)
            if number != signal.SIGHUP:
                break
            self._replacing.set()
        interrupted = number == signal.SIGINT and not self.serves
        self._ending = True
        self.serves = False
        async with trio.open_nursery() as leaving:
            for place in self._places:
                leaving.start_soon(partial(place.leave, seconds=self._grace))
        failed = max(int(place.status != 0) for place in self._places)
        self.status = _INTERRUPTED if interrupted else failed
        nursery.cancel_scope.cancel()

    async def _replace_all(self, nursery: trio.Nursery) -> None:
        """Replace every worker, one after the other; stops where a new one cannot start."""
        for old in tuple(self._places):
            if self._ending:
                return
            new = old.another()
            self._places.append(new)
            try:
                await nursery.start(new.keep)
            except WorkerStartError as error:
                self._places.remove(new)
                log.error("replacing_stopped", reason=str(error))  # noqa: TRY400 - it says all
                return
            await old.leave(succeeded=True, seconds=self._grace)
            self._places.remove(old)
