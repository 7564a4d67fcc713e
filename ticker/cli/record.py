"""`ticker record FILE`: write down what an exchange says, to be played back by `replay:FILE`.

With `--from URL` it is what a running Ticker says, tick by tick.
"""

from __future__ import annotations

import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs
import click
import trio

from ticker import logs
from ticker.cli.stream_recording import StreamRecording
from ticker.cli.target import find_key, key_options
from ticker.client import Client, TickerError, connect
from ticker.limits import WATCH_OPEN_SECONDS
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
from ticker.settings.source_setup import restart_policy, source_context
from ticker.supervision import supervise


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--source",
    default="coinbase",
    show_default=True,
    help="The exchange to listen to.",
)
@click.option("--from", "url", metavar="URL", help="A running Ticker to listen to instead.")
@click.option("--symbol", "symbols", multiple=True, metavar="S", help="Of --from; all by default.")
@key_options
@click.pass_context
def record(
    ctx: click.Context,
    *,
    file: Path,
    source: str,
    url: str | None,
    symbols: tuple[str, ...],
    api_key: str | None,
    api_key_file: Path | None,
) -> None:
    """Record an exchange's messages into FILE until stopped with Ctrl-C.

    A full FILE becomes FILE.1, and so on. Play it back with --source replay:FILE. With --from,
    what is recorded is each tick of a running Ticker.
    """
    settings = ctx.find_object(Settings)
    if settings is None:
        raise AssertionError("the group hands its settings on")
    logs.configure(settings.log_format)
    if url is None:
        if symbols or api_key_file is not None:
            raise click.UsageError("--symbol and --api-key-file go with --from")
        _record_exchange(settings, file, source)
    elif ctx.get_parameter_source("source") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("pass either --source or --from, not both")
    else:
        try:
            key = find_key(ctx, settings, url, api_key, api_key_file)
            stream = connect(
                url,
                api_key=key,
                symbols=symbols or None,
                mode="every",
                open_timeout=WATCH_OPEN_SECONDS,
            )
            _record_stream(stream, file, url)
        except ValueError as error:
            raise click.UsageError(str(error)) from None


def _record_exchange(settings: Settings, file: Path, source: str) -> None:
    writer = CaptureWriter(file)
    try:
        feed = _feed(settings, source)
        with writer:
            symbols = ", ".join(feed.symbols)
            click.echo(f"recording {symbols} from {source} into {file}; Ctrl-C stops", err=True)
            trio.run(_record, feed, writer, settings)
    except SourceConfigError as error:
        raise click.UsageError(str(error)) from None
    except CaptureError as error:
        if writer.written:
            _sum_up(writer)
        raise click.ClickException(str(error)) from None
    _sum_up(writer)


def _record_stream(stream: AbstractAsyncContextManager[Client], file: Path, url: str) -> None:
    writer = CaptureWriter(file)
    recording = StreamRecording(writer)
    try:
        with writer:
            click.echo(f"recording every tick of {url} into {file}; Ctrl-C stops", err=True)
            trio.run(_until_signal, recording, stream)
    except (CaptureError, TickerError) as error:
        if writer.written:
            _sum_up(writer, recording.gaps)
        raise click.ClickException(str(error)) from None
    _sum_up(writer, recording.gaps)


def _sum_up(writer: CaptureWriter, gaps: int = 0) -> None:
    """Say what was recorded, also where a fault ended that, maybe after hours."""
    left_out = f", {writer.skipped} left out" if writer.skipped else ""
    click.echo(f"{writer.written} messages recorded{left_out}", err=True)
    if gaps:
        click.echo(f"ticks are missing in {gaps} {'place' if gaps == 1 else 'places'}", err=True)


async def _until_signal(
    recording: StreamRecording, stream: AbstractAsyncContextManager[Client]
) -> None:
    """Record until a signal comes, or the stream fails for good."""
    fault: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
        try:
            await recording.run(stream)
        except (CaptureError, TickerError) as error:
            fault = error  # not from within, where it would come in a group
        nursery.cancel_scope.cancel()
    if fault is not None:
        raise fault


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
