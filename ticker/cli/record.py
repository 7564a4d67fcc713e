"""`ticker record FILE`: write down what an exchange says, to be played back by `replay:FILE`."""

from __future__ import annotations

import signal
from pathlib import Path

import attrs
import click
import trio

from ticker import logs
from ticker.market.exchanges.feed import Feed
from ticker.market.sources import (
    SourceConfigError,
    SourceError,
    load_source,
    open_batches,
)
from ticker.market.sources.recorder import CaptureError, CaptureWriter
from ticker.market.sources.spec import SourceSpec
from ticker.settings.model import Settings
from ticker.settings.sources import restart_policy, source_context
from ticker.supervision import supervise


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--source",
    default="coinbase",
    show_default=True,
    help="The exchange to listen to.",
)
@click.pass_obj
def record(settings: Settings, file: Path, source: str) -> None:
    """Record an exchange's messages into FILE until stopped with Ctrl-C.

    A full FILE becomes FILE.1, and so on. Play it back with --source replay:FILE.
    """
    logs.configure(settings.log_format)
    try:
        feed = _feed(settings, source)
        with CaptureWriter(file) as writer:
            symbols = ", ".join(feed.symbols)
            click.echo(f"recording {symbols} from {source} into {file}; Ctrl-C stops", err=True)
            trio.run(_record, feed, writer, settings)
    except SourceConfigError as error:
        raise click.UsageError(str(error)) from None
    except CaptureError as error:
        raise click.ClickException(str(error)) from None
    left_out = f", {writer.skipped} left out" if writer.skipped else ""
    click.echo(f"{writer.written} messages recorded{left_out}", err=True)


def _feed(settings: Settings, source: str) -> Feed:
    spec = SourceSpec(source)
    feed = load_source(source, source_context(attrs.evolve(settings, source=(spec,)), spec))
    if not isinstance(feed, Feed):
        raise click.BadParameter(f"{source} is no exchange", param_hint="'--source'")
    return feed


async def _record(feed: Feed, writer: CaptureWriter, settings: Settings) -> None:
    """Listen until a signal comes or a fault that starting anew cannot mend."""
    refusals: list[Exception] = []
    with trio.CancelScope() as scope:

        def give_up(error: Exception) -> None:
            refusals.append(error)
            scope.cancel()

        def write(raw: bytes | str) -> None:
            try:
                writer.write(raw, feed.context.wall_ms())
            except CaptureError as error:
                give_up(error)

        async def listen() -> None:
            try:
                source = attrs.evolve(feed, tap=write)
                async with open_batches(source) as batches:
                    async for _ in batches:
                        pass  # the tap has it already
            except SourceConfigError as error:
                give_up(error)
                await trio.sleep_forever()  # it did not end by itself, and is not to be restarted

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, scope)
            await supervise(
                feed.name,
                listen,
                restart_policy(settings),
                stopped=_ignore,
                restarting=_ignore,
                known=(SourceError,),
            )
    if refusals:
        raise refusals[0]


def _ignore(*_reason: str) -> None:
    """Leave it to the log, which the supervisor writes."""


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
