"""What is measured of a server without the load generator: its ticks alone, its start, its delay.

Rules for this module: each function has the arguments of `measure.once`, of which it ignores those
that say nothing here, and returns a run as that does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks import build, servers
from benchmarks.commands import HOST, Need, ticker_command
from benchmarks.measure import Cpus, Load, Run, RunError

_POLL_SECONDS: Final = 0.002
_PATIENCE_SECONDS: Final = 120.0
_WANTED: Final = b'"price"'


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """Return what processes have used of the CPU, as clock_getcpuclockid(3) would say."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids) / 1e9


def ticks(name: str, need: Need, load: Load, cpus: Cpus, *, settle: float = 0.0) -> Run:
    """Measure what a server spends on its ticks while no client is connected."""
    with servers.running(name, need, cpus=cpus.server, helper_cpus=cpus.load) as target:
        time.sleep(load.warmup + settle)
        before, began = cpu_seconds(target.pids), time.monotonic()
        time.sleep(load.seconds)
        spent, seconds = cpu_seconds(target.pids) - before, time.monotonic() - began
    return {"us_per_turn": spent / seconds / need.rate * 1e6}


def start(_name: str, need: Need, load: Load, cpus: Cpus, *, settle: float = 0.0) -> Run:
    """Start Ticker on a new data directory, and again on the same one; wait for prices."""
    del load, settle
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        return {"first": _start(Path(home), need, cpus), "again": _start(Path(home), need, cpus)}


def _start(home: Path, need: Need, cpus: Cpus) -> dict[str, float]:
    port = servers.free_port()
    command, env = ticker_command(home, port, need)
    token_file = home / "token"
    with (home / "log").open("a") as log, servers.on_cpus(cpus.server):
        began = time.monotonic()
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=build.ROOT,
            env={**os.environ, **env},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = began + _PATIENCE_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise RunError("does not listen")
            time.sleep(_POLL_SECONDS)
        listens = time.monotonic() - began
        if not token_file.exists():
            token_file.write_text(servers.ticker_token(home, port, tls=False))
        _first_price(port, token_file.read_text())
        return {
            "listens": listens,
            "priced": time.monotonic() - began,
            "cpu": cpu_seconds((process.pid,)),
        }
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def _first_price(port: int, token: str) -> None:
    with socket.create_connection((HOST, port), _PATIENCE_SECONDS) as stream:
        stream.sendall(servers.request(token))
        received = b""
        while _WANTED not in received:
            part = stream.recv(65536)
            if not part:
                raise RunError(f"ended: {received!r}")
            received += part


def delay(_name: str, need: Need, load: Load, cpus: Cpus, *, settle: float = 0.0) -> Run:
    """Measure how long a price takes from the exchange's socket to a subscriber's.

    The exchange's stand-in and the subscriber are one process, with one clock, on the load's CPU.
    """
    del settle
    command = [sys.executable, "-m", "benchmarks.delay", str(load.seconds)]
    with servers.on_cpus(cpus.load):
        process = subprocess.Popen(
            command, cwd=build.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        exchange = json.loads(process.stdout.readline())["url"]
        env = {
            **need.env,
            "TICKER_SOURCE": "coinbase",
            "TICKER_SYMBOLS": "BTC-USD",
            "TICKER_COINBASE_URL": exchange,
        }
        served = Need(need.rate, env=env)
        with servers.running("ticker", served, cpus=cpus.server) as target:
            print(json.dumps([target.port, target.token]), file=process.stdin, flush=True)
            said, _ = process.communicate(timeout=load.seconds + _PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    delays = sorted(json.loads(said))
    if not delays:
        raise RunError("no price arrived")
    quantiles = statistics.quantiles(delays, n=100)
    return {"delay_ms": {"n": len(delays), "p50": quantiles[49], "p99": quantiles[98]}}
