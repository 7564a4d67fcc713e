"""What was revoked, by any process: read from the database's list, told, and remembered a while.

Theory of operation. Each revocation has a number, and numbers are read in order, more than twice
a second. What is read is told to the engine, which ends the streams, and taken out of the cache
of grants. It is also remembered for longer than a handshake takes: a grant that was read from
the database just before its revocation is refused just after (`covers`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection

import structlog
import trio

from ticker import limits
from ticker.security.grants import Grant, GrantCache
from ticker.security.token_store import TokenStore
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.threads import in_thread

_log = structlog.get_logger()

#: Called with the ids of tokens and keys that opened something and no longer do.
Ended = Callable[[Collection[str]], None]


class RecentlyEnded:
    """The ids of tokens and keys that were revoked a short while ago."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._since)

    def add(self, ids: Collection[str], now: float) -> None:
        """Remember ids from this moment, and forget those of long ago."""
        for name in ids:
            self._since[name] = now
            self._since.move_to_end(name)
        while self._since and next(iter(self._since.values())) <= now - self._seconds:
            self._since.popitem(last=False)

    def covers(self, grant: Grant) -> bool:
        """Whether the grant's token or key is among them."""
        return grant.token_id in self._since or grant.key_id in self._since


class Revocations:
    """Keeps a cache of grants true to the database's list of revocations.

    Args:
        store: reads the list.
        cache: loses what was revoked.

    Attributes:
        seen: the number of the last revocation that was read.
        database_available: whether the database could be used the last time.
    """

    def __init__(self, store: TokenStore, cache: GrantCache) -> None:
        self._store = store
        self._cache = cache
        self._threads = trio.CapacityLimiter(limits.DATABASE_WATCHES)
        self._recently = RecentlyEnded(limits.REVOCATION_REMEMBERED_SECONDS)
        self.seen = 0
        self.database_available = True

    def covers(self, grant: Grant) -> bool:
        """Whether a grant was revoked since it was read."""
        return self._recently.covers(grant)

    async def watch(self, ended: Ended) -> None:
        """Tell of every revocation; runs until cancelled.

        While the database is unavailable it keeps trying, and catches up afterwards.

        Args:
            ended: called with token ids, and the ids of revoked keys, for streams that
                outlived their token's record.
        """
        while True:
            try:
                more = await self._look(ended)
            except DatabaseUnavailableError as error:
                if self.database_available:
                    _log.error("database_unavailable", reason=error.reason, error=str(error))
                self.database_available = more = False
            else:
                if not self.database_available:
                    _log.info("database_available")
                self.database_available = True
            if not more:
                await trio.sleep(limits.REVOCATION_POLL_SECONDS)

    async def _look(self, ended: Ended) -> bool:
        """Look once; tell whether there may be more to read at once."""
        last, ids = await in_thread(self._threads, self._store.revoked_after, self.seen)
        if last < self.seen:
            # Another database took the place of the one we knew: believe nothing of it.
            _log.warning("database_replaced")
            self._cache.clear()
            self.seen = 0
            return last > 0
        self.seen = last
        if ids:
            self._recently.add(ids, trio.current_time())
            ended({*ids, *self._cache.discard(ids)})
        return bool(ids)
