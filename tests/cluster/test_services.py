"""Several workers as one service: how it starts, fails and answers, under either launch."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest
import trio

from tests.support import raw
from tests.support.cluster import START_SECONDS, Cluster, running
from tests.support.figures import tell
from tests.support.server import create_key, key_id, started, ticker
from tests.support.waiting import eventually, wait_until
from ticker.protocol.close_codes import CloseCode

STREAMS = 9


def shown(cluster_data: Path) -> list[dict[str, object]]:
    """Return what `ticker cluster` says of the workers."""
    found = ticker(cluster_data, "cluster", "--json")
    if found.returncode:
        return []
    workers: list[dict[str, object]] = json.loads(found.stdout)["workers"]
    return workers


async def test_a_service_of_workers_answers_alike_and_ends_a_revoked_keys_streams(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "data", 3) as cluster:
        server = cluster.server
        key = await trio.to_thread.run_sync(create_key, server, "alice")
        token = await trio.to_thread.run_sync(server.new_token, key)
        codes: list[int] = []
        opened = 0

        async def hold() -> None:
            nonlocal opened
            async with raw.opened(server, token) as stream:
                opened += 1
                codes.append(await stream.closed(START_SECONDS))

        with trio.fail_after(START_SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(STREAMS):
                    nursery.start_soon(hold)
                await eventually(lambda: opened == STREAMS, "streams", seconds=START_SECONDS)
                check_answers(cluster)
                await trio.to_thread.run_sync(
                    ticker, server.data_dir, "keys", "revoke", key_id(key)
                )
                revoked = trio.current_time()
        took = trio.current_time() - revoked
        tell(f"a key revoked: {STREAMS} streams on three workers ended after {took:.2f} s")
        assert codes == [CloseCode.UNAUTHENTICATED] * STREAMS
        assert took < 10
    assert server.process.returncode == 0
    named = [json.loads(line) for line in server.lines if '"event":"stream_opened"' in line]
    assert {event["worker"] for event in named} <= {1, 2, 3}


def check_answers(cluster: Cluster) -> None:
    """Check that it makes no difference which worker is asked."""
    workers = shown(cluster.server.data_dir)
    assert [worker["worker"] for worker in workers] == ["1", "2", "3"]
    assert sorted(str(worker["role"]) for worker in workers) == ["feeds", "follows", "follows"]
    assert len({worker["epoch"] for worker in workers}) == 1
    assert sum(int(str(worker["subscribers"])) for worker in workers) == STREAMS
    metrics = cluster.server.metrics()
    assert sum(metrics[f'ticker_streams_open{{worker="{n}"}}'] for n in (1, 2, 3)) == STREAMS
    table = ticker(cluster.server.data_dir, "cluster").stdout
    assert table.split()[:4] == ["WORKER", "PID", "STATE", "TERM"]
    for _ in range(6):
        assert cluster.server.request("GET", "/readyz")[0] == 200


def test_a_worker_that_cannot_start_ends_the_service(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = {"TICKER_METRICS": f"127.0.0.1:{taken.getsockname()[1]}"}
        with started(
            "serve", tmp_path / "data", args=["--workers", "2"], env=env, listen=False
        ) as server:
            assert server.wait(START_SECONDS) == 1
    faults = [line for line in server.lines if line.startswith("ticker: ")]
    assert faults
    assert all("TICKER_METRICS" in fault for fault in faults)
    assert "Traceback" not in server.output


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"TICKER_WORKERS": "0"}, "TICKER_WORKERS=0: expected 1 to 64"),
        ({"TICKER_WORKERS": "2", "TICKER_TOKEN_STORE": "memory"}, "token_store"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(
    tmp_path: Path, env: dict[str, str], text: str
) -> None:
    with started("serve", tmp_path / "data", env=env, listen=False) as server:
        assert server.wait(START_SECONDS) == 2
    assert text in server.output.replace("'", "")


def test_a_second_service_over_one_directory_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data", 2):
        for args in (["--workers", "2"], []):
            with started("serve", tmp_path / "data", args=args, listen=False) as second:
                assert second.wait(START_SECONDS) == 1
                assert "another Ticker serves" in second.output
        assert len(shown(tmp_path / "data")) == 2


def test_hypercorns_own_workers_share_one_market(tmp_path: Path) -> None:
    args, env = ["--workers", "2"], {"TICKER_WORKERS": "3"}
    with started("hypercorn", tmp_path / "data", args=args, env=env, listen=False) as server:
        server.wait_listening(START_SECONDS)
        workers = wait_until(
            lambda: found if len(found := shown(tmp_path / "data")) == 2 else None,
            "both workers",
            seconds=START_SECONDS,
        )
        assert sorted(str(worker["role"]) for worker in workers) == ["feeds", "follows"]
        assert len({worker["epoch"] for worker in workers}) == 1
        assert server.events("workers_ignored")[0]["workers"] == 3
        for worker in workers:
            os.kill(int(str(worker["pid"])), 0)
        assert server.stop(signal.SIGTERM, seconds=30) == 0
