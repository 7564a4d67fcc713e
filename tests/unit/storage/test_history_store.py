"""What is kept of the past comes back as it was, whatever happened to the store meanwhile."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.support.kept_history import (
    HOUR,
    MINUTE,
    NOW,
    OPENED,
    SYMBOLS,
    Kept,
    again,
    damaged,
    part_of,
)
from tests.support.postgres_server import PostgresServer
from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import STEPS
from ticker.market.packed_bars import PackedBarsError, pack, unpack
from ticker.market.quote import Quote
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_postgres import PostgresHistory
from ticker.storage.history_records import read_rows, seal_rows, write_rows
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory
from ticker.storage.history_store import (
    Block,
    Changes,
    DamagedRecordError,
    HistoryStore,
    JournalRow,
)
from ticker.storage.postgres import PostgresDatabase


def names_in(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


Blocks = Sequence[Block | DamagedRecordError]


def held_after_one(store: HistoryStore) -> Callable[[str], Blocks]:
    """Return how the blocks of one symbol are read, and those of no other."""
    read, asked = store.blocks, list[str]()

    def blocks(symbol: str) -> Blocks:
        asked.append(symbol)
        if len(asked) > 1:
            raise DatabaseUnavailableError("busy", "held")
        return read(symbol)

    return blocks


async def test_what_was_written_comes_back_with_every_digit_and_the_days_figures(
    tmp_path: Path,
) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for second in range(200):
        kept.now = NOW + second * 1000
        kept.price(f"{42000 + second}.10")
        kept.price(f"0.0000{second:04}1", "ETH-USD")
        if second % 7 == 0:
            await kept.keeper._keep()
    await kept.keeper._keep()
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()
    assert len(other.bars()) == 200
    day = other.book.days[0]
    assert day is not None
    assert (day.open_24h, day.high_24h) == (Decimal("42000.10"), Decimal("42199.10"))
    assert day.since == NOW


async def test_a_second_that_was_cut_in_two_by_a_restart_is_folded(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for price in ("5", "9", "7"):
        kept.price(price)
    await kept.keeper._keep()
    other = await again(kept, tmp_path)
    for price in ("2", "6"):
        other.price(price)
    assert [bar.prices for bar in other.bars()] == [("5", "9", "2", "6")]
    await other.keeper._keep()
    third = await again(other, tmp_path)
    assert third.everything() == other.everything()


@pytest.mark.parametrize("ends", ["before it has read", "as it reads", "after it has read"])
async def test_what_comes_in_before_the_past_is_read_is_counted_once(
    tmp_path: Path, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_LOAD_SLICE_SECONDS", 0.0)
    one, first = Decimal(1), Kept(tmp_path)
    first.price("10", traded=one)
    await first.keeper._keep()
    first.store.close()
    for life in range(2):  # two that are killed, in one second of the market
        kept = Kept(tmp_path)
        kept.price(str(20 + life), traded=one)
        kept.price(str(20 + life), "ETH-USD", traded=one)
        await kept.keeper._keep()
        if ends == "as it reads":
            monkeypatch.setattr(kept.store, "blocks", held_after_one(kept.store))
            await kept.keeper.load()
            assert not kept.keeper._loaded
        elif ends == "after it has read":
            await kept.keeper.load()
        kept.price("5", traded=one)
        await kept.keeper._keep()
        kept.store.close()
    other = await again(kept, tmp_path)
    for step in STEPS.values():
        [bar] = other.bars(step)
        assert (bar.prices, bar.volume) == (("10", "21", "5", "5"), "5")
        [bar] = other.bars(step, "ETH-USD")
        assert (bar.prices, bar.volume) == (("20", "21", "20", "21"), "2")


async def test_a_whole_round_of_turns_writes_all_blocks_and_lets_the_journal_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_TURNS", 5)
    kept = Kept(tmp_path, tuple(f"A{n}-USD" for n in range(12)))
    await kept.keeper.load()
    for second in range(60):
        kept.now = NOW + second * 1000
        for symbol in kept.book.symbols:
            kept.price(str(second + 1), symbol)
        await kept.keeper._keep()
    assert 5 <= len(kept.store.journal()) <= 11
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()


async def test_what_is_too_old_is_let_go_of_also_of_symbols_that_are_no_longer_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_TURNS", 1)
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for symbol in SYMBOLS:
        kept.price("1", symbol)
    for _ in range(3):
        await kept.keeper._keep()
    kept.store.close()
    for days, steps in ((0.5, {"1m", "1h"}), (8, {"1h"}), (400, set())):
        other = Kept(tmp_path, ("ETH-USD",), now=NOW + int(days * 24 * HOUR.ms))
        await other.keeper.load()
        await other.keeper._keep()
        for symbol in SYMBOLS:
            found = {block.step for block in other.store.blocks(symbol) if isinstance(block, Block)}
            assert found == steps, (symbol, days)
        other.store.close()


def remove(path: Path) -> None:
    for file in path.glob(f"{HISTORY_FILE}*"):
        file.unlink()


async def test_made_up_prices_are_no_past_of_a_real_market(tmp_path: Path) -> None:
    book = Book(SYMBOLS)
    store = SqliteHistory(tmp_path / HISTORY_FILE)
    OPENED.append(store)
    keeper = HistoryKeeper(
        book, store, wall_ms=lambda: NOW, feeds=lambda: True, invented="simulated"
    )
    await keeper.load()
    book.apply([Quote("BTC-USD", Decimal(5), NOW, NOW, "simulated")])
    for _ in range(3):
        await keeper._keep()
    store.close()
    kept = Kept(tmp_path)
    await kept.keeper.load()
    assert kept.bars() == []
    kept.price("7")
    for _ in range(3):
        await kept.keeper._keep()
    other = HistoryKeeper(
        book := Book(SYMBOLS),
        kept.store,
        wall_ms=lambda: NOW,
        feeds=lambda: True,
        invented="simulated",
    )
    await other.load()
    [bar] = book.candles("BTC-USD").series("1s").between(NOW, NOW + 1000)
    assert book.candles("BTC-USD").price(bar[4]) == Decimal(5)
    kept.store.close()


def full(*_: object) -> int:
    raise DatabaseUnavailableError("full", "history: the disk is full")


async def test_a_store_that_cannot_be_written_stops_the_keeping_alone_and_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    kept.price("1")
    await kept.keeper._keep()
    with monkeypatch.context() as patch:
        patch.setattr(kept.store, "write", full)
        for second in range(1, 20):
            kept.now = NOW + second * 1000
            kept.price(str(second))
            await kept.keeper._keep()
    assert kept.keeper.statistics().failed == {"full": 19}
    assert not kept.keeper.statistics().kept
    for second in range(20, 25):
        kept.now = NOW + second * 1000
        kept.price(str(second))
        await kept.keeper._keep()
    assert kept.keeper.statistics().kept
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()


async def test_the_first_row_after_a_failure_holds_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbols = tuple(f"A{n}-USD" for n in range(100))
    kept = Kept(tmp_path, symbols)
    await kept.keeper.load()
    await kept.keeper._keep()
    with monkeypatch.context() as patch:
        patch.setattr(kept.store, "write", full)
        for second in range(10):
            kept.now = NOW + second * 1000
            for symbol in symbols:
                kept.price(str(second + 1), symbol)
            await kept.keeper._keep()
    await kept.keeper._keep()
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()


async def test_the_log_is_moved_into_the_file_beside_a_writer(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    log_file = tmp_path / f"{HISTORY_FILE}-wal"
    sizes = set()
    for second in range(3000):
        kept.now = NOW + second * 1000
        kept.price(str(second + 1))
        await kept.keeper._keep()
        sizes.add(log_file.stat().st_size)
        if second % 300 == 0:
            with closing(sqlite3.connect(tmp_path / HISTORY_FILE, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # it waits for no writer
                await trio.to_thread.run_sync(kept.store.tidy)
    assert max(sizes) <= 2 * limits.HISTORY_LOG_BYTES
    assert kept.keeper.statistics().kept
    kept.store.close()


async def test_a_locked_file_is_waited_for_in_vain_and_used_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_BUSY_SECONDS", 0.05)
    kept = Kept(tmp_path)
    await kept.keeper.load()
    kept.price("1")
    await kept.keeper._keep()
    with closing(sqlite3.connect(tmp_path / HISTORY_FILE, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        kept.price("2")
        await kept.keeper._keep()
        assert kept.keeper.statistics().failed == {"busy": 1}
    await kept.keeper._keep()
    assert kept.keeper.statistics().kept
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()


@pytest.mark.parametrize("where", ["at start", "while it runs"])
async def test_a_damaged_file_is_put_aside_and_begun_anew_from_memory(
    tmp_path: Path, where: str
) -> None:
    kept = Kept(tmp_path)
    path = tmp_path / HISTORY_FILE
    if where == "at start":
        path.write_bytes(b"no database" * 1000)
    await kept.keeper.load()
    for second in range(5):
        kept.now = NOW + second * 1000
        kept.price(str(second + 1))
        await kept.keeper._keep()
    if where != "at start":
        kept.store.close()
        path.write_bytes(b"no database" * 1000)
        for _ in range(3):
            await kept.keeper._keep()
    assert kept.keeper.statistics().kept
    [aside] = damaged(tmp_path)
    assert aside.read_bytes().startswith(b"no database")
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()
    assert len(other.bars()) == 5


async def test_what_could_not_be_read_for_hours_comes_before_what_came_in_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, first = Kept(tmp_path / "whole"), Kept(tmp_path)
    await first.keeper.load()
    late = Kept(tmp_path)
    for at in range(0, 7 * 3_600, 20):
        life = first if at < 3_600 + 1_205 else late
        for kept in (whole, life):
            kept.now = NOW + at * 1000
            kept.price(f"{1000 + at * 7919 % 997}.5")
    await first.keeper._keep()
    first.store.close()
    with monkeypatch.context() as patch:
        patch.setattr(late.store, "symbols", full)
        await late.keeper.load()
    five = Decimal(5)
    theirs = (NOW - 5 * MINUTE.ms, five, five, five, five, five)
    for kept in (whole, late):
        kept.book.candles("BTC-USD").fill(MINUTE, [theirs])
    await late.keeper.load()
    assert late.everything() == whole.everything()
    for _ in range(3):
        await late.keeper._keep()
    assert (await again(late, tmp_path)).everything() == whole.everything()


@pytest.mark.parametrize("damage", ["page", "bit"])
async def test_damage_anywhere_makes_no_bar_up_and_spares_the_others(
    tmp_path: Path, damage: str, mock_clock: trio.testing.MockClock
) -> None:
    # Which blocks are written when depends on how long writings take: here no time at all, so
    # that the file is the same each time. (A bit of a key may hide a block, which nothing tells.)
    assert mock_clock.rate == 0
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for second in range(700):
        kept.now = NOW + second * 1000
        for number, symbol in enumerate(SYMBOLS):
            kept.price(f"{1000 * number + second + 1}.25", symbol)
        if second % 100 == 99:
            kept.keeper._pending.all_due()
            await kept.keeper._keep()
    kept.store.close()
    path = tmp_path / HISTORY_FILE
    good, known = path.read_bytes(), [set(each) for each in kept.everything()]
    found_all = 0
    for page in range(len(good) // 4096):
        bad = bytearray(good)
        if damage == "page":
            bad[page * 4096 : (page + 1) * 4096] = random.Random(page).randbytes(4096)
        else:
            bad[page * 4096 + 97 * page % 4096] ^= 0x10
        place = tmp_path / f"{page}"
        place.mkdir(mode=0o700)
        (place / HISTORY_FILE).write_bytes(bad)
        other = Kept(place, now=kept.now)
        await other.keeper.load()
        shown = other.everything()
        assert all(part_of(bars, was) for bars, was in zip(shown, known, strict=True)), page
        whole = [set(bars) == was for bars, was in zip(shown, known, strict=True)]
        assert all(whole) or damaged(place), page
        found_all += any(whole)
        for _ in range(2):  # the first may be what comes upon the damage
            await other.keeper._keep()
        assert other.keeper.statistics().kept
        other.store.close()
    assert found_all > len(good) // 4096 // 2


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE visits (url TEXT); INSERT INTO visits VALUES ('x')",
        "CREATE TABLE blocks (height INTEGER, hash TEXT); CREATE TABLE journal (entry TEXT)",
        "CREATE TABLE blocks (height INTEGER)",
        "CREATE TABLE visits (url TEXT); PRAGMA user_version = 2",
        "PRAGMA user_version = 69",
        "PRAGMA application_id = 7",
        "CREATE VIEW seen AS SELECT 1",
    ],
)
async def test_a_database_of_another_program_is_left_as_it_is(
    tmp_path: Path, statements: str
) -> None:
    path = tmp_path / HISTORY_FILE
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statements)
    path.chmod(0o600)
    before = path.read_bytes()
    kept = Kept(tmp_path)
    kept.price("1")
    await kept.keeper.load()
    await kept.keeper._keep()
    assert kept.keeper.statistics().failed == {"foreign": 2}
    kept.store.close()
    assert path.read_bytes() == before
    assert names_in(tmp_path) == [HISTORY_FILE]
    path.rename(tmp_path / "elsewhere")  # as its one line in the log asks for
    await kept.keeper.load()
    await kept.keeper._keep()
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()


async def test_a_file_that_was_killed_as_it_was_made_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / HISTORY_FILE
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE blocks (symbol TEXT, step TEXT, begin INTEGER, number INTEGER, "
            "bars BLOB, PRIMARY KEY (symbol, step, begin)) WITHOUT ROWID"
        )
    path.chmod(0o600)
    kept = Kept(tmp_path)
    await kept.keeper.load()
    kept.price("1")
    await kept.keeper._keep()
    other = await again(kept, tmp_path)
    assert len(other.bars()) == 1


async def test_blocks_of_a_version_before_without_checksums_are_read(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    kept.price("5.5")
    kept.keeper._pending.all_due()
    await kept.keeper._keep()
    kept.store.close()
    with closing(sqlite3.connect(tmp_path / HISTORY_FILE)) as old:
        old.execute("UPDATE blocks SET bars = substr(bars, 6)")
        old.execute("UPDATE journal SET bars = substr(bars, 6)")
        old.execute("PRAGMA user_version = 1")
        old.commit()
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()
    assert other.keeper.statistics().kept


async def test_a_block_that_makes_no_sense_is_a_damaged_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.store.write(Changes(blocks=[Block("BTC-USD", "1m", 0, b"\x91\x01")]))
    await kept.keeper.load()
    assert damaged(tmp_path)
    assert kept.keeper.statistics().failed == {"corrupted": 1}


async def test_a_market_that_stands_still_writes_nothing_and_is_kept_all_the_same(
    tmp_path: Path,
) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    kept.price("5.5")
    await kept.keeper._keep()
    kept.now = NOW + 3_600_000
    kept.price("6.5")
    for _ in range(4):
        await kept.keeper._keep()
    assert len(kept.store.journal()) == 2
    remove(tmp_path)
    for _ in range(3):  # the first finds another file
        await kept.keeper._keep()
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()


async def test_a_file_that_went_away_is_written_anew_from_memory(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    await kept.keeper.load()
    for second in range(5):
        kept.now = NOW + second * 1000
        kept.price(str(second + 1))
        await kept.keeper._keep()
    remove(tmp_path)
    for _ in range(3):
        await kept.keeper._keep()
    other = await again(kept, tmp_path)
    assert other.everything() == kept.everything()


async def test_a_follower_writes_nothing_and_catches_up_with_what_it_did_not_hear(
    tmp_path: Path,
) -> None:
    feeder = Kept(tmp_path)
    await feeder.keeper.load()
    feeder.price("1")
    await feeder.keeper._keep()
    follower = Kept(tmp_path)
    follower.feeds = False
    await follower.keeper.load()
    assert follower.everything() == feeder.everything()
    feeder.now = NOW + 1000
    for price in ("5", "9"):  # the follower hears the second only
        feeder.price(price)
    follower.now = NOW + 1000
    follower.price("9")
    await feeder.keeper._keep()
    await follower.keeper._catch_up(NOW + 1000)
    assert follower.everything() == feeder.everything()
    assert follower.keeper.statistics().written == 0
    feeder.store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_follower_gets_what_the_feeder_had_of_an_exchange(
    kind: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url(await trio.to_thread.run_sync(postgres.new_database))
    feeder, follower = (
        Kept(
            tmp_path,
            store=PostgresHistory(PostgresDatabase(url), "x") if kind != "sqlite" else None,
        )
        for _ in range(2)
    )
    follower.feeds = False
    for kept in (feeder, follower):
        await kept.keeper.load()
        kept.price("5")
    await feeder.keeper._keep()
    one = Decimal("1.5")
    bars = [(NOW - n * MINUTE.ms, one, one + n, one, one, Decimal(n)) for n in range(400, 0, -1)]
    feeder.book.candles("BTC-USD").fill(MINUTE, bars)
    for _ in range(3):
        await feeder.keeper._keep()
    await follower.keeper._take_filled()
    assert follower.bars(MINUTE) == feeder.bars(MINUTE)
    assert sum(bar.theirs for bar in follower.bars(MINUTE)) == 400
    other = Kept(tmp_path, store=feeder.store)
    await other.keeper.load()
    assert other.everything() == feeder.everything()
    for kept in (feeder, follower):
        kept.store.close()


def test_numbers_of_any_size_are_kept() -> None:
    whole, small = Decimal(2**70).scaleb(-3), Decimal("0.00000005")
    rows = [
        JournalRow("A-B", "1s", 1000, whole, whole, small, small, None),
        JournalRow("A-B", "1s", 2000, small, small, small, small, Decimal("0.50")),
    ]
    assert read_rows(7, seal_rows(write_rows(rows), 7)) == rows
    book = Book(("A-B",))
    book.apply([Quote("A-B", Decimal("1e17") + Decimal("1e-10"), 5, 5, "x")])
    block = pack(book.candles("A-B"), "1h", 0)
    other = Book(("A-B",))
    unpack(other.candles("A-B"), "1h", 0, block)
    assert other.candles("A-B").exact(other.candles("A-B").series("1h").between(0, 1)[0])[1] == (
        Decimal("1e17") + Decimal("1e-10")
    )


@pytest.mark.parametrize(
    "block", [b"", b"\xc0", b"\x95\x09\x00\x00\xc0\x90", b"\x95\x01\x00\x00\xc0\x90", b"x" * 50]
)
def test_bytes_that_are_no_block_are_told_from_one(block: bytes) -> None:
    with pytest.raises(PackedBarsError):
        unpack(Book(("A-B",)).candles("A-B"), "1m", 0, block)


async def test_the_past_is_kept_in_postgresql_by_market(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_TURNS", 5)
    url = postgres.url(await trio.to_thread.run_sync(postgres.new_database))

    def opened(market: str) -> HistoryStore:
        return PostgresHistory(PostgresDatabase(url), market)

    markets = [Kept(tmp_path, store=opened(name)) for name in ("one", "other")]
    for number, kept in enumerate(markets):
        await kept.keeper.load()
        for second in range(40):
            kept.now = NOW + second * 1000
            kept.price(f"{second + 1}.{number}")
            await kept.keeper._keep()
        assert kept.keeper.statistics().kept
    assert len(markets[0].store.journal()) <= 11
    for name, kept in zip(("one", "other"), markets, strict=True):
        again_ = Kept(tmp_path, store=opened(name), now=kept.now)
        await again_.keeper.load()
        assert again_.everything() == kept.everything()
        again_.now = NOW + 400 * 24 * HOUR.ms
        for _ in range(5):
            await again_.keeper._keep()
        assert again_.store.symbols() == []
        again_.store.close()
        kept.store.close()
