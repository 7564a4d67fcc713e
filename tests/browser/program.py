"""The real program, started, killed and managed as an operator would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import attrs

START_SECONDS = 60  # a second on an idle machine
STOP_SECONDS = 10


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@attrs.define
class Program:
    """`ticker serve` on one port and one data directory, through all its restarts."""

    directory: Path
    settings: dict[str, str] = attrs.field(factory=dict)
    port: int = attrs.field(factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def demo_key(self) -> str:
        return (self.directory / "demo-api-key").read_text("utf-8").strip()

    def _environment(self) -> dict[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("TICKER_")}
        return {
            **ours,
            "TICKER_DATA_DIR": str(self.directory),
            "TICKER_AUTH_RATE": "0",
            "TICKER_REFUSED_RATE": "0",
            **self.settings,
        }

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "ticker", "serve", "--port", str(self.port)]

    def start(self) -> None:
        log = (self.directory / "serve.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        try:
            self.wait()
        except RuntimeError:
            self.stop(signal.SIGKILL)
            raise

    def wait(self) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError((self.directory / "serve.log").read_text("utf-8"))

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/healthz", timeout=1) as response:  # noqa: S310 - our own URL
                return bool(response.status == 200)
        except (URLError, OSError):
            return False

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the running server."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server and wait until it is gone; nothing to do where it does not run."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.send_signal(signal.SIGCONT)  # a test may have frozen it
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ticker(self, *arguments: str) -> str:
        """Run a management command on the data that the server uses; return its stdout."""
        return subprocess.run(
            [sys.executable, "-m", "ticker", *arguments],
            env=self._environment(),
            cwd=self.directory,
            check=True,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        ).stdout.strip()

    def create_key(self) -> str:
        return self.ticker("keys", "create", "alice")

    def revoke_key(self, api_key: str) -> None:
        self.ticker("keys", "revoke", api_key.split("_")[1])
