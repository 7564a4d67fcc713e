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
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import build, market

Command = Sequence[str | Path]
HOST: Final = "127.0.0.1"
PATH: Final = "/ws/ticker"
HTTP_PATH: Final = "/stream"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Need:
    """What a scenario asks of a server.

    Attributes:
        rate: ticks a second.
        symbols: how many in a tick; 3 is the default of every server.
        env: more settings for Ticker.
        tls: serve with Hypercorn's own TLS.
        changing: how many of the symbols change in a tick, of Ticker alone; 0 for all of them.
    """

    rate: float
    symbols: int = 3
    env: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    changing: int = 0


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
            command = _COMMANDS[name](home, port, token)
            if need.tls:
                env["BENCH_KEY"], env["BENCH_CERTIFICATE"] = map(str, _certificate(home))
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


def _python(module: str) -> Callable[[Path, int, str], Command]:
    return lambda _home, _port, _token: [build.PEER_PYTHON, "-m", f"benchmarks.{module}"]


def _native(name: str) -> Callable[[Path, int, str], Command]:
    return lambda _home, _port, _token: [build.BUILD / name]


def _senders(way: str) -> Callable[[Path, int, str], Command]:
    return lambda _home, _port, _token: [
        sys.executable,
        "-m",
        "benchmarks.experiments.senders",
        way,
    ]


def _nchan(home: Path, port: int, token: str) -> Command:
    program, modules = build.nginx()
    text = (build.HERE / "peers" / "nchan.conf").read_text()
    for name, value in {
        "MODULES": modules,
        "HOME": home,
        "PORT": port,
        "TOKEN": token,
    }.items():
        text = text.replace(f"@{name}@", str(value))
    config = home / "nginx.conf"
    config.write_text(text)
    command: Command = [program, "-p", home, "-e", "stderr", "-c", config]
    if build.NGINX_HOME not in program.parents:
        return command
    # nginx insists on the folder that its package would have made: give it one of its own,
    # in a mount namespace, rather than touch the system's.
    private = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    prepare = 'mount -t tmpfs none /var/lib && mkdir /var/lib/nginx && exec "$@"'
    return [*private, "sh", "-c", prepare, "sh", *command]


_COMMANDS: Final[Mapping[str, Callable[[Path, int, str], Command]]] = {
    "floor": _native("floor"),
    "websockets": _python("peers.websockets_server"),
    "ws": lambda *_: [build.node(), build.HERE / "peers" / "ws_server.js"],
    "starlette": _python("peers.starlette_app"),
    "picows": _python("peers.picows_server"),
    "nchan": _nchan,
    "bun": lambda *_: [build.BUN, build.HERE / "peers" / "bun_server.js"],
    "tls-floor": _native("tls_floor"),
    "bare-tick": _python("experiments.bare_tick"),
    "floor-threads": _native("threads"),
    "floor-uring": _native("uring"),
    "naive-quart": _python("experiments.naive_quart"),
    "naive-messages": _python("experiments.naive_messages"),
    "channels": _python("experiments.channels"),
    "direct": _python("experiments.direct"),
    "python-send": _senders("send"),
    "python-send-whole": _senders("whole"),
    "python-threads": _senders("threads"),
    "python-c-loop": _senders("c-loop"),
    "python-uring": _senders("uring"),
    "python-ring": _senders("ring"),
}


def ticker_command(home: Path, port: int, need: Need) -> tuple[Command, dict[str, str]]:
    """Return how to start Ticker, and with which settings."""
    env = {
        "TICKER_DATA_DIR": str(home / "data"),
        "TICKER_TICK": f"{1000 / need.rate:g}ms",
        "TICKER_MAX_STREAMS_PER_ADDRESS": "0",
        "TICKER_MAX_STREAMS_PER_TOKEN": "0",
        "TICKER_MAX_STREAMS_PER_KEY": "0",
        "TICKER_AUTH_RATE": "0",
        "TICKER_REFUSED_RATE": "0",
        "TICKER_HTTP_RATE": "0",
        **need.env,
    }
    if need.changing:
        names = [f"S{number}-USD" for number in range(need.symbols)]
        market.register(home)
        env |= {
            "TICKER_SOURCE": f"{market.NAME}:{need.changing}",
            "TICKER_SYMBOLS": ",".join(names),
            "PYTHONPATH": str(home),
        }
    if not need.tls:
        return [sys.executable, "-m", "ticker", "serve", "--port", str(port)], env
    key, certificate = _certificate(home)
    config = home / "hypercorn.toml"
    # HTTP/2 would carry WebSockets past the seam: see docs/operations.md.
    config.write_text('alpn_protocols = ["http/1.1"]\n')
    hypercorn = f"{sys.executable} -m hypercorn --worker-class trio --bind {HOST}:{port}".split()
    files: Command = ["-c", config, "--certfile", certificate, "--keyfile", key]
    return [*hypercorn, *files, "ticker.asgi:app"], env


def _certificate(home: Path) -> tuple[Path, Path]:
    """Make a certificate for a run; return the files of its key and of itself."""
    key, certificate = home / "key.pem", home / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    paths = ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *paths], check=True, capture_output=True)
    return key, certificate


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
