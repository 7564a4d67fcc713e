"""Every worker tells the same past, also after the one that wrote it was killed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster, running
from tests.support.server import Server
from tests.support.waiting import wait_until

#: So many connections are spread over all workers.
QUESTIONS = 40


def told(server: Server, begin: int, end: int) -> Any:
    """Ask for a span of the past on many connections; the one answer that there is."""
    path = f"/history?symbols=BTC-USD,ETH-USD,SOL-USD&from={begin}&to={end}"
    headers = {"Authorization": f"Bearer {server.token()}"}
    answers = set()
    for _ in range(QUESTIONS):
        status, _, body = server.request("GET", path, headers=headers)
        assert status == 200, body
        answers.add(body)
    assert len(answers) == 1, sorted(answers)
    return json.loads(answers.pop())["bars"]


def whole_seconds(server: Server, count: int) -> tuple[int, int]:
    """Wait until there is a past of so many seconds; return it without the newest second."""
    begin = int(time.time()) * 1000 + 1000
    end = begin + count * 1000
    wait_until(lambda: time.time() * 1000 > end + 2000, "the time to pass", seconds=60)
    assert server.process.poll() is None
    return begin, end


def kill_feeder(cluster: Cluster) -> None:
    feeds, serves = len(cluster.server.events("feeding")), cluster.serving()
    cluster.signal(cluster.feeder(), signal.SIGKILL)
    wait_until(lambda: len(cluster.server.events("feeding")) > feeds, "another feeder", seconds=30)
    wait_until(lambda: cluster.serving() > serves, "another worker", seconds=60)


def test_all_workers_tell_the_same_past_with_a_failover_in_between(tmp_path: Path) -> None:
    with running(tmp_path / "data", 3) as cluster:
        begin, end = whole_seconds(cluster.server, 4)
        before = told(cluster.server, begin, end)
        assert [len(bars) for bars in before.values()] == [4, 4, 4]
        kill_feeder(cluster)
        # The new worker reads what it did not hear some seconds after it began.
        _, later = whole_seconds(cluster.server, 7)
        assert told(cluster.server, begin, end) == before
        after = told(cluster.server, begin, later)
        assert [bars[:4] for bars in after.values()] == list(before.values())
        assert all(len(bars) >= 10 for bars in after.values())
