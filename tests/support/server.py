"""The whole program in a process of its own, on a free port, with a data directory of its own.

`started` runs it through either launch and waits until it listens. What it logs is read
along, one event a line, so that a test can wait for an event instead of for a time.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import trio

from tests.support.metrics import Samples, parse_metrics
from tests.support.waiting import wait_until

Launch = Literal["serve", "hypercorn"]
LAUNCHES: Final[tuple[Launch, ...]] = ("serve", "hypercorn")

#: A start takes about a second; the machine may be busy with other tests.
START_SECONDS: Final = 30.0
#: Hypercorn's own announcement, with the worker's process id.
_RUNNING: Final = re.compile(r"\[(\d+)\] \[INFO\] Running on (https?://\S+)")
#: Every test comes from one address, so limits by address are lifted unless a test sets them.
_ENVIRONMENT: Final = {
    "TICKER_LOG_FORMAT": "json",
    "TICKER_AUTH_RATE": "0",
    "TICKER_REFUSED_RATE": "0",
    "TICKER_HTTP_RATE": "0",
}


def script(name: str) -> str:
    """Return a command installed beside this Python, as in `ticker` or `hypercorn`."""
    return str(Path(sys.executable).with_name(name))


def command_of(launch: Launch, args: Sequence[str] = ()) -> list[str]:
    """Return the command of a launch on a free port of this machine."""
    if launch == "serve":
        return [script("ticker"), "serve", "--port", "0", *args]
    hypercorn = [script("hypercorn"), "--worker-class", "trio", "--bind", "127.0.0.1:0"]
    return [*hypercorn, *args, "ticker.asgi:app"]


def environment(data_dir: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment with no Ticker settings but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TICKER")}
    return {**inherited, **_ENVIRONMENT, "TICKER_DATA_DIR": str(data_dir), **(more or {})}


class Server:
    """A running program.

    Attributes:
        process: what was started; under Hypercorn its arbiter.
        pid: the process that serves; under Hypercorn its worker.
        url: as in `http://127.0.0.1:40123`.
        port: of the url.
        data_dir: its data directory.
        lines: everything it printed so far.
    """

    def __init__(self, process: subprocess.Popen[str], data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.pid = process.pid
        self.url = ""
        self.port = 0
        self.lines: list[str] = []
        self._token = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        """Everything it printed so far."""
        return "\n".join(self.lines)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what it logged under a name so far."""
        # Of thousands of lines only those are read that may be it: a test asks again and again.
        lines = (line for line in tuple(self.lines) if line.startswith("{") and name in line)
        return [event for event in map(json.loads, lines) if event.get("event") == name]

    def wait_event(self, name: str, *, count: int = 1, seconds: float = 10.0) -> dict[str, Any]:
        """Wait until it has logged an event so many times; return the last of those."""
        return wait_until(
            lambda: self.events(name)[count - 1 : count], f"event {name}", seconds=seconds
        )[0]

    def wait_listening(self, seconds: float = START_SECONDS) -> None:
        """Wait until it serves, and learn where."""

        def listening() -> tuple[str, int] | None:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.output}")
            for event in self.events("listening"):
                return event["url"], self.process.pid
            found = _RUNNING.search(self.output)
            return (found[2], int(found[1])) if found else None

        self.url, self.pid = wait_until(listening, "the program to listen", seconds=seconds)
        self.port = int(self.url.rpartition(":")[2])

    @property
    def ws_url(self) -> str:
        """The address of the stream."""
        return f"ws://127.0.0.1:{self.port}/ws/ticker"

    @property
    def api_key(self) -> str:
        """The demo key."""
        return (self.data_dir / "demo-api-key").read_text().strip()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one HTTP request on a connection of its own; status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {"Connection": "close", **(headers or {})})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return response.status, named, response.read()
        finally:
            connection.close()

    def new_token(self, api_key: str | None = None) -> str:
        """Exchange a key, the demo key by default, for a new token."""
        body = json.dumps({"api_key": api_key or self.api_key})
        status, _, answer = self.request("POST", "/auth/token", body=body)
        assert status == 200, answer
        token: str = json.loads(answer)["token"]
        return token

    def token(self) -> str:
        """Return a token of the demo key, the same one each time."""
        self._token = self._token or self.new_token()
        return self._token

    def metrics(self) -> Samples:
        """Scrape the metrics: values by name, with the labels as they are written."""
        status, _, text = self.request("GET", "/metrics")
        assert status == 200
        return parse_metrics(text.decode())

    def wait_metric(self, name: str, value: float, *, seconds: float = 10.0) -> None:
        """Wait until a metric has a value."""
        wait_until(
            lambda: self.metrics().get(name, 0.0) == value, f"{name} {value}", seconds=seconds
        )

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to what was started."""
        self.process.send_signal(number)

    def wait(self, seconds: float = 10.0) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 10.0) -> int:
        """End it with a signal and return its exit code."""
        self.send_signal(number)
        return self.wait(seconds)

    async def wait_async(self, seconds: float = 10.0) -> int:
        """Do as `wait` does, letting other tasks of the test run."""
        return await trio.to_thread.run_sync(self.wait, seconds)


@contextmanager
def started(
    launch: Launch,
    data_dir: Path,
    *,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    listen: bool = True,
) -> Iterator[Server]:
    """Run the program until the block is left.

    Args:
        launch: how to start it.
        data_dir: its data directory, which need not exist; settings files are looked for in
            its parent.
        args: options to add.
        env: `TICKER_*` settings to add.
        command: another command to run instead, as of a driver script.
        listen: whether to wait until it serves.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        command or command_of(launch, args),
        cwd=data_dir.parent,
        env=environment(data_dir, env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    server = Server(process, data_dir)
    try:
        if listen:
            server.wait_listening()
        yield server
    finally:
        _end(server)


def _end(server: Server) -> None:
    """End the program, and its worker should it outlive its arbiter."""
    process = server.process
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            if server.pid != process.pid:
                _kill(server.pid)
    server._reader.join(5)
    assert process.stdout is not None
    process.stdout.close()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def ticker(data_dir: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run another command of the program beside a server, on its data directory."""
    return subprocess.run(
        [script("ticker"), *args],
        cwd=data_dir.parent,
        env=environment(data_dir),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def create_key(server: Server, user: str, *args: str) -> str:
    """Make a key beside a running server and return it."""
    made = ticker(server.data_dir, "keys", "create", user, *args)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def key_id(api_key: str) -> str:
    """Return the public id of a key."""
    return api_key.split("_")[1]
