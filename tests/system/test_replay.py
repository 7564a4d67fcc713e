"""The main job on real input: recorded exchange messages become a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio
import websockets.sync.client

from tests.support.raw import RawStream, opened
from tests.support.server import LAUNCHES, Launch, Server, command_of, started
from tests.support.waiting import eventually
from ticker import limits

CAPTURES = Path(__file__).parents[2] / ".." / "shared" / "captures"
captures = pytest.mark.skipif(not CAPTURES.is_dir(), reason="../shared/captures is absent")


def recorded(path: Path, prices: Iterable[tuple[float, str, str]]) -> Path:
    """Write a recording of Coinbase's `ticker` channel."""
    lines = (
        {"received": at, "message": {"type": "ticker", "product_id": product, "price": price}}
        for at, product, price in prices
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@asynccontextmanager
async def playing(tmp_path: Path, spec: str, launch: Launch = "serve") -> AsyncIterator[Server]:
    with started(launch, tmp_path / "data", env={"TICKER_SOURCE": spec}) as server:
        yield server


def prices_of(message: dict[str, Any]) -> dict[str, float]:
    return {entry["symbol"]: entry["price"] for entry in message["data"]}


async def sees(stream: RawStream, wanted: dict[str, float], seconds: float = 10.0) -> None:
    """Wait until a tick shows just these prices."""
    with trio.fail_after(seconds):
        while prices_of(await stream.until("ticker")) != wanted:
            pass


@pytest.mark.parametrize("launch", LAUNCHES)
async def test_a_recording_is_played_in_order_with_every_digit(
    tmp_path: Path, launch: Launch
) -> None:
    tape = [(0.0, "BTC-USD", "63000.5"), (0.1, "SHIB-USD", "0.00001234"), (0.6, "BTC-USD", "63001")]
    path = recorded(tmp_path / "tape.jsonl", tape)
    async with playing(tmp_path, f"replay:{path}", launch) as server, opened(server) as stream:
        assert (await stream.message())["symbols"] == ["BTC-USD", "SHIB-USD"]
        await sees(stream, {"BTC-USD": 63000.5, "SHIB-USD": 0.00001234})
        await sees(stream, {"BTC-USD": 63001, "SHIB-USD": 0.00001234})
        # It is played again from its beginning.
        await sees(stream, {"BTC-USD": 63000.5, "SHIB-USD": 0.00001234})
        entry = (await stream.until("ticker"))["data"][0]
        assert entry["source"] == "replay"
        server.wait_metric('ticker_source_up{source="replay"}', 1)


async def test_a_recording_played_once_ends_stale_with_every_client_connected(
    tmp_path: Path,
) -> None:
    path = recorded(tmp_path / "tape.jsonl", [(0.0, "BTC-USD", "1"), (1.0, "BTC-USD", "2")])
    async with playing(tmp_path, f"replay:{path}?loop=false") as server, opened(server) as stream:
        with trio.fail_after(10):
            while (await stream.until("status"))["reason"] != "ended":
                pass
        await stream.send({"type": "ping"})
        await stream.until("pong")
        assert server.request("GET", "/readyz")[0] == 503
        assert server.request("GET", "/healthz")[0] == 200


async def test_a_damaged_recording_is_played_as_far_as_it_makes_sense(tmp_path: Path) -> None:
    path = recorded(tmp_path / "tape.jsonl", [(0.0, "BTC-USD", "5")])
    with path.open("ab") as file:
        file.write(b"nonsense\n\xff\xfe\n" + b"x" * 2000 + b'\n{"received":1,"message":{"ty')
    async with playing(tmp_path, f"replay:{path}") as server, opened(server) as stream:
        await sees(stream, {"BTC-USD": 5})

        def faults() -> float:
            found = server.metrics().items()
            return sum(value for name, value in found if "source_faults" in name)

        await eventually(lambda: faults() >= 4, "each fault counted")


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        (None, "", "tape.jsonl"),
        ("", "", "tape.jsonl"),
        ('{"received":0,"message":{"type":"subscriptions"}}\n', "", "tape.jsonl"),
        (
            '{"received":0,"message":{"type":"ticker","product_id":"A-B","price":"1"}}\n',
            "?x=1",
            "x",
        ),
    ],
)
def test_a_recording_without_prices_is_refused_in_one_line(
    tmp_path: Path, content: str | None, options: str, text: str
) -> None:
    path = tmp_path / "tape.jsonl"
    if content is not None:
        path.write_text(content)
    command = command_of("serve", ["--source", f"replay:{path}{options}"])
    with started("serve", tmp_path / "data", command=command, listen=False) as server:
        assert server.wait(20) == 2, server.output
    faults = [line for line in server.lines if line.startswith("ticker: ")]
    assert len(faults) == 1
    assert text in faults[0]
    assert "Traceback" not in server.output


def tape_prices(name: str) -> dict[str, set[Decimal]]:
    """Read, without any of our code, which prices a capture of Coinbase holds by symbol."""
    found: dict[str, set[Decimal]] = {}
    for line in (CAPTURES / name).read_text().splitlines():
        message = json.loads(line)["message"]
        if message.get("type") == "ticker":
            found.setdefault(message["product_id"], set()).add(Decimal(message["price"]))
    return found


@captures
@pytest.mark.parametrize("launch", LAUNCHES)
async def test_the_recorded_prices_of_coinbase_reach_a_bot(tmp_path: Path, launch: Launch) -> None:
    known = tape_prices("coinbase.jsonl")
    spec = f"replay:{CAPTURES / 'coinbase.jsonl'}?speed=10"
    async with playing(tmp_path, spec, launch) as server, opened(server) as stream:
        seen: dict[str, set[Decimal]] = {}
        with trio.fail_after(20):
            while seen.keys() != known.keys() or len(seen["SKL-USD"]) < 3:
                frame = await stream.frame()
                assert frame is not None
                message = json.loads(frame.payload, parse_float=Decimal, parse_int=Decimal)
                for entry in message.get("data", ()):
                    seen.setdefault(entry["symbol"], set()).add(entry["price"])
    for symbol, prices in seen.items():
        assert prices <= known[symbol], symbol


@captures
def test_the_recorded_prices_of_binance_reach_websockets(tmp_path: Path) -> None:
    env = {"TICKER_SOURCE": f"replay:{CAPTURES / 'binance.jsonl'}?speed=10"}
    with started("serve", tmp_path / "data", env=env) as server:
        headers = {"Authorization": f"Bearer {server.token()}"}
        with websockets.sync.client.connect(server.ws_url, additional_headers=headers) as websocket:
            welcome = json.loads(websocket.recv(5))
            ticks = [json.loads(websocket.recv(5)) for _ in range(200)]
        assert welcome["symbols"]
        last = [tick for tick in ticks if tick["type"] == "ticker"][-1]
        assert {entry["symbol"] for entry in last["data"]} <= set(welcome["symbols"])
        assert all(entry["source"] == "replay" for entry in last["data"])


def test_the_silence_limit_of_a_recording_stays_below_the_age_limit() -> None:
    assert limits.REPLAY_GAP_SECONDS < 10.0
