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

Rules for this module: it knows processes, signals and sockets, nothing of prices or clients.
"""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import AsyncIterator, Sequence

import attrs
import structlog
import trio

from ticker.server.worker_process import WorkerProcess
from ticker.supervision import RestartPolicy

log = structlog.get_logger()


class WorkerStartError(Exception):
    """A worker ended before it served; `status` is its exit status."""

    def __init__(self, number: int, status: int) -> None:
        super().__init__(f"worker {number} ended with status {status} before it served")
        self.status = status


@attrs.define(eq=False)
class _Place:
    """A listening socket and the worker that serves it."""

    number: int
    listening: socket.socket
    worker: WorkerProcess | None = None


class Supervisor:
    """Runs one worker for each of some listening sockets.

    Attributes:
        status: what this process is to exit with.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        policy: RestartPolicy,
        *,
        grace: float,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            command: what starts a worker.
            sockets: one for each worker.
            policy: when to restart a worker that crashed.
            grace: how many seconds a worker has to end by itself.
        """
        self.status = 0
        self._command = tuple(command)
        self._policy = policy
        self._grace = grace
        self._places = [_Place(number, each) for number, each in enumerate(sockets, 1)]
        self._workers: set[WorkerProcess] = set()
        self._ending = False
        self._replacing = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the workers until a signal ends them; started once every worker serves.

        Raises:
            WorkerStartError: one ended before it served, in an exception group.
        """
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with trio.open_signal_receiver(*signals) as received:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, received, nursery)
                async with trio.open_nursery() as starting:
                    for place in self._places:
                        starting.start_soon(nursery.start, self._keep, place)
                task_status.started()

    async def _obey(self, received: AsyncIterator[int], nursery: trio.Nursery) -> None:
        """Act on signals, the last of which ends everything."""
        async for number in received:
            log.info("signal_received", signal=signal.Signals(number).name)
            if number != signal.SIGHUP:
                break
            if not self._replacing:
                nursery.start_soon(self._replace_all, nursery)
        self._ending = True
        for worker in self._workers:
            worker.retire()
        with trio.move_on_after(self._grace):
            for worker in tuple(self._workers):
                await worker.ended.wait()
        nursery.cancel_scope.cancel()

    async def _keep(
        self, place: _Place, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run a worker in a place, and another each time it crashes; started once one serves.

        Raises:
            WorkerStartError: the first one ended before it served.
        """
        crashes = 0
        served = trio.Event()
        while not self._ending:
            began = trio.current_time()
            worker = await WorkerProcess.start(self._command, place.number, place.listening)

            def serves(worker: WorkerProcess = worker) -> None:
                log.info("worker_serves", worker=place.number)
                place.worker = worker
                if not served.is_set():
                    served.set()
                    task_status.started()

            self._workers.add(worker)
            if self._ending:
                worker.retire()
            try:
                status = await worker.watch(serves)
            finally:
                self._workers.discard(worker)
            log.info("worker_ended", worker=place.number, status=status)
            if worker.retired:
                self.status = self.status or int(status != 0)
                return
            if not served.is_set():
                raise WorkerStartError(place.number, status)
            if status:
                crashes = self._policy.crashes(crashes, trio.current_time() - began)
                pause = self._policy.pause(crashes, random.random())  # noqa: S311 - spreads load
                log.error("worker_crashed", worker=place.number, retry_in_s=round(pause, 3))
                await trio.sleep(pause)
            # Else it was asked to end, though not by this process: another takes its place at once.
            if place.worker is not worker and place.worker is not None:
                return  # it was replaced meanwhile

    async def _replace_all(self, nursery: trio.Nursery) -> None:
        """Replace every worker, one after the other; stops where a new one cannot start."""
        self._replacing = True
        try:
            for place in self._places:
                old = place.worker
                try:
                    await nursery.start(self._keep, place)
                except WorkerStartError as error:
                    log.error("replacing_stopped", reason=str(error))  # noqa: TRY400 - it says all
                    return
                if old is not None:
                    await self._retire(old)
        finally:
            self._replacing = False

    async def _retire(self, old: WorkerProcess) -> None:
        old.retire(succeeded=True)
        with trio.move_on_after(self._grace):
            await old.ended.wait()
            return
        old.kill()
