"""Scenarios of what a stream holds: topics, modes, compression, resumption, many symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from benchmarks import alone
from benchmarks.commands import Need
from benchmarks.measure import Load, Run
from benchmarks.scenario import (
    Scenario,
    Variant,
    ms_per_tick,
    us,
)


def symbols(count: int) -> list[str]:
    """Name so many symbols in four characters each: 500 fit into one message."""
    return [f"{chr(65 + i // 26)}{chr(65 + i % 26)}-A" for i in range(count)]


def topics() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    market = symbols(599)
    env = {"TICKER_SYMBOLS": ",".join(f"{name}=100" for name in market)}
    load = Load(300, warmup=2.0, seconds=8.0)

    def subscribing(topics: int) -> Load:
        sets = [",".join(f'"{name}"' for name in market[i : i + 500]) for i in range(topics)]
        return replace(
            load, messages=[f'{{"type":"subscribe","symbols":[{each}]}}' for each in sets]
        )

    return Scenario(
        "300 subscribers over 1 to 100 different sets of 500 symbols, 10 Hz",
        [
            Variant("floor, one frame of 500 symbols", "floor", Need(10, symbols=500), load),
            *(
                Variant(
                    f"ticker, topics: {topics}", "ticker", Need(10, env=env), subscribing(topics)
                )
                for topics in (1, 2, 5, 10, 20, 50, 100)
            ),
        ],
        {
            "server CPU, ms per tick": ms_per_tick,
            "server CPU, µs per frame": us,
            "bytes per frame": lambda run: run["bytes"] / max(run["ticks"], 1),
            "slowest subscriber, Hz": lambda run: run["rate"]["min"],
            "load CPU share": lambda run: run["load_cpu_share"],
        },
        ratio_of="server CPU, ms per tick",
        base="floor, one frame of 500 symbols",
        rounds=3,
    )


_STREAM: Final[Mapping[str, Callable[[Run], float]]] = {
    "server CPU, µs per frame": us,
    "server CPU, ms per tick": lambda run: run["server_cpu_seconds"] / run["seconds"] * 10,
    "bytes per frame": lambda run: run["bytes"] / max(run["ticks"], 1),
    "slowest subscriber, Hz": lambda run: run["rate"]["min"],
    "between ticks p99, ms": lambda run: run["gap_ms"]["p99"],
    "load CPU share": lambda run: run["load_cpu_share"],
    "others' CPU share": lambda run: run["others_cpu_share"],
}


def _moving(label: str, symbols: int, load: Load, changing: int = 2) -> Variant:
    return Variant(label, "ticker", Need(100, symbols=symbols, changing=changing), load)


def changes() -> Scenario:
    """Compare what a frame costs that holds two of many symbols with one that holds them all."""
    load = Load(300, warmup=3.0, seconds=6.0)
    changes, every = replace(load, query="mode=changes"), replace(load, query="mode=every")
    return Scenario(
        "300 subscribers at 100 Hz, 2 symbols changing in a tick",
        [
            Variant("floor", "floor", Need(100, symbols=2), load),
            _moving("latest, 250 symbols", 250, load),
            _moving("changes, 250 symbols, one subscriber", 250, replace(changes, connections=1)),
            *(_moving(f"changes, {n:,} symbols", n, changes) for n in (250, 500, 1000, 2000)),
            *(
                _moving(f"changes, 2,000 symbols, {n} changing", 2000, changes, n)
                for n in (20, 200)
            ),
            _moving("every, 250 symbols", 250, every),
            _moving("latest, 3 symbols", 3, load),
            _moving("every, 3 symbols", 3, every),
            _moving("GET /stream, latest, 3 symbols", 3, replace(load, http=True)),
        ],
        _STREAM,
        ratio_of="server CPU, µs per frame",
        note="Ticks come at 100 Hz; the CPU of one with a single subscriber is what a tick costs "
        "before any subscriber is sent it, the source's share included.",
    )


def compressed() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    load = Load(100, warmup=3.0, seconds=6.0)
    return Scenario(
        "100 subscribers of latest at 100 Hz, 250 symbols, 2 changing in a tick",
        [
            _moving("plain", 250, load),
            _moving("compressed", 250, replace(load, compressed=True)),
        ],
        _STREAM,
        ratio_of="server CPU, µs per frame",
        base="plain",
    )


def resume() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    load = Load(100, warmup=1.0, seconds=5.0, stall=50, stall_for=3.0)
    return Scenario(
        "what a subscriber reads after a stall of 3 s, 100 Hz",
        [
            Variant("SO_RCVBUF 4 KiB", "ticker", Need(100), replace(load, rcvbuf=4096)),
            Variant("SO_RCVBUF of the system", "ticker", Need(100), load),
        ],
        {
            "already in its own kernel, bytes": lambda run: run["resumed_in_our_kernel"]["p50"],
            "age of the first frame past that, ms, worst": lambda run: run["resumed_age_beyond[0]"][
                "max"
            ],
            "age of the second, ms, worst": lambda run: run["resumed_age_beyond[1]"]["max"],
            "age of the first frame read, ms, worst": lambda run: run["resumed_age_read[0]"]["max"],
            "age of the second, ms, worst ": lambda run: run["resumed_age_read[1]"]["max"],
            "frames read until one ≤ 1 s old, worst": lambda run: run["resumed_fresh_after"]["max"],
            "ms until then, worst": lambda run: run["resumed_fresh_ns"]["max"],
        },
        rounds=1,
        note="What the subscriber's own kernel had already taken cannot be taken back; the frames "
        "past it are those that the server could still decide about.",
        quick=lambda load: load,
    )


def many() -> Scenario:
    """Tell apart what 500 symbols cost: their source, and frames that hold all of them."""
    market = symbols(500)
    simulated = {"TICKER_SYMBOLS": ",".join(f"{name}=100" for name in market)}
    all_move, few_move = Need(10, env=simulated), Need(10, symbols=500, changing=2)
    load = Load(300, warmup=3.0, seconds=8.0)
    # Names are longer there, and each price has its source with it: a frame of a third more bytes.
    longer = "floor, frames of the next two lines"
    return Scenario(
        "500 symbols in one topic, 300 subscribers at 10 Hz",
        [
            Variant("floor", "floor", Need(10, symbols=500), load),
            Variant("ticker, all of them move", "ticker", all_move, load),
            Variant("the same, nearly without subscribers", "ticker", all_move, _few(load)),
            Variant(longer, "floor", Need(10, symbols=666), load),
            Variant("ticker, 2 of them move", "ticker", few_move, load, longer),
            Variant(
                "the same, nearly without subscribers ", "ticker", few_move, _few(load), longer
            ),
        ],
        {
            "server CPU, ms per tick": ms_per_tick,
            "bytes per frame": lambda run: run["bytes"] / max(run["ticks"], 1),
            "slowest subscriber, Hz": lambda run: run["rate"]["min"],
            "others' CPU share": lambda run: run["others_cpu_share"],
        },
        ratio_of="server CPU, ms per tick",
    )


def _few(load: Load) -> Load:
    return replace(load, connections=1)


def turns() -> Scenario:
    """Return the scenario that `SCENARIOS` names so."""
    market = symbols(500)
    many = {"TICKER_SYMBOLS": ",".join(f"{name}=100" for name in market)}
    load = Load(0, warmup=3.0, seconds=10.0)
    return Scenario(
        "a tick before its first subscriber, 100 Hz",
        [
            Variant("trio alone, asleep until each tick", "bare-tick", Need(100), load),
            Variant("ticker, 3 symbols", "ticker", Need(100), load),
            Variant("ticker, 500 symbols", "ticker", Need(100, env=many), load),
        ],
        {"server CPU, µs per tick": lambda run: run["us_per_turn"]},
        ratio_of="server CPU, µs per tick",
        base="trio alone, asleep until each tick",
        take=alone.ticks,
    )
