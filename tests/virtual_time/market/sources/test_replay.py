"""The replay source in virtual time: its pace, its options and what it makes of bad files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from tests.support.captures import CAPTURES, with_captures
from ticker.limits import REPLAY_GAP_SECONDS, REPLAY_LINE_BYTES, REPLAY_LOOP_PAUSE_SECONDS
from ticker.market.quote import Quote
from ticker.market.sources import (
    Source,
    SourceConfigError,
    SourceContext,
    load_source,
    open_batches,
)

pytestmark = pytest.mark.usefixtures("threads_done_inline")
WALL_MS = 1_790_000_000_000


def ticker(received: float, product: str, price: str) -> dict[str, object]:
    """Return one recorded ticker of Coinbase."""
    return {
        "received": received,
        "message": {"type": "ticker", "product_id": product, "price": price},
    }


@pytest.fixture
def threads_done_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep virtual time from jumping ahead while a thread reads the file."""

    async def run_sync(function: Callable[..., object], *args: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: object, tail: bytes = b"") -> Path:
        path = tmp_path / "recording.jsonl"
        encoded = (x if isinstance(x, bytes) else msgspec.json.encode(x) for x in lines)
        path.write_bytes(b"".join(line + b"\n" for line in encoded) + tail)
        return path

    return write


def replay(spec: str, *symbols: str, report: Callable[[str, str], None] | None = None) -> Source:
    context = SourceContext(
        symbols=dict.fromkeys(symbols),
        wall_ms=lambda: WALL_MS + round(trio.current_time() * 1000),
        report=report or (lambda kind, detail: pytest.fail(f"{kind}: {detail}")),
    )
    return load_source(f"replay:{spec}", context)


async def play(
    clock: MockClock, source: Source, most: int = 1000
) -> list[tuple[float, Sequence[Quote]]]:
    """Return batches with the virtual time, since the start, that each came at."""
    started, played = clock.current_time(), []
    with trio.fail_after(1000):
        async with open_batches(source) as batches:
            async for batch in batches:
                if all(quote.received_ms > quote.time_ms for quote in batch):
                    continue  # only affirms what was played before
                played.append((round(clock.current_time() - started, 3), batch))
                if len(played) == most:
                    break
    return played


async def test_prices_come_at_the_pace_of_the_recording(
    recording: Callable[..., Path], autojump_clock: MockClock
) -> None:
    path = recording(
        ticker(10, "BTC-USD", "1.50"),
        ticker(10, "ETH-USD", "2"),
        ticker(11.25, "BTC-USD", "1.51"),
        ticker(14, "BTC-USD", "1.52"),
    )
    played = await play(autojump_clock, replay(f"{path}?loop=false"))
    assert [(at, [(q.symbol, str(q.price)) for q in batch]) for at, batch in played] == [
        (0, [("BTC-USD", "1.50"), ("ETH-USD", "2")]),
        (1.25, [("BTC-USD", "1.51")]),
        (4, [("BTC-USD", "1.52")]),
    ]
    assert played[0][1][0] == Quote("BTC-USD", Decimal("1.50"), WALL_MS, WALL_MS, "replay")


async def test_the_last_prices_are_affirmed_between_those_of_the_recording(
    recording: Callable[..., Path], autojump_clock: MockClock
) -> None:
    path = recording(ticker(0, "A-USD", "1"), ticker(0, "B-USD", "2"), ticker(4.5, "A-USD", "3"))
    affirmed = []
    with trio.fail_after(60):
        async with open_batches(replay(f"{path}?loop=false")) as batches:
            async for batch in batches:
                assert {quote.time_ms - WALL_MS for quote in batch} <= {0, 4500}
                affirmed.append((batch[0].received_ms - WALL_MS, [str(q.price) for q in batch]))
    assert affirmed == [
        (0, ["1", "2"]),
        *((second * 1000, ["1", "2"]) for second in (1, 2, 3, 4)),
        (4500, ["3"]),
    ]
    assert autojump_clock.current_time() == pytest.approx(4.5)


async def test_speed_divides_the_pace(
    recording: Callable[..., Path], autojump_clock: MockClock
) -> None:
    path = recording(ticker(0, "A-USD", "1"), ticker(1, "A-USD", "2"), ticker(4, "A-USD", "3"))
    assert [at for at, _ in await play(autojump_clock, replay(f"{path}?speed=4&loop=false"))] == [
        0,
        0.25,
        1,
    ]


async def test_a_recording_starts_again_after_a_pause(
    recording: Callable[..., Path], autojump_clock: MockClock
) -> None:
    path = recording(ticker(0, "A-USD", "1"))
    pause = REPLAY_LOOP_PAUSE_SECONDS
    assert [at for at, _ in await play(autojump_clock, replay(str(path)), most=3)] == [
        0,
        pause,
        2 * pause,
    ]


async def test_a_long_silence_is_shortened_and_a_clock_that_steps_back_is_no_wait(
    recording: Callable[..., Path],
    autojump_clock: MockClock,
) -> None:
    path = recording(
        ticker(0, "A-USD", "1"),
        ticker(86400, "A-USD", "2"),
        ticker(5, "B-USD", "3"),
        ticker(6, "A-USD", "4"),
    )
    gap = REPLAY_GAP_SECONDS
    assert [at for at, _ in await play(autojump_clock, replay(f"{path}?loop=false"))] == [
        0,
        gap,
        gap + 1,
    ]


async def test_bad_lines_are_reported_and_a_torn_last_line_ends_nothing(
    recording: Callable[..., Path],
    autojump_clock: MockClock,
) -> None:
    path = recording(
        b"not json",
        b"\xff\xfe",
        b"[]",
        b'{"received":1}',
        b'{"received":"x","message":{}}',
        b'{"received":1e999,"message":{"type":"ticker","product_id":"A-USD","price":"1"}}',
        ticker(0, "A-USD", "-5"),
        ticker(0, "A-USD", "NaN"),
        ticker(0, "a usd", "1"),
        b"",
        b"[" * (2 * REPLAY_LINE_BYTES),
        ticker(0, "A-USD", "1"),
        tail=b'{"received":2,"message":{"type":"ti',
    )
    reports: list[str] = []
    source = replay(f"{path}?loop=false", report=lambda kind, _: reports.append(kind))
    played = await play(autojump_clock, source)
    assert [[str(q.price) for q in batch] for _, batch in played] == [["1"]]
    assert reports == ["bad_message"] * 11


async def test_only_the_symbols_asked_for_are_played_in_the_order_they_were_asked_in(
    recording: Callable[..., Path],
    autojump_clock: MockClock,
) -> None:
    path = recording(*(ticker(0, f"{s}-USD", "1") for s in "ABC"))
    assert replay(str(path)).symbols == ("A-USD", "B-USD", "C-USD")
    source = replay(f"{path}?loop=false", "C-USD", "A-USD")
    assert source.symbols == ("C-USD", "A-USD")
    [(_, batch)] = await play(autojump_clock, source)
    assert {quote.symbol for quote in batch} == {"A-USD", "C-USD"}


def test_a_symbol_that_is_not_recorded_is_named_with_its_nearest(
    recording: Callable[..., Path],
) -> None:
    path = recording(ticker(0, "BTC-USD", "1"), ticker(0, "ETH-USD", "1"))
    with pytest.raises(SourceConfigError, match="has no BTC-USDT; nearest: BTC-USD"):
        replay(str(path), "ETH-USD", "BTC-USDT")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("speed=0", "speed is a number from"),
        ("speed=-1", "speed is a number from"),
        ("speed=nan", "speed is a number from"),
        ("speed=1e9", "speed is a number from"),
        ("speed=fast", "speed is a number from"),
        ("loop=maybe", "loop is true or false"),
        ("lop=true", "no option is called 'lop'"),
    ],
)
def test_a_nonsense_option_is_one_clear_line(
    recording: Callable[..., Path], query: str, problem: str
) -> None:
    with pytest.raises(SourceConfigError, match=problem):
        replay(f"{recording(ticker(0, 'A-USD', '1'))}?{query}")


def test_a_file_that_cannot_be_played_is_one_clear_line(
    recording: Callable[..., Path], tmp_path: Path
) -> None:
    for spec, problem in [
        ("", "which file"),
        (str(tmp_path / "absent"), "does not exist"),
        (str(tmp_path), "is not a regular file"),
        (str(recording()), "has no price that can be read"),
        (str(recording({"received": 1, "message": {"type": "match"}})), "has no price"),
    ]:
        with pytest.raises(SourceConfigError, match=problem):
            replay(spec)


async def test_recordings_of_all_three_exchanges_play(
    recording: Callable[..., Path], autojump_clock: MockClock
) -> None:
    path = recording(
        ticker(0, "BTC-USD", "42000.10"),
        {
            "received": 0,
            "message": {
                "stream": "nknusdt@bookTicker",
                "data": {"u": 1, "s": "NKNUSDT", "b": "0.35210000", "a": "0.35260000"},
            },
        },
        {
            "received": 0,
            "message": {
                "stream": "lrcbtc@aggTrade",
                "data": {"s": "LRCBTC", "p": "0.00000637", "T": 1, "a": 5},
            },
        },
        b'{"received":0,"message":{"channel":"ticker","type":"update",'
        b'"data":[{"symbol":"ALGO/USD","last":0.10035}]}}',
    )
    [(_, batch)] = await play(autojump_clock, replay(f"{path}?loop=false"))
    assert {quote.symbol: str(quote.price) for quote in batch} == {
        "BTC-USD": "42000.10",
        "NKN-USDT": "0.35235000",
        "LRC-BTC": "0.00000637",
        "ALGO-USD": "0.10035",
    }


@with_captures
@pytest.mark.parametrize(
    ("name", "symbols", "prices", "seconds"),
    [("coinbase", 10, 107, 29.58), ("binance", 3, 86, 26.87)],
)
async def test_the_captures_play_every_price_in_their_time(
    autojump_clock: MockClock, name: str, symbols: int, prices: int, seconds: float
) -> None:
    source = replay(f"{CAPTURES / name}.jsonl?loop=false")
    played = await play(autojump_clock, source)
    assert len(source.symbols) == symbols
    assert prices * 0.8 < sum(len(batch) for _, batch in played) <= prices
    assert played[-1][0] == pytest.approx(seconds, abs=3)
