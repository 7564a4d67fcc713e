"""How the process ends where it fails, is killed, or is asked to: what a service manager sees."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.raw import ask, handshake, opened
from tests.support.server import Server, command_of, environment, script, started
from tests.support.waiting import wait_until

#: A process is the first of a namespace of its own, as in a container.
UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def _namespaces() -> bool:
    return shutil.which("unshare") is not None and (
        subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    )


#: How Hypercorn's command ends where its worker failed: by a signal, or, where it is the first
#: process and so deaf to it, by an error of its own.
PLACES = [
    pytest.param([], -signal.SIGUSR1, id="usual"),
    pytest.param(
        UNSHARE,
        1,
        id="first process",
        marks=pytest.mark.skipif(not _namespaces(), reason="no namespaces here"),
    ),
]


def descendants(pid: int) -> Iterator[int]:
    """Find the processes below one, from the top down."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from descendants(child)


def worker_of(command: int) -> int:
    """Find the worker of Hypercorn's command, whose first child is its watcher."""
    for pid in descendants(command):
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("there is no worker")


@pytest.mark.parametrize(("within", "code"), PLACES)
def test_a_refused_start_is_seen(tmp_path: Path, within: list[str], code: int) -> None:
    command = [*within, *command_of("hypercorn")]
    with (
        started("serve", tmp_path / "data"),
        started("hypercorn", tmp_path / "data", command=command, listen=False) as second,
    ):
        assert second.wait(60) == code, second.output
    assert "another Ticker serves from" in second.output


@pytest.mark.parametrize(("within", "code"), PLACES)
def test_a_worker_that_is_killed_from_outside_is_seen(
    tmp_path: Path, within: list[str], code: int
) -> None:
    command = [*within, *command_of("hypercorn")]
    with started("hypercorn", tmp_path / "data", command=command) as server:
        os.kill(worker_of(server.process.pid), signal.SIGKILL)
        assert server.wait(60) == code, server.output


@contextmanager
def held_back(command: int) -> Iterator[None]:
    """Keep a process from running, ready as it may be, until the block is left.

    A stop would not do: it interrupts the poll(2) that the race is about. Here the processor is
    taken by a process that goes first, as on a busy machine.
    """
    processor = {min(os.sched_getaffinity(command))}
    os.sched_setaffinity(command, processor)
    busy_loop = [sys.executable, "-uc", "print()\nwhile True: pass"]
    with subprocess.Popen(busy_loop, stdout=subprocess.PIPE) as busy:
        try:
            os.sched_setaffinity(busy.pid, processor)
            os.sched_setscheduler(busy.pid, os.SCHED_FIFO, os.sched_param(1))
            assert busy.stdout is not None
            busy.stdout.readline()  # it runs
            yield
        finally:
            busy.kill()


def has_acted(command: int, watcher: int) -> bool:
    """Whether a watcher has done all it does: it has ended, or waits for the command's end."""
    limits = Path(f"/proc/{command}/limits").read_text()
    state = Path(f"/proc/{watcher}/stat").read_text().rpartition(")")[2].split()[0]
    return re.search(r"Max open files\s+0 ", limits) is not None and state in {"S", "Z"}


#: What a worker is doing when it is killed.
STEPS: dict[str, Callable[[Server], bool]] = {
    "starting": lambda server: (server.data_dir / "server.lock").exists(),
    "serving": lambda server: "Running on" in server.output,
    "draining": lambda server: "Running on" in server.output,
}


@pytest.mark.skipif(not _namespaces(), reason="no namespaces here")
@pytest.mark.parametrize("step", STEPS)
def test_a_first_process_that_runs_late_still_ends_with_a_failure(
    tmp_path: Path, step: str
) -> None:
    within = [*UNSHARE, *command_of("hypercorn")]
    with (
        started("hypercorn", tmp_path / "data", command=within, listen=False) as server,
        socket.socket() as stream,
    ):
        wait_until(lambda: STEPS[step](server), step, seconds=60)
        command = next(descendants(server.process.pid))
        worker = worker_of(command)
        if step == "draining":  # for a while: this stream answers nothing
            server.wait_listening()
            stream.connect(("127.0.0.1", server.port))
            stream.sendall(handshake(server, server.token()))
            server.wait_metric("ticker_streams_open", 1)
            os.kill(command, signal.SIGTERM)
            server.wait_event("draining")
        watcher = next(descendants(worker))
        with held_back(command):
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: has_acted(command, watcher), "the watcher to act", seconds=60)
        assert server.wait(60) == 1, server.output


def test_an_end_that_was_asked_for_leaves_no_watcher(tmp_path: Path) -> None:
    with started("hypercorn", tmp_path / "data") as server:
        below = list(descendants(server.process.pid))
        assert server.stop() == 0
        wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), "all to be gone"
        )


async def test_serve_drains_on_sighup(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        async with opened(server) as stream:
            await stream.until("ticker")
            server.send_signal(signal.SIGHUP)
            assert (await stream.until("closing"))["code"] == 1012
        assert await server.wait_async(20) == 0


def loads(library: str) -> Callable[[int, Path], bool]:
    """Say whether a process has loaded a part of Python's library."""
    return lambda pid, _data: library in Path(f"/proc/{pid}/maps").read_text()


#: Moments of a start, as they can be seen from outside.
MOMENTS: dict[str, Callable[[int, Path], bool]] = {
    "importing click": loads("_struct"),
    "importing TLS": loads("_ssl"),
    "importing the database": loads("_sqlite3"),
    "locking": lambda _pid, data: (data / "server.lock").exists(),
    "opening the database": lambda _pid, data: (data / "auth.db").exists(),
    "making the demo key": lambda _pid, data: (data / "demo-api-key").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_during_the_start_ends_it_quietly(tmp_path: Path, moment: str) -> None:
    data = tmp_path / "data"
    with started("serve", data, listen=False) as server:
        wait_until(lambda: MOMENTS[moment](server.process.pid, data), moment, seconds=60)
        if server.events("listening"):
            pytest.skip("it was too quick")
        server.send_signal(signal.SIGINT)
        # It may have begun to listen since, and then ends with a drain.
        assert server.wait(60) in ({0, 130} if server.events("listening") else {130})
    assert "Traceback" not in server.output
    assert "KeyboardInterrupt" not in server.output


def test_hypercorn_without_trio_gets_one_clear_line(tmp_path: Path) -> None:
    command = [script("hypercorn"), "--bind", "127.0.0.1:0", "ticker.asgi:app"]
    with started("hypercorn", tmp_path / "data", command=command, listen=False) as server:
        assert server.wait(60) != 0
    assert "Traceback" not in server.output
    lines = [line for line in server.lines if line.startswith("ticker: ")]
    # Nor does Python's tracker of semaphores add a word.
    assert lines == server.output.splitlines()
    assert len(lines) == 1
    assert "--worker-class trio" in lines[0]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--quic-bind", "127.0.0.1:0"], "HTTP/3 is not served"),
        (["--certfile", "absent.pem", "--keyfile", "absent.pem"], "TLS cannot be set up"),
    ],
    ids=["quic", "certificate"],
)
def test_what_cannot_be_served_is_refused_before_anything_is_made(
    tmp_path: Path, args: list[str], text: str
) -> None:
    with started("hypercorn", tmp_path / "data", args=args, listen=False) as server:
        assert server.wait(60) != 0
    assert text in server.wait_event("start_refused")["error"]
    assert "Traceback" not in server.output
    assert not (tmp_path / "data").exists()


def answers(server: Server) -> bool:
    """Whether a server answers now; another worker may be taking over."""
    try:
        return server.request("GET", "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_bound_on_requests_replaces_the_worker(tmp_path: Path) -> None:
    with started("hypercorn", tmp_path / "data", args=["--max-requests", "3"]) as server:
        for _ in range(4):
            assert server.request("GET", "/healthz")[0] == 200
        wait_until(lambda: server.output.count("Running on") == 2, "the next worker", seconds=60)
        wait_until(lambda: answers(server), "its answer")
        assert server.stop() == 0


def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    hypercorn = [script("hypercorn"), "--worker-class", "trio", "--bind", f"unix:{path}"]
    with started(
        "hypercorn", tmp_path / "data", command=[*hypercorn, "ticker.asgi:app"], listen=False
    ) as server:
        wait_until(lambda: "Running on" in server.output, "the program to listen", seconds=60)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_an_inherited_descriptor_is_served(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        bind = ["--bind", f"fd://{number}"]
        hypercorn = [script("hypercorn"), "--worker-class", "trio", *bind, "ticker.asgi:app"]
        process = subprocess.Popen(
            hypercorn,
            cwd=tmp_path,
            env=environment(tmp_path / "data"),
            pass_fds=[number],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        server = Server(process, tmp_path / "data")
        try:
            server.wait_listening()
            assert server.request("GET", "/healthz")[0] == 200
            assert server.stop() == 0
        finally:
            process.kill()
            process.wait()
            server._reader.join(5)
            assert process.stdout is not None
            process.stdout.close()


async def test_an_absolute_target_is_served_as_the_path_in_it(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        target = f"http://127.0.0.1:{server.port}/ws/ticker"
        request = handshake(server, server.token(), path=target)
        assert (await ask(server, request)).status == 101
