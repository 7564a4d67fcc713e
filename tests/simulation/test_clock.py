"""A jump of the wall clock extends nothing and floods nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.wire import Client
from tests.simulation.world import TICK, World

HOUR = 3600.0


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


def _connected(world: World, name: str, seconds: float) -> Client:
    client = Client(name, name, world.now)
    world.do(lambda: world.connect(client, seconds))
    assert client.response[9:12] == b"101"
    return client


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_stream_ends_when_its_token_would_have(world: World, jump: float) -> None:
    client = _connected(world, "jumped", 60.0)
    world.do(lambda: world.pass_time(10.0))
    world.wall_offset += jump
    world.do(lambda: world.pass_time(49.0))
    assert client.close_code is None
    world.do(lambda: world.pass_time(2.0))
    assert client.close_code == 4001


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_ticks_keep_their_pace(world: World, jump: float) -> None:
    client = _connected(world, "jumped", 10 * HOUR)
    world.do(lambda: world.pass_time(10.0))
    before = client.seq
    world.wall_offset += jump
    world.do(lambda: world.pass_time(10.0))
    assert client.seq - before == 10.0 / TICK
    assert world.engine.statistics().ticks_skipped == 0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_crashed_source_comes_back_as_soon_as_without_it(world: World, jump: float) -> None:
    client = _connected(world, "jumped", 10 * HOUR)
    world.source.crashes = 1
    world.do(lambda: world.pass_time(TICK))
    assert client.last_status == {"scripted": "stale"}
    world.wall_offset += jump
    lives = world.source.lives
    world.do(lambda: world.pass_time(2.0))
    assert world.source.lives == lives + 1
    assert client.last_status == {"scripted": "live"}


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_no_price_goes_stale_by_it(world: World, jump: float) -> None:
    client = _connected(world, "jumped", 10 * HOUR)
    world.wall_offset += jump
    world.do(lambda: world.pass_time(20.0))
    assert client.last_status == {}
