"""The metrics of several workers as one text, each sample with the label `worker`.

Rules for this module: pure; Prometheus' text format (version 0.0.4) in and out. A family's samples
must stand together, so they are put together from all workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def merge(texts: Mapping[str, bytes]) -> bytes:
    """Merge texts by worker into one."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, text in texts.items():
        for family, line in _lines(text.decode()):
            if line.startswith("#"):
                known = heads.setdefault(family, [])
                if line not in known:
                    known.append(line)
            else:
                samples.setdefault(family, []).append(_labelled(line, worker))
    merged = [line for family in heads for line in (*heads[family], *samples.get(family, ()))]
    return ("\n".join(merged) + "\n").encode()


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Give each line with its family's name."""
    family = ""
    for line in text.splitlines():
        if line.startswith(("# HELP ", "# TYPE ")):
            family = line.split(" ", 3)[2]
        if line:
            yield family, line


def _labelled(sample: str, worker: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
