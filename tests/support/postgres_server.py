"""A real PostgreSQL server on a free port of this machine, with a database for each test."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.support.programs import needed
from tests.support.waiting import wait_until

_USER: Final = "ticker"
_PASSWORD: Final = "s3cret/pa:ss"
#: Debian puts the programs of each version into a folder of its own.
_BINARIES: Final = "/usr/lib/postgresql/*/bin"
#: A crash of this machine is no subject of a test; a second saved is.
_OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "16MB",
}


class PostgresServer:
    """A server that can be paused, stopped and started again.

    Attributes:
        port: where it listens.
    """

    def __init__(self, folder: Path) -> None:
        self._initdb = needed("initdb", _BINARIES)
        self._postgres = needed("postgres", _BINARIES)
        self._folder = folder / "data"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Return the address of one of its databases, as in `TICKER_DATABASE_URL`.

        Args:
            database: its name.
            port: of something between it and who asks.
        """
        password = _PASSWORD.replace("/", "%2F").replace(":", "%3A")
        return f"postgresql+psycopg://{_USER}:{password}@127.0.0.1:{port or self.port}/{database}"

    def make(self) -> None:
        """Make its files."""
        words = self._folder.with_name("password")
        words.write_text(_PASSWORD)
        subprocess.run(
            [
                *(self._initdb, "-D", str(self._folder), "-U", _USER, "--pwfile", str(words)),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd="/",
            **_as_user(),
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._postgres, "-D", str(self._folder), "-p", str(self.port), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                process_group=0,
                **_as_user(),
            )
        wait_until(self._answers, f"PostgreSQL on {self.port}", seconds=30)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), self.connect():
            return True
        return False

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Connect to one of its databases."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=_USER,
            password=_PASSWORD,
            autocommit=True,
        )

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def pause(self) -> None:
        """Stop all of its processes where they stand."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        # What serves a connection is in a process group of its own.
        for child in _children(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, number)
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """End it at once, and with it every connection; what was committed stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None


def _children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def _as_user() -> dict[str, Any]:
    """Return as whom to run it: it refuses root."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server until the block is left."""
    folder = Path(tempfile.mkdtemp(prefix="ticker-postgres-"))
    try:
        server = PostgresServer(folder)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
