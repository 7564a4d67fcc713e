"""What is measured: one scenario per figure, as data.

A scenario is a list of variants, each a server with what it must do and who comes; the runner
takes the variants in turn, round after round, so that all of them see the same weather. The
columns say which figures of a run its table shows.

Rules for this module: no I/O. Every figure of a table is the median over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks import alone, measure
from benchmarks.measure import Load, Run
from benchmarks.servers import Need

PEERS: Final = ("websockets", "ws", "starlette", "picows", "nchan", "bun")
_MILLION: Final = 1_000_000
_KIB: Final = 1024


@dataclass(frozen=True)
class Variant:
    """One line of a table.

    Attributes:
        label: how the line is called; unique in its scenario.
        server: who serves.
    """

    label: str
    server: str
    need: Need
    load: Load


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


def _us(run: Run) -> float:
    return float(run["us_per_tick"])


def _ms_per_tick(run: Run) -> float:
    """Return what a tick costs at 10 Hz."""
    return float(run["server_cpu_seconds"] / run["seconds"] / 10 * 1000)


_FANOUT: Final[Mapping[str, Callable[[Run], float]]] = {
    "server CPU, µs per frame": _us,
    "slowest subscriber, Hz": lambda run: run["rate"]["min"],
    "slowest ÷ fastest": lambda run: run["rate"]["fairness"],
    "between ticks p99, ms": lambda run: run["gap_ms"]["p99"],
    "server CPU share": lambda run: run["server_cpu_share"],
    "load CPU share": lambda run: run["load_cpu_share"],
    "others' CPU share": lambda run: run["others_cpu_share"],
    "load's sleeps per frame": lambda run: run["load_sleeps_per_tick"],
}


def _alike(servers: Sequence[str], need: Need, load: Load) -> list[Variant]:
    return [Variant(name, name, need, load) for name in servers]


def _fanout(connections: int, rate: int) -> Scenario:
    return Scenario(
        f"{connections} subscribers at {rate} Hz",
        _alike(("floor", "ticker", *PEERS), Need(rate), Load(connections)),
        _FANOUT,
        ratio_of="server CPU, µs per frame",
    )


def _memory() -> Scenario:
    load = Load(2000, warmup=3.0, seconds=1.0)
    idle = replace(load, messages=['{"type":"unsubscribe"}'])
    return Scenario(
        "resident memory per idle authenticated subscriber, 2,000 of them",
        [
            Variant("ticker, unsubscribed", "ticker", Need(1), idle),
            Variant("ticker, subscribed, 1 Hz", "ticker", Need(1), load),
            Variant("ticker, TLS, subscribed, 1 Hz", "ticker", Need(1, tls=True), load),
            *_alike(PEERS, Need(1), load),
        ],
        {
            "bytes per subscriber": lambda run: (
                (run["rss_end"] - run["rss_before"]) / run["connections"]
            ),
            "KiB": lambda run: (run["rss_end"] - run["rss_before"]) / run["connections"] / _KIB,
            "server before, MiB": lambda run: run["rss_before"] / _KIB / _KIB,
        },
        ratio_of="bytes per subscriber",
        base="websockets",
        settle=1.0,
        quick=lambda load: replace(load, warmup=2.0),
    )


def _accept() -> Scenario:
    return Scenario(
        "1,000 authenticated handshakes at once",
        _alike(("ticker", *PEERS), Need(1), Load(1000, warmup=0.1, seconds=0.5)),
        {
            "accepts per second": lambda run: run["handshakes_per_second"],
            "until all are in, s": lambda run: run["handshake_seconds"],
            "load CPU share meanwhile": lambda run: run["handshake_load_cpu_share"],
        },
        ratio_of="accepts per second",
        base="websockets",
        quick=lambda load: load,
    )


def _overload() -> Scenario:
    # Past the first round of pings, after which every subscriber holds what it ever will.
    load = Load(5000, warmup=20.0, seconds=15.0, probe="/healthz")
    return Scenario(
        "overload: 5,000 subscribers at 100 Hz",
        _alike(("ticker",), Need(100), load),
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
            "RSS at begin, MiB": lambda run: run["rss_begin"] / _KIB / _KIB,
            "RSS at end, MiB": lambda run: run["rss_end"] / _KIB / _KIB,
            "µs per frame": _us,
            "load CPU share": lambda run: run["load_cpu_share"],
        },
        quick=lambda load: replace(load, warmup=3.0, seconds=5.0),
    )


def _stalled() -> Scenario:
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
            "RSS at end, MiB": lambda run: run["rss_end"] / _KIB / _KIB,
            "KiB per stalled reader": lambda run: (
                (run["rss_end"] - run["rss_before"]) / _KIB / run["connections"]
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


def symbols(count: int) -> list[str]:
    """Name so many symbols in four characters each: 500 fit into one message."""
    return [f"{chr(65 + i // 26)}{chr(65 + i % 26)}-A" for i in range(count)]


def _topics() -> Scenario:
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
            "server CPU, ms per tick": _ms_per_tick,
            "server CPU, µs per frame": _us,
            "bytes per frame": lambda run: run["bytes"] / max(run["ticks"], 1),
            "slowest subscriber, Hz": lambda run: run["rate"]["min"],
            "load CPU share": lambda run: run["load_cpu_share"],
        },
        ratio_of="server CPU, ms per tick",
        base="floor, one frame of 500 symbols",
        rounds=3,
    )


_STREAM: Final[Mapping[str, Callable[[Run], float]]] = {
    "server CPU, µs per frame": _us,
    "server CPU, ms per tick": lambda run: run["server_cpu_seconds"] / run["seconds"] * 10,
    "bytes per frame": lambda run: run["bytes"] / max(run["ticks"], 1),
    "slowest subscriber, Hz": lambda run: run["rate"]["min"],
    "between ticks p99, ms": lambda run: run["gap_ms"]["p99"],
    "load CPU share": lambda run: run["load_cpu_share"],
    "others' CPU share": lambda run: run["others_cpu_share"],
}


def _moving(label: str, symbols: int, load: Load, changing: int = 2) -> Variant:
    return Variant(label, "ticker", Need(100, symbols=symbols, changing=changing), load)


def _changes() -> Scenario:
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


def _compressed() -> Scenario:
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


def _resume() -> Scenario:
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


def _many() -> Scenario:
    """Tell apart what 500 symbols cost: their source, and frames that hold all of them."""
    market = symbols(500)
    simulated = {"TICKER_SYMBOLS": ",".join(f"{name}=100" for name in market)}
    all_move, few_move = Need(10, env=simulated), Need(10, symbols=500, changing=2)
    load = Load(300, warmup=3.0, seconds=8.0)
    return Scenario(
        "500 symbols in one topic, 300 subscribers at 10 Hz",
        [
            Variant("floor", "floor", Need(10, symbols=500), load),
            Variant("ticker, all of them move", "ticker", all_move, load),
            Variant("the same, nearly without subscribers", "ticker", all_move, _few(load)),
            Variant("ticker, 2 of them move", "ticker", few_move, load),
            Variant("the same, nearly without subscribers ", "ticker", few_move, _few(load)),
        ],
        {
            "server CPU, ms per tick": _ms_per_tick,
            "bytes per frame": lambda run: run["bytes"] / max(run["ticks"], 1),
            "slowest subscriber, Hz": lambda run: run["rate"]["min"],
            "others' CPU share": lambda run: run["others_cpu_share"],
        },
        ratio_of="server CPU, ms per tick",
    )


def _few(load: Load) -> Load:
    return replace(load, connections=1)


def _turns() -> Scenario:
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


def _tls(rate: int) -> Scenario:
    load = Load(300)
    return Scenario(
        f"TLS, 300 subscribers at {rate} Hz",
        [
            Variant("plain", "ticker", Need(rate), load),
            Variant("TLS", "ticker", Need(rate, tls=True), load),
        ],
        _FANOUT,
        ratio_of="server CPU, µs per frame",
        base="plain",
    )


def _tls_handshake() -> Scenario:
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


def _ideas() -> Scenario:
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
        _alike((*ways, *python), Need(100), Load(300, seconds=5.0)),
        _FANOUT,
        ratio_of="server CPU, µs per frame",
    )


def _story() -> Scenario:
    steps = ("floor", "naive-quart", "naive-messages", "channels", "direct", "ticker")
    return Scenario(
        "from the naive way to the kernel's pace: 300 subscribers at 100 Hz",
        _alike(steps, Need(100), Load(300, seconds=5.0)),
        _FANOUT,
        ratio_of="server CPU, µs per frame",
    )


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "fanout300x100": _fanout(300, 100),
    "fanout1000x20": _fanout(1000, 20),
    "memory": _memory(),
    "accept1000": _accept(),
    "overload5000": _overload(),
    "stalled1000": _stalled(),
    "topics": _topics(),
    "changes": _changes(),
    "compressed": _compressed(),
    "resume3s": _resume(),
    "many": _many(),
    "turns": _turns(),
    "tls20": _tls(20),
    "tls100": _tls(100),
    "tlshandshake": _tls_handshake(),
    "start": _start(),
    "delay": _delay(),
    "story": _story(),
    "ideas": _ideas(),
}
