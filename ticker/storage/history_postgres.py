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
    cast,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql

from ticker.storage.history_records import open_block, seal_block, seal_rows
from ticker.storage.history_store import Block, Changes, DamagedRecordError
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
_numbers: Final = cast(
    func.pg_get_serial_sequence(_journal.name, _journal.c.number.name), postgresql.REGCLASS
)
#: The number of a row is in its checksum, and so is drawn before it is written.
_next_number: Final = select(func.nextval(_numbers))
#: Also where the row of that number was forgotten, or is another market's.
_last_number: Final = select(func.coalesce(func.pg_sequence_last_value(_numbers), 0))


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

    def blocks(self, symbol: str) -> Sequence[Block | DamagedRecordError]:
        """Return the blocks of a symbol, by step and begin; for a damaged one what is wrong."""
        self._make()
        columns = _blocks.c.step, _blocks.c.begin, _blocks.c.number, _blocks.c.bars
        query = (
            select(*columns)
            .where(_blocks.c.market == self._market, _blocks.c.symbol == symbol)
            .order_by(_blocks.c.step, _blocks.c.begin)
        )
        with self._database.read() as transaction:
            return [open_block(symbol, *row) for row in transaction.connection.execute(query)]

    def filled(self, after: int) -> Sequence[Block | DamagedRecordError]:
        """Return the blocks of exchanges' own bars that were written after a row of the journal."""
        self._make()
        columns = _blocks.c.symbol, _blocks.c.step, _blocks.c.begin, _blocks.c.number
        query = (
            select(*columns, _blocks.c.bars)
            .where(
                _blocks.c.market == self._market,
                _blocks.c.step.like("%*"),
                _blocks.c.number > after,
            )
            .order_by(_blocks.c.symbol, _blocks.c.step, _blocks.c.begin)
        )
        with self._database.read() as transaction:
            return [open_block(*row) for row in transaction.connection.execute(query)]

    def journal(self, after: int = 0) -> Sequence[tuple[int, object]]:
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
                number = int(connection.execute(_next_number).scalar_one())
                bars = seal_rows(changes.journal, number)
                connection.execute(
                    insert(_journal).values(number=number, market=self._market, bars=bars)
                )
            else:
                number = int(connection.execute(_last_number).scalar_one())
            self._write_blocks(connection, changes, number)
            if changes.forget:
                connection.execute(
                    delete(_journal).where(
                        _journal.c.market == self._market, _journal.c.number < changes.forget
                    )
                )
        return number

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
                "bars": seal_block(each, number),
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
