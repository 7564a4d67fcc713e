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

import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

import attrs
import structlog
import trio

from ticker import limits
from ticker.supervision import RestartPolicy

log = structlog.get_logger()

#: The environment variable that tells a worker what it was handed: see `Handover`.
HANDOVER: Final = "TICKER_WORKER_HANDOVER"
#: What a worker writes: it serves; it lives.
SERVING: Final = b"s"
ALIVE: Final = b"a"
#: What is written to a worker's leash before its end where a successor serves already.
SUCCEEDED: Final = b"r"


class WorkerStartError(Exception):
    """A worker ended before it served; `status` is its exit status."""

    def __init__(self, number: int, status: int) -> None:
        super().__init__(f"worker {number} ended with status {status} before it served")
        self.status = status


@attrs.frozen
class Handover:
    """What a worker is handed by its supervisor: its number, from 1, and three descriptors.

    Attributes:
        number: which worker it is.
        listening: its listening socket.
        alive: where it writes `SERVING`, and then `ALIVE` every `limits.WORKER_ALIVE_SECONDS`.
        leash: ends when it is to drain.
    """

    number: int
    listening: int
    alive: int
    leash: int

    def environment(self) -> dict[str, str]:
        """Return the environment variable that tells a process of it."""
        return {HANDOVER: f"{self.number}:{self.listening}:{self.alive}:{self.leash}"}

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Handover | None:
        """Read what this process was handed; None where it is no supervisor's worker."""
        text = environ.get(HANDOVER)
        return cls(*map(int, text.split(":"))) if text else None


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Make so many sockets that listen on one address together.

    Raises:
        OSError: the address cannot be used, or another program listens on it.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]
    if port:
        # A socket with SO_REUSEPORT would share the port with another service of this user.
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(each := socket.socket(family))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(sockets[0].getsockname() if each is not sockets[0] else address)
            each.listen(limits.BACKLOG)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


class _Worker:
    """One process, from its start until it has ended and its status is known."""

    def __init__(self, number: int, process: trio.Process, alive: int, leash: int) -> None:
        self.retired = False
        self.ended = trio.Event()
        self._number = number
        self._process = process
        self._alive = alive
        self._leash = leash

    @classmethod
    async def start(cls, command: Sequence[str], number: int, listening: socket.socket) -> Self:
        """Start a worker on a listening socket."""
        alive, its_alive = os.pipe2(os.O_CLOEXEC)
        its_leash, leash = os.pipe2(os.O_CLOEXEC)
        handover = Handover(number, listening.fileno(), its_alive, its_leash)
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
            self.ended.set()

    async def _read(self, signs: trio.lowlevel.FdStream, served: Callable[[], None]) -> None:
        """Read its signs of life until their end."""
        patience = limits.WORKER_START_SECONDS
        while True:
            sign = b""
            with trio.move_on_after(patience) as waiting:
                sign = bytes(await signs.receive_some(limits.WORKER_SIGNS))
            if waiting.cancelled_caught and not self.retired:
                log.error("worker_silent", worker=self._number, seconds=patience)
                self._process.kill()
                return
            if not sign and not waiting.cancelled_caught:
                return
            if SERVING in sign:
                patience = limits.WORKER_SILENT_SECONDS
                served()

    def retire(self, *, succeeded: bool = False) -> None:
        """Tell it to drain and end.

        Args:
            succeeded: whether another worker accepts on its socket already.
        """
        self.retired = True
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


@attrs.define(eq=False)
class _Place:
    """A listening socket and the worker that serves it."""

    number: int
    listening: socket.socket
    worker: _Worker | None = None


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
        self._workers: set[_Worker] = set()
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
            worker = await _Worker.start(self._command, place.number, place.listening)

            def serves(worker: _Worker = worker) -> None:
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

    async def _retire(self, old: _Worker) -> None:
        old.retire(succeeded=True)
        with trio.move_on_after(self._grace):
            await old.ended.wait()
            return
        old.kill()
