"""The register of live sessions, so that any of them can be told something, or ended.

Rules for this module: nothing here awaits but for turns of others; a session's fault stays with the
session, which sees to that itself.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from typing import NoReturn, Protocol

import trio

from ticker import limits
from ticker.protocol.close_codes import CloseCode
from ticker.security.authority import Grant


class LiveSession(Protocol):
    """What the register needs of a session."""

    @property
    def grant(self) -> Grant:
        """What the session's token allows."""

    def end(self, code: CloseCode, *, retry_after_ms: int = 0) -> None:
        """End it; never awaits."""

    def check(self, now: float) -> None:
        """Look after the peer: its silence, its token's end."""

    def tell_status(self) -> None:
        """Say what changed among the sources."""

    def tell_epoch(self) -> None:
        """Say that the market is in another epoch."""


class Sessions:
    """Every live session."""

    def __init__(self) -> None:
        self._live: dict[LiveSession, None] = {}

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

    def tell_status(self) -> None:
        """Tell every session that the state of a source has changed."""
        for session in self:
            session.tell_status()

    async def tell_epoch(self) -> None:
        """Tell every session that the market is in another epoch; lets others run in between."""
        for number, session in enumerate(self, 1):
            session.tell_epoch()
            if number % limits.WATCH_SLICE == 0:
                await trio.lowlevel.checkpoint()

    def end_all(self, code: CloseCode) -> None:
        """End every session; each is asked to come back after a time of its own."""
        for session in self:
            spread = random.randrange(limits.RECONNECT_SPREAD_MS)  # noqa: S311 - spreads load, hides nothing
            session.end(code, retry_after_ms=spread)

    def end_revoked(self, ids: Collection[str]) -> None:
        """End the sessions of these tokens and keys; a stream may outlive its token's record."""
        for session in self:
            if session.grant.token_id in ids or session.grant.key_id in ids:
                session.end(CloseCode.UNAUTHENTICATED)

    async def watch(self) -> NoReturn:
        """Look after every session, one task for all of them; runs until cancelled."""
        while True:
            await trio.sleep(limits.WATCH_SECONDS)
            now = trio.current_time()
            for number, session in enumerate(self):
                session.check(now)
                if number % limits.WATCH_SLICE == limits.WATCH_SLICE - 1:
                    await trio.lowlevel.checkpoint()
