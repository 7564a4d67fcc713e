"""The past in PostgreSQL, beside keys and tokens, for several machines of one market.

Rules for this module: synchronous, for a worker thread. It has connections of its own, and makes
its two tables where there are none. Only the feeder writes, so that numbers of the journal become
visible in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql

from ticker.storage.history_store import Block, Changes
from ticker.storage.postgres import PostgresDatabase

__all__ = ["PostgresHistory"]

_metadata: Final = MetaData()
_blocks: Final = Table(
    "history_blocks",
    _metadata,
    Column("market", String(64), primary_key=True),
    Column("symbol", String(64), primary_key=True),
    Column("step", String(8), primary_key=True),
    Column("begin", BigInteger, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("bars", LargeBinary, nullable=False),
)
_journal: Final = Table(
    "history_journal",
    _metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=True),
    Column("market", String(64), nullable=False),
    Column("bars", LargeBinary, nullable=False),
)


class PostgresHistory:
    """The past of one market in a database.

    Args:
        database: of PostgreSQL; closed with this.
        market: the market's name.
    """

    def __init__(self, database: PostgresDatabase, market: str) -> None:
        self._database = database
        self._market = market
        self._made = False

    @property
    def place(self) -> str:
        """The database, without credentials."""
        return self._database.place

    def symbols(self) -> Sequence[str]:
        """Return the symbols that there are blocks of."""
        self._make()
        found = select(_blocks.c.symbol).where(_blocks.c.market == self._market).distinct()
        with self._database.read() as transaction:
            return sorted(transaction.connection.execute(found).scalars())

    def blocks(self, symbol: str) -> Sequence[Block]:
        """Return the blocks of a symbol, by step and begin."""
        self._make()
        columns = _blocks.c.step, _blocks.c.begin, _blocks.c.bars, _blocks.c.number
        query = (
            select(*columns)
            .where(_blocks.c.market == self._market, _blocks.c.symbol == symbol)
            .order_by(_blocks.c.step, _blocks.c.begin)
        )
        with self._database.read() as transaction:
            return [Block(symbol, *row) for row in transaction.connection.execute(query)]

    def filled(self, after: int) -> Sequence[Block]:
        """Return the blocks of exchanges' own bars that were written after a row of the journal."""
        self._make()
        columns = _blocks.c.symbol, _blocks.c.step, _blocks.c.begin, _blocks.c.bars
        query = (
            select(*columns, _blocks.c.number)
            .where(
                _blocks.c.market == self._market,
                _blocks.c.step.like("%*"),
                _blocks.c.number > after,
            )
            .order_by(_blocks.c.symbol, _blocks.c.step, _blocks.c.begin)
        )
        with self._database.read() as transaction:
            return [Block(*row) for row in transaction.connection.execute(query)]

    def journal(self, after: int = 0) -> Sequence[tuple[int, bytes]]:
        """Return the journal's rows above a number, with their numbers, which only grow."""
        self._make()
        query = (
            select(_journal.c.number, _journal.c.bars)
            .where(_journal.c.market == self._market, _journal.c.number > after)
            .order_by(_journal.c.number)
        )
        with self._database.read() as transaction:
            return [(number, bytes(bars)) for number, bars in transaction.connection.execute(query)]

    def write(self, changes: Changes) -> int:
        """Write all of it or nothing; return the number of the journal's last row."""
        self._make()
        with self._database.write(together=True) as transaction:
            connection = transaction.connection
            if changes.journal:
                row = insert(_journal).values(market=self._market, bars=changes.journal)
                number = connection.execute(row.returning(_journal.c.number)).scalar_one()
            else:
                last = select(func.max(_journal.c.number)).where(_journal.c.market == self._market)
                number = connection.execute(last).scalar() or 0
            self._write_blocks(connection, changes, number)
            if changes.forget:
                connection.execute(
                    delete(_journal).where(
                        _journal.c.market == self._market, _journal.c.number < changes.forget
                    )
                )
        return int(number)

    def _write_blocks(self, connection: Connection, changes: Changes, number: int) -> None:
        put = postgresql.insert(_blocks)
        put = put.on_conflict_do_update(
            index_elements=list(_blocks.primary_key.columns),
            set_={"bars": put.excluded.bars, "number": put.excluded.number},
        )
        rows = [
            {
                "market": self._market,
                "symbol": each.symbol,
                "step": each.step,
                "begin": each.begin,
                "number": number,
                "bars": each.bars,
            }
            for each in changes.blocks
        ]
        if rows:
            connection.execute(put, rows)
        for symbol, step, begin in changes.expired:
            connection.execute(
                delete(_blocks).where(
                    _blocks.c.market == self._market,
                    _blocks.c.symbol == symbol,
                    _blocks.c.step == step,
                    _blocks.c.begin < begin,
                )
            )

    def tidy(self) -> None:
        """Do nothing: the database does it by itself."""

    def set_aside(self) -> str | None:
        """Put nothing aside: what is damaged there is for the operator."""
        return None

    def close(self) -> None:
        """Close its connections."""
        self._database.close()

    def _make(self) -> None:
        """Make the tables where there are none."""
        if not self._made:
            with self._database.write() as transaction:
                _metadata.create_all(transaction.connection)
            self._made = True
