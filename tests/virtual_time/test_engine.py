"""The engine in virtual time: its pace, its sources' crashes, its drain."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.support.frames import TEXT
from tests.support.inmemory import World, world
from tests.support.made_up import quotes
from tests.support.waiting import eventually
from ticker.market.condition import SourceState
from ticker.market.market import Market


async def test_ticks_are_on_a_grid_that_never_drifts(
    autojump_clock: MockClock, running: World
) -> None:
    began = trio.current_time()
    before = running.engine.statistics().ticks
    await trio.sleep(100)
    assert running.engine.statistics().ticks - before == pytest.approx(10_000, abs=1)
    assert running.engine.statistics().ticks_skipped == 0
    assert running.market.hub.published.seq == running.engine.statistics().ticks
    assert trio.current_time() - began == 100


async def test_a_tick_whose_turn_has_passed_is_skipped_and_the_rest_stay_on_the_grid(
    autojump_clock: MockClock, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, times = running.market.hub.publish, []

    async def slow_once(seq: int, time_ms: int) -> None:
        times.append(trio.current_time())
        await publish(seq, time_ms)
        if len(times) == 5:
            await trio.sleep(0.0351)

    monkeypatch.setattr(running.market.hub, "publish", slow_once, raising=False)
    await trio.sleep(1)
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(times)]
    # Two turns had passed; the third had come, and went out late; the fourth was on the grid.
    assert gaps[:6] == [0.01, 0.01, 0.01, 0.01, 0.0351, 0.0049]
    assert set(gaps[6:]) == {0.01}
    assert running.engine.statistics().ticks_skipped == 2


async def test_a_crash_of_the_source_is_told_and_every_client_stays(
    autojump_clock: MockClock, running: World
) -> None:
    engine = running.engine
    async with running.client() as one, running.client() as two:
        last = (await one.until("ticker"))["seq"]
        assert engine.not_ready() is None
        running.source.put.send_nowait(RuntimeError("crash"))
        crashed = trio.current_time()
        for client in (one, two):
            status = await client.until("status")
            assert (status["state"], status["source"], status["reason"]) == (
                "stale",
                "scripted",
                "crashed",
            )
        assert "scripted crashed" in str(engine.not_ready())
        await trio.sleep(0.05)  # the tick under way may be the last
        ticks = engine.statistics().ticks
        await trio.sleep(0.5)
        assert engine.statistics().ticks == ticks
        assert engine.statistics().hub.subscriptions == 2
        for client in (one, two):
            assert len(client.arrived()) <= 1
        for client in (one, two):
            assert (await client.until("status"))["state"] == "live"
            tick = await client.until("ticker")
            assert tick["seq"] > last
            assert tick["data"][0]["price"] == 102
        assert 0.9 <= trio.current_time() - crashed <= 1.2
        assert engine.not_ready() is None
        assert running.source.lives == 2
        assert engine.statistics().ingest.restarts == {"scripted": 1}


async def test_pauses_grow_and_a_stable_run_forgets_them(
    autojump_clock: MockClock, running: World
) -> None:
    async def down_for() -> float:
        running.source.put.send_nowait(RuntimeError("crash"))
        await eventually(lambda: not running.market.ingest.live, "the crash")
        began = trio.current_time()
        await eventually(lambda: running.market.ingest.live, "the next life")
        return trio.current_time() - began

    await trio.sleep(6)
    assert await down_for() == pytest.approx(1, rel=0.11)
    assert await down_for() == pytest.approx(2, rel=0.11)
    assert await down_for() == pytest.approx(4, rel=0.11)
    await trio.sleep(6)
    assert await down_for() == pytest.approx(1, rel=0.11)


async def test_seq_only_grows_through_crashes_and_silence(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as client:
        for number in range(5):
            running.source.put.send_nowait(quotes(number + 1, 1))
            await trio.sleep(0.3)
            running.source.put.send_nowait(RuntimeError("crash"))
            await trio.sleep(3)
        seqs = [
            frame.message["seq"]
            for frame in client.arrived()
            if frame.opcode == TEXT and frame.message["type"] == "ticker"
        ]
    assert len(seqs) > 100
    assert all(earlier <= later for earlier, later in pairwise(seqs))


async def test_a_fault_of_the_broadcast_ends_the_engine(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = ZeroDivisionError()

    async def fail(_seq: int, _time_ms: int) -> None:
        raise failure

    caught: list[BaseException] = []
    try:
        async with world() as found:
            monkeypatch.setattr(found.market.hub, "publish", fail, raising=False)
            await trio.sleep_forever()
    except* ZeroDivisionError as group:
        caught += _leaves(group)
    assert caught == [failure]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


async def test_a_drain_tells_every_client_and_waits_for_the_last(
    autojump_clock: MockClock, running: World
) -> None:
    async with running.client() as one, running.client() as stalled:
        await one.until("ticker")
        stalled.stream.full = True
        delays = []

        async def listen() -> None:
            delays.append((await one.until("closing"))["retry_after_ms"])
            assert await one.closed() == 1012

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await running.engine.drain(2.7)
        assert trio.current_time() - began <= 2.7
        assert running.engine.not_ready() == "shutting down"
        assert len(delays) == 1
        assert running.engine.statistics().draining
        stalled.stream.abort()
    statistics = running.engine.statistics()
    assert (statistics.sessions, statistics.hub.subscriptions) == (0, 0)


async def test_a_drain_without_clients_takes_no_time(
    autojump_clock: MockClock, running: World
) -> None:
    began = trio.current_time()
    await running.engine.drain(60)
    assert trio.current_time() == began


@pytest.mark.parametrize(
    ("asked", "ticks"), [(0, 1), (1, 1), (10, 1), (10.1, 2), (20, 2), (25, 3), (60_000, 6000)]
)
async def test_an_interval_is_rounded_up_to_ticks(
    autojump_clock: MockClock, running: World, asked: float, ticks: int
) -> None:
    assert running.market.interval.ticks_in(asked) == ticks


async def test_a_role_is_told_only_of_symbols_that_it_may_have(
    autojump_clock: MockClock, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: dict[str, tuple[str, ...]] = {"user": ("ETH-USD",)}
    monkeypatch.setattr(running.service.access, "allowed", lambda role, _action: allowed[role])
    silent = SourceState(
        "scripted", "stale", 1, "silent", {"BTC-USD": "silent", "ETH-USD": "silent"}
    )
    monkeypatch.setattr(Market, "status", (silent,))
    assert running.context.status_for("user") == (
        attrs.evolve(silent, reasons={"ETH-USD": "silent"}),
    )
    allowed["user"] = ()
    assert running.context.status_for("user") == (SourceState("scripted", "live", 1),)


async def test_a_stream_is_told_only_of_symbols_that_its_role_may_have(
    autojump_clock: MockClock, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.service.access, "allowed", lambda _role, _action: ("ETH-USD",))
    silent = SourceState(
        "scripted", "stale", 1, "silent", {"BTC-USD": "silent", "ETH-USD": "silent"}
    )
    monkeypatch.setattr(Market, "status", (silent,))
    async with running.client() as client:
        assert (await client.until("status"))["symbols"] == ["ETH-USD"]


async def test_the_first_tick_goes_out_with_the_first_prices(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    async with world(tick=5.0) as running, running.client() as client:
        first = await client.until("ticker")
        assert [entry["price"] for entry in first["data"]] == [101, 10]
        assert trio.current_time() - began < 1
        assert (await client.until("ticker"))["seq"] == first["seq"] + 1
        assert trio.current_time() - began == pytest.approx(5.0, abs=0.1)
