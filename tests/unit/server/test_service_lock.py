"""The data directory belongs to one service: one process, or the workers of one parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from ticker.server.process import ServiceError
from ticker.server.service_lock import identity, locked, look_at, starting


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


def _link(path: Path) -> None:
    path.symlink_to("nowhere")


def _foreign(path: Path) -> None:
    if os.geteuid():
        pytest.skip("gives a file to another user")
    path.touch(0o600)
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (_link, "is a symbolic link"),
        (os.mkfifo, "is no plain file"),
        (Path.mkdir, "Is a directory"),
        (_foreign, r"belongs to another user \(uid 12345\)"),
    ],
    ids=["link", "pipe", "directory", "foreign"],
)
@pytest.mark.parametrize("name", ["server.lock", "start.lock", "limits.table"])
def test_what_others_may_have_put_in_the_place_of_a_file_is_one_line(
    tmp_path: Path, name: str, put: Callable[[Path], None], why: str
) -> None:
    put(tmp_path / name)
    with pytest.raises(ServiceError, match=why) as refused:
        look_at(tmp_path, [name])
    assert str(tmp_path / name) in str(refused.value)
    lock = {"server.lock": locked, "start.lock": starting}.get(name)
    if lock is not None:
        with pytest.raises(ServiceError, match=why), lock(tmp_path):
            pass
