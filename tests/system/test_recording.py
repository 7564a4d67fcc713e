"""`ticker record --from`: the stream of a running Ticker on the disk, and played again."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
import trio

from tests.support.server import Server, environment, script, started
from tests.support.waiting import wait_until
from ticker.client import Ticker, connect


@contextmanager
def recording(server: Server, path: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Record a server until the block is left."""
    with subprocess.Popen(
        [script("ticker"), "record", str(path), "--from", server.url, *more],
        env=environment(server.data_dir, {"TICKER_DATA_DIR": str(server.data_dir)}),
        cwd=path.parent,
        stderr=subprocess.PIPE,
        text=True,
    ) as recorder:
        try:
            yield recorder
        finally:
            recorder.kill()


def ended(recorder: subprocess.Popen[str]) -> str:
    recorder.send_signal(signal.SIGINT)
    _, said = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, said
    return said


def frames(path: Path) -> list[Ticker]:
    for line in path.read_text().splitlines():
        written = json.loads(line)
        assert written["received"] == written["message"]["time"] / 1000
    raw = [line.partition(b'"message":')[2][:-1] for line in path.read_bytes().splitlines()]
    return [msgspec.json.decode(message, type=Ticker) for message in raw]


def moves(ticks: list[Ticker], symbol: str) -> list[str]:
    """Each price of a symbol that differs from the one before it, digit for digit."""
    prices = [str(each.price) for tick in ticks for each in tick.data if each.symbol == symbol]
    return [price for price, _ in groupby(prices)]


def test_each_tick_is_recorded_and_plays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    with started("serve", tmp_path / "data") as server, recording(server, path) as recorder:
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") > 60, "sixty ticks")
        said = ended(recorder)
    assert said.splitlines()[-1].endswith(" messages recorded")
    recorded = frames(path)
    assert recorded[0].snapshot
    assert [tick.prev for tick in recorded[1:]] == [tick.seq for tick in recorded[:-1]]

    async def played(url: str, key: str) -> list[Ticker]:
        ticks: list[Ticker] = []
        with trio.fail_after(60):
            async with connect(url, api_key=key, mode="every") as client:
                async for message in client:
                    if isinstance(message, Ticker):
                        ticks.append(message)
                    if len(ticks) > 50:
                        break
        return ticks

    # So slowly that each of its ticks is one of the player's too; it may begin anew meanwhile.
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:60]))
    env = {"TICKER_SOURCE": f"replay:{path}?speed=0.1"}
    with started("serve", tmp_path / "player", env=env) as player:
        ticks = trio.run(played, player.url, player.api_key)
    for symbol in ("BTC-USD", "ETH-USD", "SOL-USD"):
        wanted, found = moves(recorded[:60] * 3, symbol), moves(ticks, symbol)
        assert len(found) > 10
        assert " ".join(found) in " ".join(wanted)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--from", "http://127.0.0.1:1", "--source", "kraken"], "either --source or --from"),
        (["--symbol", "BTC-USD"], "go with --from"),
        (["--from", "nonsense"], "the URL must begin with"),
        (["--from", "http://distant.example"], "an API key is needed"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(
    tmp_path: Path, arguments: list[str], fault: str
) -> None:
    done = subprocess.run(
        [script("ticker"), "record", "capture.jsonl", *arguments],
        env=environment(tmp_path / "data"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert fault in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "capture.jsonl").exists()


def test_a_recording_goes_on_after_the_server_was_started_anew_and_says_so(tmp_path: Path) -> None:
    path, data = tmp_path / "capture.jsonl", tmp_path / "data"

    def ticks() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    with started("serve", data) as server:
        port = str(server.port)
        with recording(server, path) as recorder:
            wait_until(lambda: ticks() > 5, "ticks")
            server.stop()
            before = ticks()
            with started("serve", data, args=["--port", port]):
                wait_until(lambda: ticks() > before + 5, "further ticks", seconds=60)
                said = ended(recorder)
    assert said.splitlines()[-1] == "ticks are missing in 1 place"
    assert sum(tick.snapshot for tick in frames(path)) == 2
