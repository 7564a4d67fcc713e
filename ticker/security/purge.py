"""The removal of expired tokens, with the addresses in their records, from the database."""

from __future__ import annotations

from typing import Never

import structlog
import trio

from ticker import limits
from ticker.security.token_store import TokenStore
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.threads import in_thread

_log = structlog.get_logger()


async def purge_expired(store: TokenStore) -> Never:
    """Remove what has expired, now and then, in batches; runs until cancelled.

    After the last batch nothing of it is left in the database's files. That takes longer the
    larger they are, and is then done less often. While the database is unavailable it keeps
    trying.
    """
    threads = trio.CapacityLimiter(limits.DATABASE_PURGES)
    to_erase = False
    while True:
        pause = limits.TOKEN_PURGE_SECONDS
        try:
            removed = await in_thread(threads, store.purge)
            to_erase = to_erase or removed > 0
            if removed >= limits.TOKEN_PURGE_BATCH:
                continue
            if to_erase:
                began = trio.current_time()
                to_erase = not await in_thread(threads, store.erase_deleted)
                pause = max(pause, limits.ERASE_PAUSES * (trio.current_time() - began))
        except DatabaseUnavailableError as error:
            # What is wrong is told by the watch over revocations, which asks more often.
            _log.info("purge_postponed", reason=error.reason)
        await trio.sleep(pause)
