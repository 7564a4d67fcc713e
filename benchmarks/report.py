"""Turns runs into a Markdown table, and puts it where it is kept.

Rules for this module: medians over rounds; a ratio is the median of the ratios of each round,
so that the weather of a round cancels out. What could not be measured stands in the table
with its reason.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.measure import Cpus, Run
from benchmarks.scenario import Scenario

_MODEL: Final = re.compile(r"^model name\s*: (.+)$", re.MULTILINE)
_TICKER_STACK: Final = ("ticker", "trio", "trio-websocket", "hypercorn", "quart", "msgspec")


def machine(versions: Mapping[str, str], cpus: Cpus) -> list[str]:
    """Describe where and with what was measured, one line each."""
    model = _MODEL.search(Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    placed = (
        "server and load on CPUs of their own"
        if cpus.server
        else "placed by the system's scheduler"
    )
    stack = ", ".join(f"{name} {metadata.version(name)}" for name in _TICKER_STACK)
    return [
        (
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {model[1] if model else platform.machine()}, "
            f"{os.cpu_count()} CPUs, {memory:.0f} GiB; Linux {platform.release()}; {placed}"
        ),
        f"Python {platform.python_version()}: {stack}",
        *(f"{name}: {version}" for name, version in versions.items()),
    ]


def table(
    scenario: Scenario, rounds: Sequence[Mapping[str, Run]], missing: Mapping[str, str]
) -> str:
    """Return the table of a scenario."""
    of = f"÷ {scenario.base}"
    titles = ["", *scenario.figures]
    if scenario.ratio_of:
        titles.insert(2, of)
        titles.insert(3, "least … most")
    lines = [
        f"**{scenario.title}** (medians of {len(rounds)})",
        "",
        f"| {' | '.join(titles)} |",
        f"| --- |{' ---: |' * (len(titles) - 1)}",
    ]
    for variant in scenario.variants:
        runs = [runs[variant.label] for runs in rounds if variant.label in runs]
        if not runs:
            reason = missing.get(variant.label, "not measured").replace("|", "/")
            lines.append(f"| {variant.label} | missing: {reason} |{' |' * (len(titles) - 2)}")
            continue
        cells = [
            _number(statistics.median(figure(run) for run in runs))
            for figure in scenario.figures.values()
        ]
        if scenario.ratio_of:
            base = variant.base or scenario.base
            cells[1:1] = _ratio(scenario, rounds, variant.label, base)
        lines.append(f"| {variant.label} | {' | '.join(cells)} |")
    partly = [label for label in missing if any(label in runs for runs in rounds)]
    lines += [f"\n{label}: {missing[label]}" for label in partly]
    if scenario.note:
        lines += ["", scenario.note]
    return "\n".join(lines)


def _ratio(
    scenario: Scenario, rounds: Sequence[Mapping[str, Run]], label: str, base: str
) -> list[str]:
    figure = scenario.figures[scenario.ratio_of]
    values = [figure(runs[label]) for runs in rounds if label in runs]
    ratios = [
        figure(runs[label]) / figure(runs[base])
        for runs in rounds
        if label in runs and base in runs and figure(runs[base])
    ]
    spread = f"{_number(min(values))} … {_number(max(values))}"
    return [f"{statistics.median(ratios):.2f}" if ratios else "", spread]


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return (
        f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.2f}"
    )


def record(document: Path, name: str, text: str) -> None:
    """Put a table between its two markers in a document, where it has them."""
    begin, end = f"<!-- bench:{name} -->", "<!-- /bench -->"
    before, found, rest = document.read_text().partition(begin)
    _old, closed, after = rest.partition(end)
    if found and closed:
        document.write_text(f"{before}{begin}\n{text}\n{end}{after}")
