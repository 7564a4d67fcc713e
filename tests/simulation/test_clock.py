"""A jump of the wall clock extends nothing and floods nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.simulation import Simulation
from tests.simulation.wire import TICK, Client

HOUR = 3600.0


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    running = Simulation()
    yield running
    running.end()


def _connected(simulation: Simulation, name: str, seconds: float) -> Client:
    client = Client(name, name, simulation.now, simulation.books)
    simulation.do(lambda: simulation.connect(client, seconds))
    assert client.response[9:12] == b"101"
    return client


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_stream_ends_when_its_token_would_have(simulation: Simulation, jump: float) -> None:
    client = _connected(simulation, "jumped", 60.0)
    simulation.do(lambda: simulation.pass_time(10.0))
    simulation.wall_offset += jump
    simulation.do(lambda: simulation.pass_time(49.0))
    assert client.close_code is None
    simulation.do(lambda: simulation.pass_time(2.0))
    assert client.close_code == 4001


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_ticks_keep_their_pace(simulation: Simulation, jump: float) -> None:
    client = _connected(simulation, "jumped", 10 * HOUR)
    simulation.do(lambda: simulation.pass_time(10.0))
    before = client.seq
    simulation.wall_offset += jump
    simulation.do(lambda: simulation.pass_time(10.0))
    assert client.seq - before == 10.0 / TICK
    assert simulation.engine.statistics().ticks_skipped == 0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_crashed_source_comes_back_as_soon_as_without_it(
    simulation: Simulation, jump: float
) -> None:
    client = _connected(simulation, "jumped", 10 * HOUR)
    simulation.source.crashes = 1
    simulation.do(lambda: simulation.pass_time(TICK))
    assert client.last_status == {"scripted": "stale"}
    simulation.wall_offset += jump
    lives = simulation.source.lives
    simulation.do(lambda: simulation.pass_time(2.0))
    assert simulation.source.lives == lives + 1
    assert client.last_status == {"scripted": "live"}


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_no_price_goes_stale_by_it(simulation: Simulation, jump: float) -> None:
    client = _connected(simulation, "jumped", 10 * HOUR)
    simulation.wall_offset += jump
    simulation.do(lambda: simulation.pass_time(20.0))
    assert client.last_status == {}
