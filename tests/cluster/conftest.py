"""A bus and a database, for the machines of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import Shared, share
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def shared(tmp_path: Path, redis: RedisServer, postgres: PostgresServer) -> Shared:
    return share(tmp_path, redis.url, postgres)
