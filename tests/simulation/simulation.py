"""The real engine, hub, router, sessions and supervisor, in virtual time, with wires for sockets.

`Simulation` runs them in a thread of its own and carries out one operation at a time, each of
which ends only when every task is waiting for something: so the same operations give the same
history. Only what lies outside is made up: the network, the source of prices, the
authority's database, both clocks.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, cast
from unittest.mock import patch

import structlog
import trio
import trio.testing

from tests.simulation.wire import TICK, Books, Client, Wire, kernel
from tests.support.made_up import FakeAuthority, ScriptedSource
from ticker import limits
from ticker.http.bridge import HttpBridge
from ticker.security.authority import Authority
from ticker.service import make_service
from ticker.settings.model import Settings

SYMBOLS = ("AAA-USD", "BBB-USD", "CCC-USD")
TTL = 40.0
#: After how many ticks each symbol's price moves: some change often, one hardly ever.
STRIDES = (1, 3, 40)
#: Few enough frames wait for a subscriber of `every` that a stall is too long for it.
EVERY_TICKS = 12
_EPOCH = 1_800_000_000.0


class Simulation:
    """The running service, and the clients connected to it."""

    def __init__(self) -> None:
        self.clock = trio.testing.MockClock()
        self.wall_offset = 0.0
        self.source = ScriptedSource(symbols=SYMBOLS, counts=True, strides=STRIDES)
        self.books = Books()
        self.clients: list[Client] = []
        #: Where tasks run that are not the server's, and outlive it.
        self.outside: trio.Nursery
        self.drained_at: float | None = None
        self.logged: list[dict[str, Any]] = []
        self.idle_tasks = 0
        self._begun = trio.Event()
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._live, name="simulation", daemon=True)
        self._thread.start()
        assert self._started.wait(10), "the simulation does not begin"
        if self._failure is not None:
            raise self._failure

    def now(self) -> float:
        """Virtual time, which only `pass_time` moves."""
        return self.clock.current_time()

    def wall(self) -> float:
        """Return the wall clock, which may jump."""
        return _EPOCH + self.now() + self.wall_offset

    def do(self, operation: Callable[[], Awaitable[None]] | Callable[[], None]) -> None:
        """Carry out one operation and wait until everything has settled."""

        async def carry_out() -> None:
            result = operation()
            if result is not None:
                await result
            await trio.testing.wait_all_tasks_blocked()

        if self._failure is None:
            try:
                trio.from_thread.run(carry_out, trio_token=self._token)
            except trio.RunFinishedError:
                self._thread.join()
        if self._failure is not None:
            raise self._failure
        for client in self.clients:
            if client.wire.wrong is not None:
                raise client.wire.wrong

    def end(self) -> None:
        """End it; what failed in it is raised."""
        if self._failure is None:
            trio.from_thread.run_sync(self._finish, trio_token=self._token)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the simulation does not end"
        if self._failure is not None:
            raise self._failure

    def _finish(self) -> None:
        # A lingering close is shielded, and takes time, which no clock passes any more.
        self.clock.autojump_threshold = 0
        self._scope.cancel()

    @property
    def connections(self) -> int:
        """How many are open."""
        return self.engine.statistics().connections

    # Operations; each is given to `do`.

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, deadline by deadline."""
        end = self.now() + seconds
        while self.now() < end:
            await trio.testing.wait_all_tasks_blocked()
            wait = trio.lowlevel.current_statistics().seconds_to_next_deadline
            self.clock.jump(max(0.0, min(wait, end - self.now())))
            # A deadline is due strictly after its time has come.
            await trio.testing.wait_all_tasks_blocked()

    async def connect(self, client: Client, seconds: float) -> None:
        """Open a connection and ask for a stream."""
        self.authority.issue(client.token, seconds)
        client.expires_at = self.now() + seconds
        self.clients.append(client)
        self.accept(client.wire)
        client.send(client.request())

    def accept(self, wire: Wire) -> None:
        """Have the server serve a connection."""
        self.engine.nursery.start_soon(self._serve, wire)

    async def _serve(self, wire: Wire) -> None:
        """Serve a connection and close it, as the listener's task does."""
        stream = wire.accept()
        try:
            # Every request is for a stream: what only other requests are shown to is left out.
            http = HttpBridge("", self.service.gate)
            await self.service.router.serve(stream, stream.peer, http)
        finally:
            stream.close()

    async def restart(self) -> None:
        """End the process as `kill -9` does, and start another one."""
        for client in self.clients:
            client.reset()
        self._ended.set()
        self._begun = trio.Event()
        await self._begun.wait()
        # The new one's first tick waits for its first price.
        await self.pass_time(TICK)

    async def drain(self) -> None:
        """Shut down as a worker does."""
        self.drained_at = self.now()
        self._nursery.start_soon(self._drain)

    async def _drain(self) -> None:
        graceful = self.service.settings.graceful_timeout
        await self.engine.drain(graceful - limits.SHUTDOWN_MARGIN_SECONDS)
        self.drained.set()

    def _live(self) -> None:
        try:
            trio.run(self._run, clock=self.clock)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks
            self._failure = error
        finally:
            self._started.set()

    async def _run(self) -> None:
        with ExitStack() as stack, trio.CancelScope() as self._scope:
            self._token = trio.lowlevel.current_trio_token()
            stack.enter_context(kernel())
            stack.enter_context(structlog.testing.capture_logs())
            stack.enter_context(self.books.kept())
            stack.enter_context(patch.object(limits, "EVERY_TICKS", EVERY_TICKS))
            self.authority = FakeAuthority(self.wall)
            async with trio.open_nursery() as self.outside:
                while True:
                    await self._live_once()

    async def _live_once(self) -> None:
        """Run the service until it is restarted."""
        self._ended = trio.Event()
        settings = Settings(tick=TICK, max_streams=6, restart_reset=1.0)
        self.service = make_service(
            settings,
            cast("Authority", self.authority),
            load=self.source.load,
            wall=self.wall,
        )
        self.engine, self.market = self.service.engine, self.service.market
        self.drained, self.drained_at = trio.Event(), None
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self.engine.run)
            await trio.testing.wait_all_tasks_blocked()
            self.idle_tasks = self.idle_tasks or trio.lowlevel.current_statistics().tasks_living
            self._started.set()
            self._begun.set()
            await self._ended.wait()
            self._nursery.cancel_scope.cancel()
