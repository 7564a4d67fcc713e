"""What a scenario is, and the columns that several tables share.

Rules for this module: no I/O. Every figure of a table is the median over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks import measure
from benchmarks.commands import Need
from benchmarks.measure import Load, Run

PEERS: Final = ("websockets", "ws", "starlette", "picows", "nchan", "bun")
MILLION: Final = 1_000_000
KIB: Final = 1024


@dataclass(frozen=True)
class Variant:
    """One line of a table.

    Attributes:
        label: how the line is called; unique in its scenario.
        server: who serves.
        base: the line that its ratio is to, where that is not the scenario's.
    """

    label: str
    server: str
    need: Need
    load: Load
    base: str = ""


@dataclass(frozen=True)
class Scenario:
    """One table.

    Attributes:
        figures: the columns, by title; each takes a run and gives a number.
        per_floor: the title of the figure that is also shown as a ratio to the line `base`
            of the same round.
        take: makes a run; has the arguments of `measure.once`.
        settle: see there.
        rounds: how often at least; once where the figure is no comparison.
    """

    title: str
    variants: Sequence[Variant]
    figures: Mapping[str, Callable[[Run], float]]
    ratio_of: str = ""
    base: str = "floor"
    take: Callable[..., Run] = measure.once
    settle: float = 0.0
    rounds: int = 5
    note: str = ""
    quick: Callable[[Load], Load] = field(
        default=lambda load: replace(load, warmup=min(load.warmup, 0.5), seconds=2.0)
    )


def us(run: Run) -> float:
    """Return what a tick costs, in microseconds."""
    return float(run["us_per_tick"])


def ms_per_tick(run: Run) -> float:
    """Return what a tick costs at 10 Hz."""
    return float(run["server_cpu_seconds"] / run["seconds"] / 10 * 1000)


FANOUT: Final[Mapping[str, Callable[[Run], float]]] = {
    "server CPU, µs per frame": us,
    "slowest subscriber, Hz": lambda run: run["rate"]["min"],
    "slowest ÷ fastest": lambda run: run["rate"]["fairness"],
    "between ticks p99, ms": lambda run: run["gap_ms"]["p99"],
    "server CPU share": lambda run: run["server_cpu_share"],
    "load CPU share": lambda run: run["load_cpu_share"],
    "others' CPU share": lambda run: run["others_cpu_share"],
    "load's sleeps per frame": lambda run: run["load_sleeps_per_tick"],
}


def alike(servers: Sequence[str], need: Need, load: Load) -> list[Variant]:
    """Give each server the same to do."""
    return [Variant(name, name, need, load) for name in servers]
