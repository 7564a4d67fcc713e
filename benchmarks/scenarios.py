"""What is measured: one scenario per figure, as data.

A scenario is a list of variants, each a server with what it must do and who comes; the runner
takes the variants in turn, round after round, so that all of them see the same weather. The
columns say which figures of a run its table shows.

Rules for this module: no I/O. Every figure of a table is the median over the rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from benchmarks import alone
from benchmarks import connection_scenarios as connections
from benchmarks import stream_scenarios as streams
from benchmarks.commands import Need
from benchmarks.measure import Load
from benchmarks.scenario import (
    Scenario,
    Variant,
)


def _start() -> Scenario:
    return Scenario(
        "from the start of the process to the first price at a subscriber",
        [Variant("ticker", "ticker", Need(100), Load(1))],
        {
            f"{what}, {title}": lambda run, which=which, key=key: run[which][key]  # type: ignore[misc]
            for which, what in (("first", "first start"), ("again", "started again"))
            for key, title in (("listens", "listens, s"), ("priced", "price, s"), ("cpu", "CPU, s"))
        },
        take=alone.start,
        note="The first start makes the database, its keys and a token.",
    )


def _delay() -> Scenario:
    return Scenario(
        "from a stand-in for Coinbase to a subscriber, one symbol",
        [
            Variant(f"tick of {1000 // rate} ms", "ticker", Need(rate), Load(1, seconds=40.0))
            for rate in (100, 20)
        ],
        {
            "p50, ms": lambda run: run["delay_ms"]["p50"],
            "p99, ms": lambda run: run["delay_ms"]["p99"],
            "prices": lambda run: run["delay_ms"]["n"],
        },
        take=alone.delay,
        quick=lambda load: replace(load, seconds=3.0),
    )


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "fanout300x100": connections.fanout(300, 100),
    "fanout1000x20": connections.fanout(1000, 20),
    "memory": connections.memory(),
    "accept1000": connections.accept(),
    "overload5000": connections.overload(),
    "stalled1000": connections.stalled(),
    "topics": streams.topics(),
    "changes": streams.changes(),
    "compressed": streams.compressed(),
    "resume3s": streams.resume(),
    "many": streams.many(),
    "turns": streams.turns(),
    "tls20": connections.tls(20),
    "tls100": connections.tls(100),
    "tlshandshake": connections.tls_handshake(),
    "start": _start(),
    "delay": _delay(),
    "story": connections.story(),
    "ideas": connections.ideas(),
}
