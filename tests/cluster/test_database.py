"""PostgreSQL goes away and comes back; streams do not notice, and tokens are issued again."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.support.nodes import Shared
from tests.support.outages import check_paused, check_restarted
from tests.support.postgres_server import postgres_server
from tests.support.redis_server import RedisServer


@pytest.mark.slow
async def test_a_database_that_was_away_is_used_within_a_second(
    tmp_path: Path, redis: RedisServer
) -> None:
    with postgres_server() as postgres:
        shared = Shared(tmp_path, redis.url, postgres.url())
        with shared.machine("one") as server:
            key = await trio.to_thread.run_sync(shared.new_key)
            for _ in range(3):
                assert await check_restarted(postgres, server, key) <= 1.0
                assert await check_paused(postgres, server, key) <= 1.0
