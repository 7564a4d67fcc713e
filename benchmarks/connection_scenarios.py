"""Scenarios of connections: beside the floor and the peers, and step by step from the naive way."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.commands import Need
from benchmarks.measure import Load
from benchmarks.scenario import (
    FANOUT,
    KIB,
    PEERS,
    Scenario,
    Variant,
    alike,
    us,
)


def fanout(connections: int, rate: int) -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    return Scenario(
        f"{connections} subscribers at {rate} Hz",
        alike(("floor", "ticker", *PEERS), Need(rate), Load(connections)),
        FANOUT,
        ratio_of="server CPU, µs per frame",
    )


def memory() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    load = Load(2000, warmup=3.0, seconds=1.0)
    idle = replace(load, messages=['{"type":"unsubscribe"}'])
    return Scenario(
        "resident memory per idle authenticated subscriber, 2,000 of them",
        [
            Variant("ticker, unsubscribed", "ticker", Need(1), idle),
            Variant("ticker, subscribed, 1 Hz", "ticker", Need(1), load),
            Variant("ticker, TLS, subscribed, 1 Hz", "ticker", Need(1, tls=True), load),
            *alike(PEERS, Need(1), load),
        ],
        {
            "bytes per subscriber": lambda run: (
                (run["rss_end"] - run["rss_before"]) / run["connections"]
            ),
            "KiB": lambda run: (run["rss_end"] - run["rss_before"]) / run["connections"] / KIB,
            "server before, MiB": lambda run: run["rss_before"] / KIB / KIB,
        },
        ratio_of="bytes per subscriber",
        base="websockets",
        settle=1.0,
        quick=lambda load: replace(load, warmup=2.0),
    )


def accept() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    return Scenario(
        "1,000 authenticated handshakes at once",
        alike(("ticker", *PEERS), Need(1), Load(1000, warmup=0.1, seconds=0.5)),
        {
            "accepts per second": lambda run: run["handshakes_per_second"],
            "until all are in, s": lambda run: run["handshake_seconds"],
            "load CPU share meanwhile": lambda run: run["handshake_load_cpu_share"],
        },
        ratio_of="accepts per second",
        base="websockets",
        quick=lambda load: load,
    )


def overload() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    # Past the first round of pings, after which every subscriber holds what it ever will.
    load = Load(5000, warmup=20.0, seconds=15.0, probe="/healthz")
    return Scenario(
        "overload: 5,000 subscribers at 100 Hz",
        alike(("ticker",), Need(100), load),
        {
            "/healthz p50, ms": lambda run: run["probe_ms"]["p50"],
            "/healthz p99, ms": lambda run: run["probe_ms"]["p99"],
            "/healthz max, ms": lambda run: run["probe_ms"]["max"],
            "probes": lambda run: run["probe_ms"]["n"],
            "probes failed": lambda run: run["probes_bad"] + run["probes_unanswered"],
            "oldest price held, ms": lambda run: run["oldest_price_ms"]["max"],
            "Hz each": lambda run: run["rate"]["mean"],
            "slowest ÷ fastest": lambda run: run["rate"]["fairness"],
            "ticks missed by one alone": lambda run: run["ticks_skipped"],
            "RSS at begin, MiB": lambda run: run["rss_begin"] / KIB / KIB,
            "RSS at end, MiB": lambda run: run["rss_end"] / KIB / KIB,
            "µs per frame": us,
            "load CPU share": lambda run: run["load_cpu_share"],
        },
        quick=lambda load: replace(load, warmup=3.0, seconds=5.0),
    )


def stalled() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    # The window lies between the time when all have stalled and the first cut-off, 5 s later.
    healthy = Load(300, warmup=1.5, seconds=2.5, linger=6.0)
    stalled = replace(healthy, connections=1300, stall=1000, rcvbuf=4096)
    return Scenario(
        "1,000 stalled readers among 300 healthy ones, 100 Hz",
        [
            Variant("300 healthy", "ticker", Need(100), replace(healthy, linger=0.0)),
            Variant("300 healthy, 1,000 stalled", "ticker", Need(100), stalled),
        ],
        {
            "healthy, Hz": lambda run: run["rate"]["mean"],
            "slowest healthy, Hz": lambda run: run["rate"]["min"],
            "between ticks p99, ms": lambda run: run["gap_ms"]["p99"],
            "RSS at end, MiB": lambda run: run["rss_end"] / KIB / KIB,
            "KiB per stalled reader": lambda run: (
                (run["rss_end"] - run["rss_before"]) / KIB / run["connections"]
                if run["stalled"]
                else 0.0
            ),
            "cut off": lambda run: run.get("cut_off_seconds", {}).get("n", 0),
            "first cut off, s": lambda run: run.get("cut_off_seconds", {}).get("min", 0),
            "last cut off, s": lambda run: run.get("cut_off_seconds", {}).get("max", 0),
        },
        settle=0.5,
        note="KiB per stalled reader: the server's whole growth divided by all 1,300 connections. "
        "Cut-offs are counted from the 101, so they hold the time that buffers took to fill.",
        quick=lambda load: load,
    )


def tls(rate: int) -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    load = Load(300)
    return Scenario(
        f"TLS, 300 subscribers at {rate} Hz",
        [
            Variant("plain", "ticker", Need(rate), load),
            Variant("TLS", "ticker", Need(rate, tls=True), load),
        ],
        FANOUT,
        ratio_of="server CPU, µs per frame",
        base="plain",
    )


def tls_handshake() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    load = Load(500, warmup=0.1, seconds=0.5)
    openssl = "OpenSSL alone, in C"
    return Scenario(
        "500 handshakes over TLS at once",
        [
            Variant(openssl, "tls-floor", Need(1, tls=True), load),
            Variant("ticker", "ticker", Need(1, tls=True), load),
            Variant("ticker, plain", "ticker", Need(1), load),
        ],
        {
            "server CPU, µs per handshake": lambda run: run["handshake_server_us"],
            "handshakes per second": lambda run: run["handshakes_per_second"],
            "load CPU share meanwhile": lambda run: run["handshake_load_cpu_share"],
        },
        ratio_of="server CPU, µs per handshake",
        base=openssl,
        quick=lambda load: load,
    )


def ideas() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    ways = ("floor", "floor-threads", "floor-uring")
    python = (
        "python-send",
        "python-send-whole",
        "python-threads",
        "python-c-loop",
        "python-uring",
        "python-ring",
    )
    return Scenario(
        "bolder ideas, in isolation: 300 subscribers at 100 Hz",
        alike((*ways, *python), Need(100), Load(300, seconds=5.0)),
        FANOUT,
        ratio_of="server CPU, µs per frame",
    )


def story() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    steps = ("floor", "naive-quart", "naive-messages", "channels", "direct", "ticker")
    return Scenario(
        "from the naive way to the kernel's pace: 300 subscribers at 100 Hz",
        alike(steps, Need(100), Load(300, seconds=5.0)),
        FANOUT,
        ratio_of="server CPU, µs per frame",
    )
