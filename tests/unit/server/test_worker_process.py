"""A worker's process as its supervisor sees it, with a shell that says what a worker would."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from ticker import limits
from ticker.server.worker_process import WorkerProcess

SECONDS = 30
#: What each script begins with: `$life` and `$leash` are the ends of the worker's pipes.
HANDED = "IFS=:; set -- $TICKER_WORKER_HANDOVER; life=/dev/fd/$3 leash=/dev/fd/$4; "


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


async def started(script: str, listening: socket.socket) -> WorkerProcess:
    """Start a shell in a worker's place."""
    return await WorkerProcess.start(["/bin/sh", "-c", HANDED + script], 2, listening)


async def watched(worker: WorkerProcess, served: Callable[[], None] = lambda: None) -> int:
    """Wait for its end; returns its status."""
    with trio.fail_after(SECONDS):
        return await worker.watch(served)


async def test_a_worker_that_serves_says_so_once_and_ends_with_its_leash(
    listening: socket.socket,
) -> None:
    worker = await started("printf saaa >$life; cat $leash; exit 3", listening)
    served: list[WorkerProcess] = []

    def serves() -> None:
        served.append(worker)
        worker.retire()

    assert await watched(worker, serves) == 3
    assert served == [worker]


@pytest.mark.parametrize("succeeded", [True, False])
async def test_a_worker_is_told_whether_another_one_accepts_already(
    listening: socket.socket, tmp_path: Path, *, succeeded: bool
) -> None:
    heard = tmp_path / "heard"
    worker = await started(f"printf s >$life; cat $leash >{heard}", listening)
    assert await watched(worker, lambda: worker.retire(succeeded=succeeded)) == 0
    assert heard.read_bytes() == (b"r" if succeeded else b"")


async def test_a_worker_is_handed_its_number_and_its_socket(
    listening: socket.socket, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    worker = await started(f'echo "$1" "$(readlink /proc/self/fd/$2)" >{seen}', listening)
    assert await watched(worker) == 0
    inode = os.fstat(listening.fileno()).st_ino
    assert seen.read_text() == f"2 socket:[{inode}]\n"


async def test_a_worker_that_serves_and_falls_silent_is_killed(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WORKER_SILENT_SECONDS", 0.05)
    worker = await started("printf s >$life; exec sleep 1000", listening)
    assert await watched(worker) == -signal.SIGKILL


async def test_a_worker_that_never_serves_is_killed(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WORKER_START_SECONDS", 0.05)
    worker = await started("exec sleep 1000", listening)
    assert await watched(worker) == -signal.SIGKILL


async def test_a_worker_that_lets_go_of_its_pipe_and_goes_on_is_killed(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WORKER_REAP_SECONDS", 0.05)
    closing = "import os, time; os.closerange(3, 256); time.sleep(1000)"
    worker = await started(f"exec {sys.executable} -S -c '{closing}'", listening)
    assert await watched(worker) == -signal.SIGKILL


async def test_a_worker_ends_with_the_task_that_watches_it(listening: socket.socket) -> None:
    worker = await started("printf s >$life; exec sleep 1000", listening)
    with trio.CancelScope() as scope:
        await watched(worker, scope.cancel)
    assert scope.cancelled_caught
    worker.kill()  # which has gone, and harms no other process


async def test_a_worker_that_is_killed_from_outside_ends_with_the_signal(
    listening: socket.socket,
) -> None:
    worker = await started("printf s >$life; exec sleep 1000", listening)
    assert await watched(worker, worker.kill) == -signal.SIGKILL
