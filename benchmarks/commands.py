"""How each server of the comparison is started, and with which settings.

Rules for this module: a server is known by its name alone. Nothing here starts or measures.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import build, market

Command = Sequence[str | Path]
HOST: Final = "127.0.0.1"


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


COMMANDS: Final[Mapping[str, Callable[[Path, int, str], Command]]] = {
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
    key, certificate = certificate_of(home)
    config = home / "hypercorn.toml"
    # HTTP/2 would carry WebSockets past the seam: see docs/operations.md.
    config.write_text('alpn_protocols = ["http/1.1"]\n')
    hypercorn = f"{sys.executable} -m hypercorn --worker-class trio --bind {HOST}:{port}".split()
    files: Command = ["-c", config, "--certfile", certificate, "--keyfile", key]
    return [*hypercorn, *files, "ticker.asgi:app"], env


def certificate_of(home: Path) -> tuple[Path, Path]:
    """Make a certificate for a run; return the files of its key and of itself."""
    key, certificate = home / "key.pem", home / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    paths = ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *paths], check=True, capture_output=True)
    return key, certificate
