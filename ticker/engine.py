"""The engine: the nursery that owns the sources, the broadcast, and every connection's task.

Where several processes share one market, the sources and the broadcast belong to the role
(`cluster/role.py`), which runs them while this process feeds the others.

Read `Engine.run` for what lives as long as the service, and `Engine.drain` for how it stops. An
exception that reaches that nursery ends the process: serving prices that no longer move would be
worse. A connection's exceptions never do; they stop at its fault boundary
(`server/fault_boundary.py`).
"""

from __future__ import annotations

import attrs
import structlog
import trio

from ticker import limits
from ticker.cluster.role import Role
from ticker.connections import Connections
from ticker.market.hub import HubStatistics
from ticker.market.ingest import IngestStatistics
from ticker.market.market import Market
from ticker.pacing import Pacer
from ticker.protocol.close_codes import CloseCode
from ticker.security.authority import Authority
from ticker.sessions import Sessions
from ticker.storage.history_keeper import NOTHING_KEPT, HistoryKeeper, HistoryStatistics

log = structlog.get_logger()


@attrs.frozen
class EngineStatistics:
    """What is alive now and what was done so far, for tests and operators."""

    connections: int
    sessions: int
    ticks: int
    ticks_skipped: int
    draining: bool
    hub: HubStatistics
    ingest: IngestStatistics
    history: HistoryStatistics


class Engine:
    """The running market and every connection to it.

    Attributes:
        nursery: owns the sources and every connection's task, once `run` has begun.
        draining: whether the service is on its way down, and refuses new requests.
    """

    nursery: trio.Nursery

    def __init__(
        self,
        market: Market,
        authority: Authority,
        sessions: Sessions,
        connections: Connections,
        pacer: Pacer,
        role: Role | None = None,
        keeper: HistoryKeeper | None = None,
    ) -> None:
        self.draining = False
        self._market = market
        self._authority = authority
        self._sessions = sessions
        self._connections = connections
        self._pacer = pacer
        self._role = role
        self._keeper = keeper

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own all that lives as long as the service; ends when it is cancelled or drained."""
        async with trio.open_nursery() as self.nursery:
            if self._keeper is not None:
                await self._keeper.prepare()
            if self._role is None:
                for source in self._market.ingest.sources:
                    self.nursery.start_soon(self._market.ingest.supervise, source)
                self.nursery.start_soon(self._market.broadcast.run)
            else:
                self.nursery.start_soon(self._role.run)
                await self._role.wait_ready()
            self.nursery.start_soon(self._market.past.run)
            if self._keeper is not None:
                self.nursery.start_soon(self._keeper.run)
            self.nursery.start_soon(self._pacer.run)
            self.nursery.start_soon(self._refresh)
            self.nursery.start_soon(self._sessions.watch)
            self.nursery.start_soon(self._authority.run, self._sessions.end_revoked)
            # And every connection's task: `accept_all` starts them here, for `Router.serve`.
            task_status.started()

    async def drain(self, seconds: float) -> None:
        """Stop in three steps: refuse, tell everyone, give the nursery a deadline.

        Args:
            seconds: until what is still connected is cut off.
        """
        log.info("draining", streams=len(self._sessions))
        self.draining = True
        self.nursery.cancel_scope.deadline = trio.current_time() + seconds
        if self._role is not None:
            # Before anything else ends here, so that the siblings' subscribers miss nothing.
            await self._role.resign(min(limits.HANDOVER_SECONDS, seconds / 2))
        self._connections.begin_end()
        self._sessions.end_all(CloseCode.RESTART)
        await self._connections.wait_gone()
        self.nursery.cancel_scope.cancel()

    def not_ready(self) -> str | None:
        """Say why prices are not fresh; None while they are."""
        return "shutting down" if self.draining else self._market.not_ready()

    def stands_still(self) -> bool:
        """Whether the market has not ticked for longer than it ever should.

        The loop itself cannot say that it stands: then this answers late, or not at all.
        """
        bound = max(limits.STANDSTILL_SECONDS, 2 * self._market.interval.seconds)
        return trio.current_time() - self._market.turns.turned_at >= bound

    def statistics(self) -> EngineStatistics:
        """Return a frozen record of what is alive and what was done."""
        return EngineStatistics(
            connections=len(self._connections),
            sessions=len(self._sessions),
            ticks=self._market.turns.ticks,
            ticks_skipped=self._market.turns.skipped,
            draining=self.draining,
            hub=self._market.hub.statistics(),
            ingest=self._market.ingest.statistics(),
            history=NOTHING_KEPT if self._keeper is None else self._keeper.statistics(),
        )

    async def _refresh(self) -> None:
        """Look which symbols have gone stale, or come back."""
        while True:
            await trio.sleep(limits.WATCH_SECONDS)
            self._market.ingest.refresh()
