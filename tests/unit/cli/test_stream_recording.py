"""What `ticker record --from` writes of a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import cast

import click
import pytest

from ticker.cli.record import _record_stream
from ticker.cli.stream_recording import StreamRecording
from ticker.client import (
    AuthenticationError,
    Client,
    Epoch,
    Message,
    Price,
    Reconnected,
    Status,
    Ticker,
)
from ticker.market.sources.recorder import CaptureWriter
from ticker.market.sources.replay import parse_line


def tick(seq: int, *, snapshot: bool = False, **prices: str) -> Ticker:
    return Ticker(
        data=tuple(
            Price(symbol=f"{name}-USD", price=Decimal(price), timestamp=17)
            for name, price in prices.items()
        ),
        seq=seq,
        time=17_000 + seq,
        snapshot=snapshot,
        prev=None if snapshot else seq - 1,
    )


async def messages(*given: Message) -> AsyncIterator[Message]:
    for message in given:
        yield message


def recorded(path: Path) -> list[tuple[float, list[tuple[str, str]]]]:
    lines = map(parse_line, path.read_bytes().splitlines())
    return [(at, [(each.symbol, str(each.price)) for each in seen]) for at, seen in lines]


async def test_ticks_that_changed_something_are_written_and_gaps_are_counted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "capture.jsonl"
    with CaptureWriter(path) as writer:
        recording = StreamRecording(writer)
        await recording.take(
            messages(
                tick(1, snapshot=True, A="1.0", B="2.0"),
                Status(state="stale", source="kraken"),
                tick(2),
                tick(3, A="1.50"),
                Reconnected(resumed=True),
                tick(4, B="2.50"),
                Reconnected(resumed=False),
                tick(9, snapshot=True, A="7", B="8"),
                Epoch(epoch="of another process"),
                tick(12, snapshot=True, A="9", B="8"),
            )
        )
    assert (writer.written, recording.gaps) == (5, 2)
    assert recorded(path) == [
        (17.001, [("A-USD", "1.0"), ("B-USD", "2.0")]),
        (17.003, [("A-USD", "1.50")]),
        (17.004, [("B-USD", "2.50")]),
        (17.009, [("A-USD", "7"), ("B-USD", "8")]),
        (17.012, [("A-USD", "9"), ("B-USD", "8")]),
    ]


async def test_each_file_holds_every_symbol_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    moves = [tick(seq, A=f"1.{seq:03}") for seq in range(2, 40)]
    with CaptureWriter(path, file_bytes=1000) as writer:
        recording = StreamRecording(writer)
        await recording.take(messages(tick(1, snapshot=True, A="1", B="2.0"), *moves))
    files = [path, *(path.with_name(f"{path.name}.{number}") for number in (1, 2))]
    for file in files:
        symbols = {symbol for _, seen in recorded(file)[:2] for symbol, _ in seen}
        assert symbols == {"A-USD", "B-USD"}, file.name


def test_what_was_recorded_is_said_where_a_fault_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def until_revoked() -> AsyncIterator[Message]:
        yield tick(1, snapshot=True, A="1.0")
        yield tick(9, snapshot=True, A="2.0")
        raise AuthenticationError("the key is revoked")

    @asynccontextmanager
    async def stream() -> AsyncIterator[Client]:
        yield cast("Client", until_revoked())  # it is iterated over, no more

    with pytest.raises(click.ClickException, match="revoked"):
        _record_stream(stream(), tmp_path / "capture.jsonl", "http://ticker.example")
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == ["2 messages recorded", "ticks are missing in 1 place"]
