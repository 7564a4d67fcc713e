"""Damage of any byte of what is kept costs what it fell on, stops nothing, and shows no price."""

from __future__ import annotations

import random
import shutil
import sqlite3
import zlib
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.support.kept_history import (
    MINUTE,
    NOW,
    SECOND,
    SYMBOLS,
    Kept,
    again,
    damaged,
    part_of,
)
from ticker.market.candles import Candles, ShownBar
from ticker.market.packed_bars import PackedBarsError, pack, unpack
from ticker.storage.history_records import (
    open_block,
    read_rows,
    seal_block,
    seal_rows,
    write_rows,
)
from ticker.storage.history_sqlite import HISTORY_FILE
from ticker.storage.history_store import Block, DamagedRecordError, JournalRow

FIVE: Final = Decimal(5)


@attrs.frozen
class Whole:
    """A file without damage, what it shows, and when it was written last."""

    file: bytes
    shown: list[list[ShownBar]]
    now: int


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Write a file of some pages, of which the last is in the journal alone."""
    path = tmp_path_factory.mktemp("whole", numbered=True)
    path.chmod(0o700)

    async def written() -> Whole:
        kept = Kept(path)
        await kept.keeper.load()
        for second in range(700):
            kept.now = NOW + second * 1000
            for number, symbol in enumerate(SYMBOLS):
                kept.price(f"{1000 * number + second + 1}.25", symbol)
            if second in {100, 650}:
                kept.keeper._pending.all_due()
            if second % 100 == 50 or second > 690:
                await kept.keeper._keep()
        kept.book.candles("BTC-USD").fill(
            MINUTE, [(NOW - n * MINUTE.ms, FIVE, FIVE, FIVE, FIVE, FIVE) for n in range(9, 0, -1)]
        )
        for _ in range(2):
            await kept.keeper._keep()
        kept.store.close()
        return Whole((path / HISTORY_FILE).read_bytes(), kept.everything(), kept.now)

    # No time passes: which blocks are written when does not depend on how long that takes.
    return trio.run(written, clock=MockClock())


def put(path: Path, content: bytes) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    file = path / HISTORY_FILE
    file.write_bytes(content)
    file.chmod(0o600)
    return file


async def check(path: Path, was: Whole, told: object) -> Kept:
    """Load a damaged file, and write on: nothing is made up, and all is kept again.

    Args:
        path: its directory.
        was: the file before the damage.
        told: the damage, where the check fails.

    Returns:
        What was loaded, as it is after that.
    """
    kept = Kept(path, now=was.now)
    await kept.keeper._loader.read_prices()
    await kept.keeper.load()
    lasts = {Decimal(bar.prices[3]) for bars in was.shown for bar in bars}
    assert set(kept.book.kept_prices.values()) <= lasts, told
    for bars, known in zip(kept.everything(), was.shown, strict=True):
        assert {bar.begin for bar in bars} <= {bar.begin for bar in known}, told
        assert part_of(bars, set(known)), told
    for second in (1, 2):
        kept.now = was.now + second * 1000
        kept.price("9")
        await kept.keeper._keep()
    assert kept.keeper.statistics().kept, (told, kept.keeper.statistics().failed)
    other = await again(kept, path)
    assert other.everything() == kept.everything(), told
    other.store.close()
    return kept


#: Where the header has the version: a greater one is a newer Ticker's, whose file is left alone.
VERSION = range(60, 64)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("run", [1, 6])
async def test_any_damage_is_told_and_makes_no_price_up(
    tmp_path: Path, whole: Whole, seed: int, run: int
) -> None:
    dice = random.Random(f"{seed} {run}")
    for number in range(25):
        bad = bytearray(whole.file)
        place = dice.randrange(len(bad) - run)
        while not any(bad[place : place + run]) or {place, place + run - 1} & set(VERSION):
            place = dice.randrange(len(bad) - run)
        bad[place : place + run] = (
            bytes([bad[place] ^ 1 << dice.randrange(8)]) if run == 1 else dice.randbytes(run)
        )
        path = tmp_path / str(number)
        put(path, bytes(bad))
        await check(path, whole, (place, bad[place : place + run].hex()))
        shutil.rmtree(path)


async def test_any_damage_of_the_header_is_told(tmp_path: Path, whole: Whole) -> None:
    for place in {*range(110)} - {*VERSION}:
        bad = bytearray(whole.file)
        bad[place] ^= 0x05
        path = tmp_path / str(place)
        put(path, bytes(bad))
        await check(path, whole, place)
        shutil.rmtree(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE OR REPLACE blocks SET step = '1m' WHERE step = '1s'",
        "UPDATE OR REPLACE blocks SET step = '1h' WHERE step = '1s'",
        "UPDATE OR REPLACE blocks SET step = '1m' WHERE step = '1m*'",
        "UPDATE OR REPLACE blocks SET step = '2m'",
        "UPDATE OR REPLACE blocks SET symbol = 'BTC-USD' WHERE symbol = 'ETH-USD'",
        "UPDATE OR REPLACE blocks SET begin = begin + 300000 WHERE step = '1s'",
        "UPDATE blocks SET begin = begin + 1",
        "UPDATE blocks SET number = number + 1",
        "UPDATE blocks SET number = 0",
        "UPDATE journal SET number = number + 1000",
        "UPDATE blocks SET step = CAST(x'31ff' AS TEXT) WHERE step = '1s'",
        "UPDATE blocks SET symbol = CAST(x'4254ff' AS TEXT) WHERE symbol = 'BTC-USD'",
        "UPDATE blocks SET symbol = x'00ff' WHERE symbol = 'BTC-USD'",
        "UPDATE blocks SET begin = 'then' WHERE step = '1m'",
        "UPDATE blocks SET begin = 9223372036854775807 WHERE step = '1h'",
        "UPDATE blocks SET begin = -begin",
        "UPDATE blocks SET number = 1.5",
        "UPDATE blocks SET number = 'x'",
        "UPDATE blocks SET bars = 'text'",
        "UPDATE blocks SET bars = 5",
        "UPDATE blocks SET bars = NULL",
        "UPDATE blocks SET bars = x''",
        "UPDATE blocks SET bars = x'c1'",
        "UPDATE blocks SET number = NULL WHERE symbol = 'BTC-USD' AND step = '1h'",
        "UPDATE journal SET bars = 'text'",
        "UPDATE journal SET bars = 1.5",
        "UPDATE journal SET bars = NULL",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "UPDATE sqlite_sequence SET seq = 'x'",
    ],
)
async def test_a_value_that_was_not_written_is_damage(
    tmp_path: Path, whole: Whole, statement: str
) -> None:
    path = put(tmp_path, whole.file)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, ' BLOB NOT NULL', ' BLOB')")
        database.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'number INTEGER NOT NULL', 'number')"
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute(statement).rowcount
    kept = await check(tmp_path, whole, statement)
    assert kept.keeper.statistics().failed.get("corrupted") == 1
    assert damaged(tmp_path)


async def test_a_damaged_part_costs_only_that_part(tmp_path: Path, whole: Whole) -> None:
    path = put(tmp_path, whole.file)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE blocks SET bars = 'x' WHERE symbol = 'BTC-USD' AND step = '1s'")
    kept = Kept(tmp_path, now=whole.now)
    await kept.keeper.load()
    assert [bars == was for bars, was in zip(kept.everything(), whole.shown, strict=True)] == [
        False,
        *[True] * 5,
    ]


@pytest.mark.parametrize("version", [2, 3])
async def test_a_missing_table_costs_what_was_in_it(
    tmp_path: Path, whole: Whole, version: int
) -> None:
    left: list[int] = []
    for table in ("blocks", "journal"):
        path = put(tmp_path / table, whole.file)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(f"DROP TABLE {table}")
            database.execute(f"PRAGMA user_version = {version}")
        kept = await check(tmp_path / table, whole, table)
        assert kept.keeper.statistics().failed == {"corrupted": 1}
        assert len(damaged(tmp_path / table)) == 1
        left.append(len(kept.bars(SECOND)))
    assert left[0] > 0
    assert left[1] > 600
    assert sum(bar.theirs for bar in kept.bars(MINUTE)) == 9


def version_before(record: bytes, version: int) -> bytes:
    """Return a block or a row as it was written to a file of an earlier version."""
    body = record[5:]
    return body if version == 1 else b"\xc1" + zlib.crc32(body).to_bytes(4, "big") + body


def make_older(path: Path, version: int, *statements: str) -> None:
    """Turn a file into one of an earlier version, and then change it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.create_function("before", 1, lambda record: version_before(record, version))
        for statement in (
            "UPDATE blocks SET bars = before(bars)",
            "UPDATE journal SET bars = before(bars)",
            f"PRAGMA user_version = {version}",
            "PRAGMA application_id = 0",
            *statements,
        ):
            old.execute(statement)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_file_of_a_version_before_is_read_and_written_on(
    tmp_path: Path, whole: Whole, version: int
) -> None:
    path = put(tmp_path, whole.file)
    make_older(path, version)
    kept = Kept(tmp_path, now=whole.now)
    await kept.keeper.load()
    assert kept.everything() == whole.shown
    kept.now += 1000
    kept.price("7")
    await kept.keeper._keep()
    assert kept.keeper.statistics().failed == {}
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()
    other.store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
    assert not damaged(tmp_path)


@pytest.mark.parametrize("version", [1, 2])
async def test_damage_of_a_file_of_a_version_before_shows_no_bars_of_another_time(
    tmp_path: Path, whole: Whole, version: int
) -> None:
    path = put(tmp_path, whole.file)
    make_older(path, version, "UPDATE OR REPLACE blocks SET step = '1m' WHERE step = '1s'")
    await check(tmp_path, whole, version)
    assert damaged(tmp_path)


NONE: Final = Decimal("NaN")


@pytest.mark.parametrize(
    "prices",
    [
        (NONE, NONE, NONE, NONE, None),
        (FIVE, FIVE, FIVE, Decimal("1e999999"), None),
        (FIVE, FIVE, FIVE, Decimal("1e-999999"), None),
        (FIVE, Decimal(4), FIVE, FIVE, None),
        (FIVE, FIVE, -FIVE, FIVE, None),
        (FIVE, FIVE, FIVE, FIVE, Decimal("Infinity")),
        (FIVE, FIVE, FIVE, FIVE, Decimal(-1)),
    ],
    ids=str,
)
def test_a_row_without_a_checksum_holds_what_can_be_a_bar(
    prices: tuple[Decimal, Decimal, Decimal, Decimal, Decimal | None],
) -> None:
    with pytest.raises(DamagedRecordError):
        read_rows(1, write_rows([JournalRow("A-B", "1s", 1000, *prices)]))


@pytest.mark.parametrize(("step", "begin"), [("2s", 1000), ("1s", -1000), ("1s", 1), ("1s", 2**60)])
def test_a_row_is_of_a_step_and_a_time_that_there_is(step: str, begin: int) -> None:
    row = JournalRow("A-B", step, begin, FIVE, FIVE, FIVE, FIVE, None)
    with pytest.raises(DamagedRecordError):
        read_rows(1, seal_rows(write_rows([row]), 1))


def test_a_checksum_is_of_the_key_the_number_and_the_bars() -> None:
    block = Block("BTC-USD", "1m", 0, b"\x95bars")
    sealed = seal_block(block, 7)
    assert open_block("BTC-USD", b"1m", 0, 7, sealed) == Block("BTC-USD", "1m", 0, b"\x95bars", 7)
    for key in (("BTC-EUR", "1m", 0, 7), ("BTC-USD", "1h", 0, 7), ("BTC-USD", "1m", 21_600_000, 7)):
        assert isinstance(open_block(*key, sealed), DamagedRecordError)
    assert isinstance(open_block("BTC-USD", "1m", 0, 8, sealed), DamagedRecordError)
    for place in range(len(sealed)):
        bad = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        assert isinstance(open_block("BTC-USD", "1m", 0, 7, bad), DamagedRecordError)
    with pytest.raises(DamagedRecordError):
        read_rows(2, seal_rows(write_rows([]), 1))


def test_bars_of_another_time_than_their_block_are_not_read() -> None:
    candles = Candles()
    candles.add(NOW, FIVE)
    block = pack(candles, "1m", NOW)
    with pytest.raises(PackedBarsError):
        unpack(Candles(), "1m", NOW - 360 * MINUTE.ms, block)
    with pytest.raises(PackedBarsError):
        unpack(Candles(), "1h", NOW, block)
