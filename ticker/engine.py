"""The engine: the nursery that owns the sources, the broadcast and the watch over sessions.

Read `Engine.run` for what lives as long as the service, and `Engine.drain` for how it stops:
refuse, tell everyone, wait for the last to go. Connections' tasks live elsewhere (`gateway/`);
the engine holds a register of sessions, so that it can end any of them with a reason. An
exception that reaches `Engine.run` ends the process: serving prices that nobody moves any more
would be worse.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

import attrs
import structlog
import trio

from ticker import limits
from ticker.admission import Admission, StreamLimits
from ticker.market.book import Book
from ticker.market.hub import Encoder, Hub, HubStatistics
from ticker.market.ingest import Ingest, IngestStatistics, SourceState
from ticker.market.sources import SourceContext, load_source
from ticker.market.subscriber import ONE_BY_ONE, Fanout
from ticker.metrics import FANOUT_BUCKETS, Durations, Metrics
from ticker.protocol.close_codes import CloseCode
from ticker.security.authority import Authority, Grant
from ticker.security.policy import Action, PolicySet
from ticker.settings.model import Settings
from ticker.supervision import RestartPolicy

log = structlog.get_logger()


class LiveSession(Protocol):
    """What the engine needs of a session."""

    @property
    def grant(self) -> Grant:
        """What the session's token allows."""

    def end(self, code: CloseCode, *, retry_after_ms: int = 0) -> None:
        """End it; never awaits."""

    def check(self, now: float) -> None:
        """Look after the peer."""

    def tell_status(self) -> None:
        """Say what changed among the sources."""


class Sessions:
    """The register of live sessions."""

    def __init__(self) -> None:
        self._live: dict[LiveSession, None] = {}
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(tuple(self._live))

    def enter(self, session: LiveSession) -> None:
        """Put a session into the register."""
        self._live[session] = None

    def leave(self, session: LiveSession) -> None:
        """Take a session out of the register."""
        del self._live[session]
        if not self._live:
            self._changed.set()

    async def wait_empty(self) -> None:
        """Wait until the last session has left."""
        while self._live:
            self._changed = trio.Event()
            await self._changed.wait()


@attrs.frozen
class EngineStatistics:
    """What is alive now and what was done so far, for tests and operators."""

    sessions: int
    streams_open: int
    ticks: int
    ticks_skipped: int
    draining: bool
    hub: HubStatistics
    ingest: IngestStatistics


def _wall() -> float:
    return time.time()


async def _sleep_until(deadline: float) -> None:
    """Sleep as `trio.sleep_until` does, at half its cost.

    Between two ticks the processor's caches forget all of this, so that each function on the way
    costs a microsecond or more. Here the deadline wakes the task without raising anything, and
    so does a cancellation from outside, which is delivered once the deadline's scope is left.
    """
    task = trio.lowlevel.current_task()

    def wake(_raise_cancel: object) -> trio.lowlevel.Abort:
        trio.lowlevel.reschedule(task)
        return trio.lowlevel.Abort.FAILED

    with trio.CancelScope(deadline=deadline):
        await trio.lowlevel.wait_task_rescheduled(wake)
    await trio.lowlevel.checkpoint_if_cancelled()


class Engine:
    """The running market and everybody connected to it."""

    def __init__(
        self,
        settings: Settings,
        authority: Authority,
        encoder: Encoder,
        *,
        fanout: Fanout = ONE_BY_ONE,
        wall: Callable[[], float] = _wall,
    ) -> None:
        """Set everything up without starting anything.

        Raises:
            SourceConfigError: a source cannot be set up as the settings ask.
        """
        self.settings = settings
        self.authority = authority
        self.policies: PolicySet = settings.policies
        self.wall = wall
        self.metrics = Metrics()
        self.fanout = Durations(FANOUT_BUCKETS)
        self.sessions = Sessions()
        self.admission = Admission(
            StreamLimits(
                server=settings.max_streams,
                token=settings.max_streams_per_token,
                address=settings.max_streams_per_address,
            )
        )
        self.draining = False
        self._ticked = trio.lowlevel.ParkingLot()
        # Neither policies nor symbols change while the service runs: bounded by both.
        self._allowed: dict[tuple[str, Action], tuple[str, ...]] = {}
        self._ticks = 0
        self._ticks_skipped = 0
        self._nursery: trio.Nursery | None = None
        sources = [load_source(spec, self._source_context(spec)) for spec in settings.source]
        self.book = Book(tuple(dict.fromkeys(s for source in sources for s in source.symbols)))
        self.hub = Hub(self.book, encoder, wall_ms=self.wall_ms, fanout=fanout)
        self.ingest = Ingest(
            sources,
            self.book,
            RestartPolicy(
                initial=settings.restart_initial,
                factor=settings.restart_factor,
                maximum=settings.restart_max,
                jitter=settings.restart_jitter,
                reset_after=settings.restart_reset,
            ),
            stale_after=settings.stale_after,
            wall_ms=self.wall_ms,
            changed=self._tell_status,
        )

    @property
    def tick_ms(self) -> float:
        """The broadcast interval in milliseconds; whole where it is a whole number."""
        milliseconds = round(self.settings.tick * 1000, 3)
        return int(milliseconds) if milliseconds.is_integer() else milliseconds

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        return int(self.wall() * 1000)

    def ticks_in(self, interval_ms: float) -> int:
        """Return how many ticks make up an interval, at least one, rounded up."""
        return max(1, -int(-interval_ms // self.tick_ms))

    def allowed(self, role: str, action: Action) -> tuple[str, ...]:
        """Return the symbols of the market on which a role may do something."""
        known = self._allowed.get((role, action))
        if known is None:
            known = self.policies.allowed(role, action, self.book.symbols)
            self._allowed[role, action] = known
        return known

    def status(self) -> tuple[SourceState, ...]:
        """Return the state of each source, the most preferred first."""
        return self.ingest.states

    def status_for(self, role: str) -> tuple[SourceState, ...]:
        """Return the same as a role may know it."""
        allowed = self.allowed(role, "subscribe")
        return tuple(state.among(allowed) for state in self.status())

    def not_ready(self) -> str | None:
        """Say why prices are not fresh; None while they are."""
        if self.draining:
            return "shutting down"
        if not self.ingest.live:
            reasons = ", ".join(f"{s.source} {s.reason}" for s in self.status())
            return f"no source is live: {reasons}"
        if not self.ingest.fresh():
            return "every price is stale"
        return None

    def statistics(self) -> EngineStatistics:
        """Return a frozen record of what is alive and what was done."""
        return EngineStatistics(
            sessions=len(self.sessions),
            streams_open=self.admission.taken,
            ticks=self._ticks,
            ticks_skipped=self._ticks_skipped,
            draining=self.draining,
            hub=self.hub.statistics(),
            ingest=self.ingest.statistics(),
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own everything that lives as long as the service; returns only when cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self.ingest.run)
            nursery.start_soon(self._broadcast)
            nursery.start_soon(self._watch)
            nursery.start_soon(self.authority.watch_revocations, self._end_revoked)
            task_status.started()
            await trio.sleep_forever()

    async def drain(self, seconds: float) -> None:
        """Stop in three steps, within so many seconds: refuse, tell everyone, wait.

        Whoever is still there when the time is over is left to the gateway to cut off.
        """
        self.draining = True
        log.info("draining", streams=len(self.sessions))
        for session in self.sessions:
            spread = random.randrange(limits.RECONNECT_SPREAD_MS)  # noqa: S311 - spreads load, hides nothing
            session.end(CloseCode.RESTART, retry_after_ms=spread)
        with trio.move_on_after(seconds):
            await self.sessions.wait_empty()

    async def next_tick(self) -> None:
        """Return when the next tick's turn has come, whether or not it was broadcast."""
        await self._ticked.park()

    async def _broadcast(self) -> None:
        """Tick on a schedule that does not drift; a tick whose turn has passed is skipped."""
        tick = self.settings.tick
        due = trio.current_time()
        published = 0
        while True:
            due += tick
            late = trio.current_time() - due
            if late >= tick:
                missed = int(late / tick)
                due += missed * tick
                self._ticks_skipped += missed
            await _sleep_until(due)
            # What a source brought last goes out even if it has stopped since.
            if self.ingest.live or self.book.changes != published:
                began = time.perf_counter()
                await self.hub.publish()
                self.fanout.note(time.perf_counter() - began)
                self._ticks += 1
                published = self.book.changes
            self._ticked.unpark_all()

    async def _watch(self) -> None:
        """Look after every session: silence, expiry. One task for all of them."""
        while True:
            await trio.sleep(limits.WATCH_SECONDS)
            self.ingest.refresh()
            now = trio.current_time()
            for number, session in enumerate(self.sessions):
                session.check(now)
                if number % limits.WATCH_SLICE == limits.WATCH_SLICE - 1:
                    await trio.lowlevel.checkpoint()

    def _end_revoked(self, ids: Collection[str]) -> None:
        """End the sessions of these tokens and keys; a stream may outlive its token's record."""
        for session in self.sessions:
            if session.grant.token_id in ids or session.grant.key_id in ids:
                session.end(CloseCode.UNAUTHENTICATED)

    def _tell_status(self) -> None:
        for session in self.sessions:
            session.tell_status()

    def _source_context(self, spec: str) -> SourceContext:
        name = spec.partition(":")[0]

        def report(kind: str, detail: str) -> None:
            self.ingest.count_fault(name, kind)
            self.metrics.log_source_fault(name, kind, detail)

        return SourceContext(
            symbols=self.settings.source_symbols,
            wall_ms=self.wall_ms,
            next_tick=self.next_tick,
            url=getattr(self.settings, f"{name}_url", None),
            report=report,
        )
