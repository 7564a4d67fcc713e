"""`ticker cluster`: the machines that share one market, and which of them feeds it."""

from __future__ import annotations

import json
from typing import Any

import click
import trio

from ticker import limits
from ticker.cli.keys import show_table
from ticker.settings.model import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def cluster(settings: Settings, *, as_json: bool) -> None:
    """Show the machines that share one market: who feeds it, and how far each has come."""
    if not settings.bus:
        raise click.UsageError("TICKER_BUS is not set: there is no other machine")
    nodes = _nodes(settings)
    feeder = next((node["node"] for node in nodes if node["feeding"]), None)
    if as_json:
        click.echo(json.dumps({"market": settings.market, "feeder": feeder, "nodes": nodes}))
        return
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
