"""Limits hold exactly across processes, and a dead worker holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ticker import limits
from ticker.cluster.shared_table import SharedTable
from ticker.places import LimitReachedError
from ticker.rate_limit import Rate

#: A worker that takes places of its own and of all until there are none, says how many, and waits.
WORKER = """
import sys
from pathlib import Path
from ticker.cluster.shared_table import SharedTable
from ticker.places import LimitReachedError
table = SharedTable(Path(sys.argv[1]))
taken = 0
sys.stdin.readline()
try:
    while True:
        table.take(["all", f"mine {table.column} {taken}"], [1000, 0])
        taken += 1
except LimitReachedError:
    print(taken, table.contended, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits"


@pytest.fixture
def table(path: Path) -> Iterator[SharedTable]:
    with SharedTable(path) as opened:
        yield opened


def worker(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_place_is_taken_for_every_subject_or_for_none(table: SharedTable) -> None:
    table.take(["all", "a"], [2, 1])
    with pytest.raises(LimitReachedError) as reached:
        table.take(["all", "a"], [2, 1])
    assert reached.value.place == 1
    assert table.count("all") == 1
    table.give_back(["all", "a"])
    assert (table.count("all"), table.count("a")) == (0, 0)


def test_a_limit_of_zero_is_none(table: SharedTable) -> None:
    for _ in range(50):
        table.take(["all"], [0])
    assert table.count("all") == 50


def test_four_workers_admit_exactly_a_thousand_and_the_dead_ones_places_are_free(
    path: Path, table: SharedTable
) -> None:
    workers = [worker(path) for _ in range(4)]
    try:
        for each in workers:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        answers = [each.stdout.readline().split() for each in workers if each.stdout is not None]
        # where the lock could not be had in time, one too few may be in, never one too many
        contended = sum(int(times) for _, times in answers)
        admitted = sum(int(taken) for taken, _ in answers)
        assert 1000 - contended <= admitted <= 1000
        assert table.count("all") == admitted
        victim = workers[1]
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert table.reclaim() == 1
        assert table.count("all") == admitted - int(answers[1][0])
        assert table.reclaim() == 0
    finally:
        for each in workers:
            each.kill()
            each.communicate()


def test_a_worker_that_is_stopped_while_it_changes_the_table_stops_no_other(
    path: Path, table: SharedTable
) -> None:
    with SharedTable(path) as stopped, stopped._changing():
        began = time.monotonic()
        table.take(["all"], [1])
        assert time.monotonic() - began < 1
    assert table.contended == 1
    assert table.count("all") == 1


@pytest.mark.parametrize("moment", ["before the sum", "after the sum"])
def test_two_that_take_the_last_place_without_the_lock_do_not_both_have_it(
    path: Path, table: SharedTable, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with SharedTable(path) as stopped, SharedTable(path) as other, stopped._changing():
        admitted = 0

        def take_too(row: int) -> int:
            nonlocal admitted
            seen = total(row)
            with suppress(LimitReachedError):
                other.take(["all"], [1])
                admitted += 1
            return seen if moment == "after the sum" else total(row)

        total = table._total
        table.take(["all"], [0])  # a row is there
        table.give_back(["all"])
        monkeypatch.setattr(table, "_total", take_too)
        with suppress(LimitReachedError):
            table.take(["all"], [1])
            admitted += 1
        assert admitted <= 1
        assert other.count("all") == admitted


def test_a_rate_is_one_for_all_workers(path: Path, table: SharedTable) -> None:
    limit = Rate(3, 60.0)
    with SharedTable(path) as other:
        assert [t.admit("::1", limit, 100.0) for t in (table, other, table)] == [0.0] * 3
        assert other.admit("::1", limit, 100.0) == pytest.approx(20.0)
        assert other.wait("::1", limit, 100.0) == pytest.approx(20.0)
        assert other.admit("::2", limit, 100.0) == 0.0
        assert table.admit("::1", limit, 121.0) == 0.0


def test_more_subjects_than_rows_forget_the_quietest_first(table: SharedTable) -> None:
    limit = Rate(1, 1e6)
    for number in range(2 * limits.SHARED_RATES // 16):
        table.admit(f"address {number}", limit, float(number + 1))
    assert table.wait(f"address {number}", limit, float(number + 1)) > 0


def test_no_subject_is_in_the_file_in_the_clear(path: Path, table: SharedTable) -> None:
    table.take(["203.0.113.77"], [0])
    assert b"203.0.113.77" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "limits").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        SharedTable(tmp_path / "limits")
    assert victim.read_bytes() == b"precious"
