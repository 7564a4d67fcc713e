"""What the workers of one machine share, as one of them sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn, Self

import trio

from ticker import limits
from ticker.cluster.feeder_lock import FEEDER_LOCK
from ticker.cluster.market_lock import MARKET_LOCK
from ticker.cluster.shared_limiter import SharedLimiter
from ticker.cluster.shared_table import SharedTable
from ticker.rate_limit import Limiter, Rate

#: The table of shared limits, in the data directory.
LIMITS_FILE: Final = "limits.table"
#: All the files that the workers share, there.
SHARED_FILES: Final = (LIMITS_FILE, FEEDER_LOCK, MARKET_LOCK)


class Siblings:
    """The directory, the limits and the name of one worker, until the block is left.

    Attributes:
        data_dir: the directory that all workers share.
        table: where limits are counted for all of them.
        name: of this worker, in metrics and logs.
        several: whether it is known that there are others; without a number it may be alone, as
            under Hypercorn's command, which puts its one worker into a process of its own, too.
    """

    def __init__(self, data_dir: Path, number: int | None) -> None:
        """Take a place among the workers.

        Args:
            data_dir: the directory that all workers share.
            number: of this worker, from 1; None where it has none.

        Raises:
            OSError, TableFullError: the table cannot be used, or holds no more workers.
        """
        self.data_dir = data_dir
        self.table = SharedTable(data_dir / LIMITS_FILE)
        self.several = number is not None
        self.name = str(self.table.column + 1 if number is None else number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.table.close()

    def make_limiter(self, name: str, limit: Rate) -> Limiter:
        """Make a limiter that counts for all workers."""
        return SharedLimiter(self.table, name, limit)

    async def watch(self) -> NoReturn:
        """Give back what ended workers held, until cancelled."""
        while True:
            self.table.reclaim()
            await trio.sleep(limits.RECLAIM_SECONDS)
