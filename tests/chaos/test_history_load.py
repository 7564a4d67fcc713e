"""A healthy subscriber keeps its ticks while many clients ask for the past of many symbols."""

from __future__ import annotations

import http.client
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.chaos.neighbour import neighbour
from tests.support.server import Server, started
from ticker.market.book import Book
from ticker.market.candles import MINUTE
from ticker.market.quote import Quote
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory

SYMBOLS: Final = tuple(f"S{number:03}-USD" for number in range(250))
CLIENTS: Final = 20
BARS: Final = 60


async def fill(data_dir: Path, now_ms: int) -> None:
    """Make a history of an hour's minutes of each symbol."""
    book = Book(SYMBOLS)
    store = SqliteHistory(data_dir / HISTORY_FILE)
    keeper = HistoryKeeper(book, store, wall_ms=lambda: now_ms, feeds=lambda: True)
    await keeper.load()
    for minute in range(BARS + 10):
        at = MINUTE.begin(now_ms) - (BARS + 9 - minute) * MINUTE.ms
        for number, symbol in enumerate(SYMBOLS):
            prices = (Decimal(f"{1000 + number}.{each}") for each in (10, 25, 5, 15))
            book.apply(Quote(symbol, price, at, at, "simulated") for price in prices)
    for _ in range(20):
        await keeper._keep()
    store.close()


class Client:
    """Asks as fast as it can, for an answer that only it asks for."""

    def __init__(self, server: Server, number: int) -> None:
        self.answers = 0
        self.bars = 0
        self._path = f"/history?symbols={','.join(SYMBOLS)}&step=1m&limit={BARS + number % 5}"
        self._headers = {"Authorization": f"Bearer {server.token()}", "Accept-Encoding": "gzip"}
        self._port = server.port
        self.done = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self.done.is_set():
            connection.request("GET", self._path, headers=self._headers)
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.headers["Content-Encoding"] == "gzip"
            answer.read()
            self.answers += 1
        connection.close()


def measured(data_dir: Path, seconds: float, capsys: pytest.CaptureFixture[str]) -> float:
    data_dir.mkdir(mode=0o700)
    trio.run(fill, data_dir, int(time.time() * 1000))
    env = {"TICKER_SYMBOLS": ",".join(SYMBOLS)}
    with started("serve", data_dir, env=env) as server, neighbour(server) as subscriber:
        clients = [Client(server, number) for number in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        try:
            subscriber.begin()
            time.sleep(seconds)  # the span that is measured
            found = subscriber.figures()
        finally:
            for client in clients:
                client.done.set()
            for thread in threads:
                thread.join(30)
    answers = sum(client.answers for client in clients)
    with capsys.disabled():
        print(f"\nhistory 250 x 60, 20 clients: {found}; {answers} answers")  # noqa: T201 - a figure
    assert answers >= CLIENTS
    return found.per_second


def test_a_subscriber_keeps_most_of_its_ticks_while_many_ask_for_histories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measured(tmp_path / "data", 3.0, capsys) >= 40


@pytest.mark.slow
def test_a_subscriber_keeps_its_ticks_while_many_ask_for_histories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measured(tmp_path / "data", 10.0, capsys) >= 95
