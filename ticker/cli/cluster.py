"""`ticker cluster`: who feeds the market: the workers of this machine, and the other machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click
import msgspec
import trio

from ticker import limits
from ticker.cli.keys import show_table
from ticker.cluster.questions import Question, ask_workers
from ticker.cluster.status import WorkerStatus
from ticker.settings.model import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def cluster(settings: Settings, *, as_json: bool) -> None:
    """Show the workers of this machine, and the machines that share one market, and who feeds."""
    workers = _workers(settings)
    nodes = _nodes(settings) if settings.bus else []
    if not (workers or settings.bus):
        raise click.ClickException(
            f"no worker answers in {settings.data_dir}: a service of one process has none"
        )
    if as_json:
        click.echo(json.dumps(_all_of(settings, workers, nodes)))
        return
    if settings.bus:
        show_table(
            ("NODE", "STATE", "EPOCH", "SEQ", "LAG", "STREAMS"),
            [
                (
                    node["node"],
                    _state(node),
                    node["epoch"],
                    str(node["seq"]),
                    f"{node['lag_ms']} ms",
                    str(node["streams"]),
                )
                for node in nodes
            ],
        )
    if workers:
        show_table(
            ("WORKER", "PID", "STATE", "TERM", "EPOCH", "SEQ", "LAG", "STREAMS", "READY"),
            [_row(worker) for worker in workers],
        )


def _all_of(
    settings: Settings, workers: Sequence[WorkerStatus], nodes: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    shown: dict[str, Any] = {"workers": msgspec.to_builtins(workers)}
    if settings.bus:
        feeder = next((node["node"] for node in nodes if node["feeding"]), None)
        shown |= {"market": settings.market, "feeder": feeder, "nodes": nodes}
    return shown


def _workers(settings: Settings) -> list[WorkerStatus]:
    answers = trio.run(ask_workers, settings.data_dir, Question("status"))
    found: list[WorkerStatus] = []
    for answer in answers.values():
        with suppress(msgspec.MsgspecError):  # of another version of the program
            found.append(msgspec.json.decode(answer, type=WorkerStatus))
    return found


def _row(worker: WorkerStatus) -> tuple[str, ...]:
    return (
        worker.worker,
        str(worker.pid),
        worker.role,
        str(worker.term),
        worker.epoch,
        str(worker.seq),
        f"{worker.lag_ms} ms",
        str(worker.subscribers),
        worker.not_ready or "yes",
    )


def _nodes(settings: Settings) -> list[dict[str, Any]]:
    from ticker.cluster.bus import BusUnavailableError  # noqa: PLC0415 - an extra
    from ticker.cluster.node import nodes_of  # noqa: PLC0415 - the same

    try:
        found = trio.run(nodes_of, settings.bus, settings.market)
    except BusUnavailableError as error:
        raise click.ClickException(f"the bus cannot be asked: {error}") from None
    nodes = []
    for name, (age, status) in found.items():
        gone = age > limits.NODE_SILENT_SECONDS
        nodes.append(
            {
                "node": name,
                "feeding": status is not None and status.feeding and not gone,
                "gone": gone,
                "epoch": "" if status is None else status.epoch,
                "seq": 0 if status is None else status.seq,
                "lag_ms": 0 if status is None else status.lag_ms,
                "streams": 0 if status is None or gone else status.streams,
            }
        )
    return nodes


def _state(node: dict[str, Any]) -> str:
    if node["gone"]:
        return "gone"
    return "feeds" if node["feeding"] else "follows"
