"""Starts one server of the comparison, waits until it listens, and ends it again.

Rules for this module: a server is known by its name alone; it gets a free port, a rate and a
token that it must check, and says which processes' CPU counts. Nothing here measures.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import build
from benchmarks.commands import COMMANDS, HOST, Command, Need, certificate_of, ticker_command

PATH: Final = "/ws/ticker"
HTTP_PATH: Final = "/stream"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Target:
    """A server that listens.

    Attributes:
        pids: the processes whose CPU and memory count.
    """

    port: int
    token: str = field(repr=False)
    pids: tuple[int, ...]
    tls: bool = False

    def rss(self) -> int:
        """Return the resident bytes of all its processes."""
        page = os.sysconf("SC_PAGESIZE")
        return sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) * page for p in self.pids)


@contextlib.contextmanager
def on_cpus(cpus: set[int] | None) -> Iterator[None]:
    """Start what is started in this block on these CPUs; None lets the system choose."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(
    name: str, need: Need, *, cpus: set[int] | None = None, helper_cpus: set[int] | None = None
) -> Iterator[Target]:
    """Run a server until the block is left.

    Args:
        name: `ticker`, `floor`, or a peer's.
        need: what the scenario asks for.
        cpus: where the server runs.
        helper_cpus: where a process runs whose CPU is not counted.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as home_name, contextlib.ExitStack() as stack:
        home = Path(home_name)
        token, env = _token()
        port = free_port()
        env |= {
            "BENCH_PORT": str(port),
            "BENCH_RATE": f"{need.rate:g}",
            "BENCH_SYMBOLS": str(need.symbols),
            "NODE_PATH": str(build.NODE_HOME / "node_modules"),
        }
        log = stack.enter_context((home / "log").open("w+", encoding="utf-8"))
        command: Command
        if name == "ticker":
            command, env = ticker_command(home, port, need)
        else:
            command = COMMANDS[name](home, port, token)
            if need.tls:
                env["BENCH_KEY"], env["BENCH_CERTIFICATE"] = map(str, certificate_of(home))
        with on_cpus(cpus):
            process = stack.enter_context(_process(command, env, log.fileno()))
        _wait_for_port(port, process, home / "log")
        if name == "ticker":
            token = ticker_token(home, port, tls=need.tls)
        if name == "nchan":
            publisher: Command = [build.PEER_PYTHON, "-m", "benchmarks.peers.nchan_publisher"]
            with on_cpus(helper_cpus):
                stack.enter_context(_process(publisher, env, log.fileno()))
        yield Target(port, token, _tree(process.pid), need.tls)
        if process.poll() is not None:
            raise RuntimeError(f"ended by itself: {_last_words(home / 'log')}")


def request(token: str) -> bytes:
    """Return the request for the stream, by the key of RFC 6455 §1.3."""
    lines = (
        f"GET {PATH} HTTP/1.1",
        f"Host: {HOST}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Authorization: Bearer {token}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ticker_token(home: Path, port: int, *, tls: bool) -> str:
    """Exchange the demo key of a Ticker that runs for a token."""
    import ssl  # noqa: PLC0415 - only here, and a second to load

    key_file = home / "data" / "demo-api-key"
    deadline = time.monotonic() + _START_SECONDS
    while not key_file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # Hypercorn's own command listens before the application has begun
    api_key = key_file.read_text().strip()
    request = urllib.request.Request(  # noqa: S310 - the scheme is ours
        f"{'https' if tls else 'http'}://{HOST}:{port}/auth/token",
        json.dumps({"api_key": api_key}).encode(),
        {"Content-Type": "application/json"},
    )
    trusting = ssl._create_unverified_context() if tls else None  # noqa: S323, SLF001 - made a moment ago
    with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:  # noqa: S310 - the same
        return str(json.load(answer)["token"])


def _token() -> tuple[str, dict[str, str]]:
    """Make a token as Ticker does, and the settings with which a peer can check it."""
    key, nonce = secrets.token_hex(32), secrets.token_bytes(32)
    parts = (nonce, hmac.digest(key.encode(), nonce, hashlib.sha256))
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    name = hashlib.sha256(nonce).hexdigest()[:32]
    return token, {"BENCH_TOKEN_KEY": key, "BENCH_TOKEN_IDS": name}


@contextlib.contextmanager
def _process(
    command: Command, env: Mapping[str, str], log: int
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=build.ROOT,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"does not listen: {_last_words(log)}")


def _last_words(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])[-500:]


def _tree(pid: int) -> tuple[int, ...]:
    """Return a process and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return tuple(found)
