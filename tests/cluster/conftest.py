"""A bus and a database, for the machines of a test module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.nodes import Shared, share
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, redis: RedisServer, postgres: PostgresServer
) -> Shared:
    return share(tmp_path_factory.mktemp("machines"), redis.url, postgres)
