"""Whatever becomes of the log, the service does the same as ever, under both launches."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import pytest

from tests.support.raw import ask, handshake, opened
from tests.support.sabotage import APPLICATION, ENVIRONMENT, SERVE, break_part
from tests.support.server import (
    LAUNCHES,
    START_SECONDS,
    Launch,
    Server,
    command_of,
    environment,
    started,
)
from tests.support.waiting import eventually, wait_until

#: How the log is ill: what a shell does to both outputs before the program starts.
_REDIRECTIONS: Final = {
    "closed": ">&- 2>&-",
    "disk-full": ">/dev/full 2>/dev/full",
    "reader-gone": "",
    "never-read": "",
    "error-closed": "2>&-",
    "all-closed": "<&- >&- 2>&-",
}
#: Those of which all that a start does is tried.
_ALL: Final = ("closed", "disk-full", "reader-gone", "never-read")


class _Silent(Server):
    """A program of which nothing can be read."""

    def __init__(self, process: subprocess.Popen[str], data_dir: Path, port: int) -> None:
        self.process = process
        self.data_dir = data_dir
        self.pid = process.pid
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.lines = []
        self._token = ""

    def serves(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}"
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def wait(self, seconds: float = 10.0) -> int:
        return self.process.wait(seconds)


def _command(launch: Launch, *, access_log: bool = True) -> list[str]:
    """Return the command of a launch on a port that is free now, and can be broken on demand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    if launch == "serve":
        return [*SERVE[:-1], str(port)]
    command = command_of("hypercorn", ["--access-logfile", "-"] if access_log else [])
    command[command.index("--bind") + 1] = f"127.0.0.1:{port}"
    return [*command[:-1], APPLICATION]


@contextmanager
def ill(
    launch: Launch, data_dir: Path, how: str, *, access_log: bool = True, workers: int = 1
) -> Iterator[Server]:
    """Run the program with a log that cannot be written, or not for long."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    command = _command(launch, access_log=access_log)
    reader, end = os.pipe()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {_REDIRECTIONS[how]}', "sh", *command],
        cwd=data_dir.parent,
        env=environment(data_dir, ENVIRONMENT | {"TICKER_WORKERS": str(workers)}),
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=end,
        text=True,
    )
    os.close(end)
    if how == "reader-gone":
        os.close(reader)
    port = next(word for word in reversed(command) if word.rpartition(":")[2].isdigit())
    server = _Silent(process, data_dir, int(port.rpartition(":")[2]))
    try:
        wait_until(server.serves, "the program to serve", seconds=3 * START_SECONDS)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if how != "reader-gone":
            os.close(reader)


@pytest.mark.parametrize("how", ["error-closed", "all-closed"])
@pytest.mark.parametrize(("launch", "workers"), [("serve", 1), ("serve", 2), ("hypercorn", 1)])
def test_each_line_for_a_standard_error_that_was_closed_is_counted(
    launch: Launch, workers: int, how: str, tmp_path: Path
) -> None:
    with ill(launch, tmp_path / "data", how, access_log=False, workers=workers) as server:
        assert server.new_token()

        def counted() -> list[float]:
            # Of a single worker under Hypercorn, whose process may be one of several, a label too.
            found = server.metrics().items()
            return [value for name, value in found if name.startswith("ticker_log_dropped_total")]

        wait_until(lambda: len(counted()) == workers and all(counted()), "lines dropped")


@pytest.mark.parametrize("how", _ALL)
@pytest.mark.parametrize("launch", LAUNCHES)
async def test_a_log_that_cannot_be_written_changes_nothing(
    launch: Launch, how: str, tmp_path: Path
) -> None:
    with ill(launch, tmp_path / "data", how) as server:
        async with opened(server) as stream:
            await stream.until("ticker")
            # Of each a line: some of them more than a pipe holds.
            for _ in range(700 if how == "never-read" else 20):
                async with opened(server) as other:
                    await other.until("ticker")
            for _ in range(20):
                refused = await ask(server, handshake(server, "nonsense"))
                assert refused.status == 401
            body = '{"api_key": "x"}'
            assert server.request("POST", "/auth/token", body=body)[0] == 401
            assert server.new_token()
            break_part(server, "source")
            await stream.until("status", state="stale")
            await stream.until("status", state="live")
            await stream.until("ticker")
            if how != "never-read":
                await eventually(
                    lambda: server.metrics()["ticker_log_dropped_total"] > 0, "lines dropped"
                )
            server.send_signal(signal.SIGTERM)
            await stream.until("closing")
            assert await stream.closed() == 1012
        assert await server.wait_async(5) == 0


@pytest.mark.parametrize("how", ["disk-full", "never-read"])
@pytest.mark.parametrize("launch", LAUNCHES)
async def test_a_log_that_cannot_be_written_hides_no_failure_of_the_engine(
    launch: Launch, how: str, tmp_path: Path
) -> None:
    with ill(launch, tmp_path / "data", how) as server:
        break_part(server, "engine")
        assert await server.wait_async(10) != 0


async def test_no_client_writes_a_line_of_its_own_into_the_access_log(tmp_path: Path) -> None:
    line = '{"event":"made_up"}'
    args = ["--access-logfile", "-"]
    with started("hypercorn", tmp_path / "data", args=args) as server:
        for target, fields, status in (
            (f"/%0a{quote(line)}", "", 200),
            (f"/%0d%0a{quote(line)}", "", 200),
            ("/%1b[31m", "", 200),
            ("/%c2%9b31m", "", 200),
            ("/%e2%80%ae", "", 200),
            ('/a" 200 - "b', "", 400),
            ('/a"200-"b', "", 200),
            ("/healthz", "User-Agent: a\x1b[31m\r\n", 400),
            ("/healthz", "Referer: a\x07\r\n", 400),
            ("/healthz", "User-Agent: \x9b31m\r\n", 200),
            ("/healthz", 'User-Agent: a" 200 - "b\r\n', 200),
            ("/healthz", "User-Agent: a\tb\r\n", 200),
            ("/%c3%a9", "", 200),
        ):
            request = f"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"
            assert (await ask(server, request.encode("latin-1"))).status == status
        wait_until(lambda: "/%C3%A9" in server.output or "/é" in server.output, "the last line")
        assert line not in server.lines
        shown = [each for each in server.lines if "GET /" in each]
        assert len(shown) >= 4
        assert all(each.replace("\t", " ").isprintable() for each in server.lines)
        assert all(each.count('"') == 6 for each in shown)
