"""The past over HTTP, as a user sees it: it survives restarts and kills, and is told in full."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, started
from tests.support.waiting import wait_until
from ticker.market.candles import HOUR, MINUTE, Candles
from ticker.market.packed_bars import SPANS, pack
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory
from ticker.storage.history_store import Block, Changes

Bar = list[Any]


def ask(server: Server, path: str, headers: Mapping[str, str] | None = None) -> Any:
    bearer = {"Authorization": f"Bearer {server.token()}"}
    status, _, body = server.request("GET", path, headers={**bearer, **(headers or {})})
    assert status == 200, body
    return json.loads(body)


def seconds(server: Server) -> list[Bar]:
    bars: list[Bar] = ask(server, "/prices/BTC-USD/history")["bars"]
    return bars


def wait_bars(server: Server, count: int) -> list[Bar]:
    return wait_until(
        lambda: bars if len(bars := seconds(server)) >= count else None, "bars", seconds=30
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_past_survives_a_restart(tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "data"
    with started("serve", data) as server:
        before = wait_bars(server, 5)
        ended = time.time() * 1000
        server.stop(number)
    with started("serve", data) as server:
        after = {bar[0]: bar for bar in seconds(server)}
        quote = ask(server, "/prices/BTC-USD")
    # The last two seconds may be lost, or be those of the next process where that is quick.
    kept = [bar for bar in before if bar[0] + 1000 <= ended - 2000]
    assert kept
    assert kept == [after.get(bar[0]) for bar in kept]
    assert quote["since"] == before[0][0]
    assert quote["high_24h"] >= max(bar[2] for bar in kept)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_made_up_market_goes_on_where_it_was(tmp_path: Path, number: signal.Signals) -> None:
    data, env = tmp_path / "data", {"TICKER_SYMBOLS": "BTC-USD=100,NEW-USD=7"}
    with started("serve", data, env=env) as server:
        wait_until(
            lambda: abs(float(ask(server, "/prices/BTC-USD")["price"]) - 100) > 0.5,
            "the price to have moved",
            seconds=30,
        )
        wait_bars(server, 3)
        server.stop(number)
    with started("serve", data, env=env) as server:
        bars = wait_bars(server, 4)
        jumps = [abs(after[1] / before[4] - 1) for before, after in pairwise(bars)]
    # From each bar to the next there is one move, or a few.
    assert max(jumps) < 0.004


def test_a_damaged_history_is_put_aside_and_the_stream_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started("serve", data) as server:
        wait_bars(server, 2)
        server.stop()
    (data / "history.db").write_bytes(b"garbage" * 2000)
    with started("serve", data) as server:
        server.wait_event("history_set_aside")
        wait_bars(server, 2)
        server.wait_event("history_kept_again")
        found = server.metrics()
        assert found["ticker_history_kept"] == 1
        assert found['ticker_history_failures_total{reason="corrupted"}'] >= 1
        server.stop()
    [aside] = data.glob("history.db.damaged-*[0-9]")
    assert aside.read_bytes().startswith(b"garbage")


def test_one_value_that_is_damaged_keeps_no_server_from_starting(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started("serve", data) as server:
        before = wait_bars(server, 3)
        server.stop()
    database = sqlite3.connect(data / HISTORY_FILE)
    database.execute("UPDATE blocks SET bars = 'text' WHERE step = '1s'")
    database.execute("UPDATE journal SET bars = 5 WHERE number = 1")
    database.execute("UPDATE OR REPLACE blocks SET step = '1h' WHERE step = '1m'")
    database.commit()
    database.close()
    with started("serve", data) as server:
        server.wait_event("history_set_aside")
        server.wait_event("history_kept_again")
        hours = ask(server, "/prices/BTC-USD/history?step=1h")["bars"]
        assert all(bar[0] >= HOUR.begin(before[0][0]) for bar in hours)
        assert hours[-1][0] <= time.time() * 1000
    assert len([*data.glob("history.db.damaged-*[0-9]")]) == 1


@pytest.mark.parametrize("cut", ["", "-wal"])
def test_a_history_that_is_cut_while_it_is_open_is_written_anew(tmp_path: Path, cut: str) -> None:
    data = tmp_path / "data"
    with started("serve", data) as server:
        before = wait_bars(server, 3)
        os.truncate(data / f"{HISTORY_FILE}{cut}", 0)
        assert server.wait_event("history_not_kept")["reason"] in {"corrupted", "lost"}
        server.wait_event("history_kept_again")
        assert len(server.events("history_not_kept")) == 1
        server.stop(signal.SIGKILL)
    with started("serve", data) as server:
        after = {bar[0]: bar for bar in seconds(server)}
    assert before[:-1] == [after.get(bar[0]) for bar in before[:-1]]


def test_a_locked_history_stops_only_the_keeping_until_it_is_free(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started("serve", data) as server:
        wait_bars(server, 2)
        holder = sqlite3.connect(data / "history.db", isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
            assert server.wait_event("history_not_kept")["reason"] == "busy"
            ticks = server.metrics()["ticker_ticks_total"]
            wait_until(
                lambda: server.metrics()["ticker_ticks_total"] > ticks + 100, "the market to tick"
            )
            assert server.metrics()["ticker_history_kept"] == 0
        finally:
            holder.close()
        server.wait_event("history_kept_again")
        assert len(server.events("history_not_kept")) == 1


def test_a_data_directory_of_the_version_before_is_good(tmp_path: Path) -> None:
    data = tmp_path / "data"
    kept = json.loads((Path(__file__).parent / "data_of_0_1.json").read_text())
    data.mkdir(mode=0o700)
    for name, content in kept["files"].items():
        (data / name).write_text(content)
    database = sqlite3.connect(data / "auth.db")
    database.executescript("\n".join(kept["sql"]))
    database.close()
    for path in data.iterdir():
        path.chmod(0o600)
    with started("serve", data) as server:
        server.new_token(kept["key"])
        headers = {"Authorization": f"Bearer {kept['token']}"}
        status, _, body = server.request("GET", "/prices", headers=headers)
        assert status == 200, body
        for name, content in kept["files"].items():
            assert (data / name).read_text() == content
        assert not server.events("demo_api_key")


def test_prices_are_there_before_a_long_past_is_read_and_that_is_told_in_full(
    tmp_path: Path,
) -> None:
    data, symbols = tmp_path / "data", [f"S{number:03}-USD" for number in range(150)]
    data.mkdir(mode=0o700)
    now_ms = MINUTE.begin(int(time.time() * 1000))
    candles = Candles()
    ten = (Decimal(10),) * 4
    candles.put(
        (step.name, (step.begin(now_ms) - number * step.ms, *ten, None))
        for step, count in ((HOUR, 8_000), (MINUTE, 10_000))
        for number in range(count, 0, -1)
    )
    blocks = [
        (step, begin, pack(candles, step, begin))
        for step in (MINUTE.name, HOUR.name)
        for begin in candles.series(step).spans(SPANS[step])
    ]
    store = SqliteHistory(data / HISTORY_FILE)
    for symbol in symbols:
        store.write(Changes(blocks=[Block(f"simulated/{symbol}", *each) for each in blocks]))
    store.close()
    with started("serve", data, env={"TICKER_SYMBOLS": "=10,".join(symbols) + "=10"}) as server:
        prices = ask(server, "/prices")
        assert len(prices["data"]) == len(symbols)
        path = f"/history?symbols={','.join(symbols)}&step=1m&to={now_ms}&from={now_ms - 600_000}"
        told = ask(server, path)["bars"]
        assert [len(told[symbol]) for symbol in symbols] == [10] * len(symbols)
        quote = ask(server, f"/prices/{symbols[-1]}")
        assert "since" not in quote  # the day is whole
        server.stop(signal.SIGKILL)
    with started("serve", data, env={"TICKER_SYMBOLS": "=10,".join(symbols) + "=10"}) as server:
        told = ask(server, path)["bars"]
        assert [len(told[symbol]) for symbol in symbols] == [10] * len(symbols)
