"""The modes `changes` and `every` from outside the process, over sockets with tiny buffers."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trio

from tests.support.mirror import Mirror
from tests.support.raw import RawStream, handshake, read_response
from tests.support.server import Server, started

#: What the reader's kernel takes: a few frames.
TINY = 2304


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started("serve", tmp_path_factory.mktemp("modes") / "data") as running:
        yield running


@asynccontextmanager
async def opened(server: Server, **fields: str | int) -> AsyncIterator[RawStream]:
    """Open a stream with a subscription in its handshake."""
    raw = trio.socket.socket()
    raw.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, TINY)
    await raw.connect(("127.0.0.1", server.port))
    stream = trio.SocketStream(raw)
    async with stream:
        path = f"/ws/ticker?{urlencode(fields)}"
        await stream.send_all(handshake(server, server.token(), path=path))
        response, rest = await read_response(stream)
        assert response.status == 101
        yield RawStream(stream, response, rest)


async def follow(stream: RawStream, mirror: Mirror, frames: int, *, stalls: random.Random) -> None:
    """Apply so many frames, and read nothing for a while now and then."""
    for _ in range(frames):
        mirror.apply(await stream.until("ticker"))
        if stalls.random() < 0.01:
            await trio.sleep(stalls.random() * 0.5)


async def test_a_client_that_stalls_and_is_cut_off_loses_nothing(server: Server) -> None:
    """Follow in both modes at once, and compare what is held at every common seq."""
    mirrors = {"changes": Mirror(), "every": Mirror(), "reference": Mirror()}
    held: dict[str, dict[int, str]] = {name: {} for name in mirrors}

    async def run(name: str, seed: int) -> None:
        mode, stalls = name.replace("reference", "every"), random.Random(seed)
        mirror = mirrors[name]
        more: dict[str, str] = {}
        for _ in range(6 if name != "reference" else 1):
            async with opened(server, mode=mode, **more) as stream:
                welcome = await stream.until("welcome")
                answer = await stream.until("subscribed")
                assert answer.get("resumed") is (True if more else None)
                for _ in range(100 if name != "reference" else 800):
                    await follow(
                        stream, mirror, 1, stalls=stalls if name != "reference" else _NEVER
                    )
                    if mirror.frames[-1]["data"]:
                        held[name][mirror.seq or 0] = json.dumps(mirror.book, sort_keys=True)
            more = {"resume": f"{welcome['epoch']}:{mirror.seq}"}

    async with trio.open_nursery() as nursery:
        for seed, name in enumerate(mirrors):
            nursery.start_soon(run, name, seed)
    for name in ("changes", "every"):
        common = held[name].keys() & held["reference"].keys()
        assert len(common) > 50
        assert all(held[name][seq] == held["reference"][seq] for seq in common)
    first = min(held["every"])
    last = min(max(held["every"]), max(held["reference"]))
    every = [seq for seq in sorted(held["every"]) if first < seq <= last]
    assert every == [seq for seq in sorted(held["reference"]) if first < seq <= last]


class _Never(random.Random):
    def random(self) -> float:
        return 1.0


_NEVER = _Never()


async def test_prices_over_http_are_those_of_the_stream_at_that_seq(server: Server) -> None:
    async with opened(server, mode="every") as stream:
        mirror = Mirror()
        mirror.apply(await stream.until("ticker"))

        def prices() -> dict[str, Any]:
            bearer = {"Authorization": f"Bearer {server.token()}"}
            status, _, body = server.request("GET", "/prices", headers=bearer)
            assert status == 200
            found: dict[str, Any] = json.loads(body)
            return found

        answer = await trio.to_thread.run_sync(prices)
        assert answer["epoch"]
        books = {mirror.seq: dict(mirror.book)}
        while (mirror.seq or 0) < answer["seq"]:
            mirror.apply(await stream.until("ticker"))
            books[mirror.seq] = dict(mirror.book)
        at = max(seq for seq in books if seq is not None and seq <= answer["seq"])
        published = {entry["symbol"]: entry["price"] for entry in answer["data"]}
        assert published == {symbol: entry["price"] for symbol, entry in books[at].items()}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("mode=all", 400),
        ("symbols=", 400),
        ("symbols=DOGE-USD", 400),
        ("interval_ms=fast", 400),
        ("mode=every&interval_ms=100", 400),
        ("resume=1", 400),
        ("mode=changes&mode=every", 400),
        ("anything=else", 101),
        ("mode=changes&resume=another:5", 101),
    ],
)
async def test_a_fault_in_the_query_is_answered_before_any_upgrade(
    server: Server, query: str, status: int
) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        request = handshake(server, server.token(), path=f"/ws/ticker?{query}")
        await stream.send_all(request)
        response, _ = await read_response(stream)
        assert response.status == status


async def test_a_restart_begins_another_epoch(tmp_path: Path) -> None:
    resume = ""
    for _ in range(2):
        with started("serve", tmp_path / "data") as running:
            more = {"resume": resume} if resume else {}
            async with opened(running, mode="changes", **more) as stream:
                welcome = await stream.until("welcome")
                answer = await stream.until("subscribed")
                assert answer.get("resumed") is (False if resume else None)
                snapshot = await stream.until("ticker")
                assert snapshot["snapshot"] is True
                assert f"{welcome['epoch']}:" not in resume
                resume = f"{welcome['epoch']}:{snapshot['seq']}"
