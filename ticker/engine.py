"""The engine: the nursery that owns the sources, the broadcast, and every connection's task.

Read `Engine.run` for what lives as long as the service. An exception that reaches it ends the
process: serving prices that no longer move would be worse. A connection's exceptions never
do; they stop at its fault boundary (`server/fault_boundary.py`).
"""

from __future__ import annotations

import attrs
import structlog
import trio

from ticker import limits
from ticker.market.hub import HubStatistics
from ticker.market.ingest import IngestStatistics
from ticker.market.market import Market
from ticker.protocol.close_codes import CloseCode
from ticker.security.authority import Authority
from ticker.sessions import Sessions

log = structlog.get_logger()


@attrs.frozen
class EngineStatistics:
    """What is alive now and what was done so far, for tests and operators."""

    sessions: int
    ticks: int
    ticks_skipped: int
    draining: bool
    hub: HubStatistics
    ingest: IngestStatistics


class Engine:
    """The running market and everybody connected to it.

    Attributes:
        draining: whether the service is on its way down, and takes nobody in.
    """

    def __init__(self, market: Market, authority: Authority, sessions: Sessions) -> None:
        self.draining = False
        self._market = market
        self._authority = authority
        self._sessions = sessions

    def not_ready(self) -> str | None:
        """Say why prices are not fresh; None while they are."""
        return "shutting down" if self.draining else self._market.not_ready()

    def stands_still(self) -> bool:
        """Whether the market has not ticked for longer than it ever should.

        The loop itself cannot say that it stands: then this answers late, or not at all.
        """
        bound = max(limits.STANDSTILL_SECONDS, 2 * self._market.interval.seconds)
        return trio.current_time() - self._market.broadcast.turned_at >= bound

    def statistics(self) -> EngineStatistics:
        """Return a frozen record of what is alive and what was done."""
        return EngineStatistics(
            sessions=len(self._sessions),
            ticks=self._market.broadcast.ticks,
            ticks_skipped=self._market.broadcast.ticks_skipped,
            draining=self.draining,
            hub=self._market.hub.statistics(),
            ingest=self._market.ingest.statistics(),
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own everything that lives as long as the service; returns only when cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._market.ingest.run)
            nursery.start_soon(self._market.broadcast.run)
            nursery.start_soon(self._refresh)
            nursery.start_soon(self._sessions.watch)
            nursery.start_soon(self._authority.run, self._sessions.end_revoked)
            task_status.started()
            await trio.sleep_forever()

    async def drain(self, seconds: float) -> None:
        """Stop in three steps, within so many seconds: refuse, tell everyone, wait."""
        self.draining = True
        log.info("draining", streams=len(self._sessions))
        self._sessions.end_all(CloseCode.RESTART)
        with trio.move_on_after(seconds):
            await self._sessions.wait_empty()

    async def _refresh(self) -> None:
        """Look which symbols have gone stale, or come back."""
        while True:
            await trio.sleep(limits.WATCH_SECONDS)
            self._market.ingest.refresh()
