"""The data directory belongs to one service: one process, or the workers of one parent."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from ticker.server.process import ServiceError
from ticker.server.service_lock import identity, locked


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (None, None, False),
        (None, "a", False),
        ("a", None, False),
        ("a", "b", False),
        ("a", "a", True),
    ],
)
def test_only_workers_of_one_service_share_it(
    tmp_path: Path, first: str | None, second: str | None, *, fits: bool
) -> None:
    with ExitStack() as held:
        held.enter_context(locked(tmp_path, first))
        if fits:
            held.enter_context(locked(tmp_path, second))
            return
        with pytest.raises(ServiceError, match="another Ticker serves"):
            held.enter_context(locked(tmp_path, second))


def test_the_next_service_has_it_once_the_last_worker_has_ended(tmp_path: Path) -> None:
    with locked(tmp_path, "a service with a long name"):
        pass
    with locked(tmp_path, "b"), locked(tmp_path, "b"):
        pass
    with locked(tmp_path):
        pass


def test_a_process_is_told_from_another_one_of_its_number() -> None:
    number, begun, namespace = identity(os.getpid()).split(" ", 2)
    assert (int(number), begun.isdigit(), namespace[:4]) == (os.getpid(), True, "pid:")
    assert identity(os.getpid()) != identity(os.getppid())
