"""Outages of PostgreSQL under a running machine, and what its clients notice of them."""

from __future__ import annotations

import json

import trio

from tests.support.figures import tell
from tests.support.nodes import SLACK, watched
from tests.support.postgres_server import PostgresServer
from tests.support.server import Server


def request_token(server: Server, key: str) -> int:
    """Ask for a token and return the status."""
    status, _, body = server.request("POST", "/auth/token", body=json.dumps({"api_key": key}))
    if status == 503:
        assert json.loads(body) == {"error": "database unavailable"}
    return status


async def status_of(server: Server, key: str) -> int:
    """Do the same while other tasks run."""
    return await trio.to_thread.run_sync(request_token, server, key)


async def recovery(server: Server, key: str) -> float:
    """Ask until a token is issued; return how long that took."""
    back = trio.current_time()
    while await status_of(server, key) != 200:
        assert trio.current_time() - back < 2 * SLACK
        await trio.sleep(0.05)
    return trio.current_time() - back


async def check_restarted(postgres: PostgresServer, server: Server, key: str) -> float:
    """Stop PostgreSQL and start it again."""
    async with watched([server], key) as (witness,):
        stopped = trio.current_time()
        postgres.stop()
        assert await status_of(server, key) == 503
        await witness.goes_on()
        await trio.to_thread.run_sync(postgres.start)
        took = await recovery(server, key)
        silence = witness.silence(stopped)
        tell(
            f"PostgreSQL restarted: a token {took:.2f} s after it is back, silence {silence:.2f} s"
        )
        assert witness.closed is None
        return took


async def check_paused(postgres: PostgresServer, server: Server, key: str) -> float:
    """Pause PostgreSQL until a token request is refused, and for some of the time after it."""
    async with watched([server], key) as (witness,):
        paused = trio.current_time()
        postgres.pause()
        try:
            assert await status_of(server, key) == 503
            assert await status_of(server, key) == 503
            await witness.goes_on()
        finally:
            postgres.go_on()
        took = await recovery(server, key)
        silence = witness.silence(paused)
        tell(f"PostgreSQL paused: a token {took:.2f} s after it is back, silence {silence:.2f} s")
        assert witness.closed is None
        return took
