"""Run Ticker beside its floor and its peers, in alternation, and print one table.

    python -m benchmarks.run fanout300x100          one scenario
    python -m benchmarks.run all --record           every one, kept in the documents
    python -m benchmarks.run fanout300x100 --quick  a smoke test: its numbers mean nothing

See benchmarks/README.md for what each figure is and is not.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import build, measure, report
from benchmarks.scenario import Scenario, Variant
from benchmarks.scenarios import SCENARIOS

#: Where tables are kept; each has markers for those it wants.
DOCUMENTS: Final = (build.HERE / "README.md", build.ROOT / "docs" / "fan-out.md")


def main() -> int:
    """Run what the command line asks for."""
    options = _options()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    versions, missing = build.build()
    cpus = measure.Cpus.any() if options.no_pin else measure.Cpus.apart()
    machine = report.machine(versions, cpus)
    print("\n".join(f"- {line}" for line in machine))
    failures = 0
    for name in SCENARIOS if options.scenario == "all" else [options.scenario]:
        scenario = _narrowed(SCENARIOS[name], options.only)
        rounds, absent = _rounds(scenario, missing, cpus, options)
        failures += len(absent.keys() - missing.keys())
        text = report.table(scenario, rounds, absent)
        print(f"\n{text}", flush=True)
        _keep(name, machine, rounds, absent, options.json)
        if options.record:
            for document in DOCUMENTS:
                report.record(document, name, f"{text}\n\nTaken {machine[0]}")
                report.record(document, "machine", "\n".join(f"- {line}" for line in machine))
    return 1 if failures else 0


def _rounds(
    scenario: Scenario, missing: Mapping[str, str], cpus: measure.Cpus, options: argparse.Namespace
) -> tuple[list[dict[str, measure.Run]], dict[str, str]]:
    """Take the variants in turn, round after round, and say which were not measured."""
    rounds: list[dict[str, measure.Run]] = []
    absent: dict[str, str] = {
        variant.label: missing[variant.server]
        for variant in scenario.variants
        if variant.server in missing
    }
    count = 1 if options.quick else options.rounds or scenario.rounds
    for number in range(count):
        runs: dict[str, measure.Run] = {}
        # Every other round backwards: what drifts with time then favours no server.
        for variant in scenario.variants[:: -1 if number % 2 else 1]:
            if variant.server in missing:
                continue
            print(f"round {number + 1} of {count}: {variant.label}", file=sys.stderr, flush=True)
            load = scenario.quick(variant.load) if options.quick else variant.load
            load = replace(load, poll_us=0) if options.wake else load
            try:
                runs[variant.label] = scenario.take(
                    variant.server, variant.need, load, cpus, settle=scenario.settle
                )
            except (measure.RunError, RuntimeError, OSError) as error:
                absent[variant.label] = f"failed in round {number + 1}: {str(error)[:500]}"
                print(absent[variant.label], file=sys.stderr, flush=True)
        rounds.append(runs)
    return rounds, absent


def _narrowed(scenario: Scenario, only: Sequence[str]) -> Scenario:
    """Leave out every line but those asked for and those the ratios are to."""
    if not only:
        return scenario
    bases = {scenario.base, *(variant.base for variant in scenario.variants)}

    def wanted(variant: Variant) -> bool:
        return variant.label in only or variant.server in only or variant.label in bases

    return replace(scenario, variants=[v for v in scenario.variants if wanted(v)])


def _keep(
    name: str,
    machine: Sequence[str],
    rounds: Sequence[Mapping[str, measure.Run]],
    absent: Mapping[str, str],
    folder: Path,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"scenario": name, "machine": machine, "missing": absent, "rounds": rounds}
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("--rounds", type=int, help="how often each; default: as the scenario says")
    parser.add_argument("--quick", action="store_true", help="once and short, to see that it works")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="LINE", help="only these lines, and their base"
    )
    parser.add_argument("--no-pin", action="store_true", help="let the system place the processes")
    parser.add_argument("--wake", action="store_true", help="let every send wake the load")
    parser.add_argument("--record", action="store_true", help="put the tables into the documents")
    parser.add_argument(
        "--json",
        type=Path,
        default=build.BUILD / "results",
        help="the folder of every run's figures",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
