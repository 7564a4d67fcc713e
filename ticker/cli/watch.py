"""`ticker watch`: prices in the terminal, or one message a line for scripts.

A fault is one line on stderr. Ctrl-C and a reader that has closed the pipe are ways to end
it, not faults.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import get_args

import click
import trio

from ticker.cli.output import OutputError
from ticker.cli.target import find_key, key_options, own_url
from ticker.cli.watch_views import Enough, NoPricesError, draw_table, print_json, print_plain
from ticker.client import Client, TickerError, connect
from ticker.exception_groups import first
from ticker.limits import WATCH_OPEN_SECONDS
from ticker.protocol.details import DETAILS, Detail, Mode
from ticker.settings.model import Settings


@click.command()
@click.option("--url", metavar="URL", help="The server; by default the one set up here.")
@key_options
@click.option("--symbol", "symbols", multiple=True, metavar="S", help="Repeat for more than one.")
@click.option("--interval-ms", type=click.IntRange(min=1), help="The fastest pace wanted.")
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    help="latest: every symbol in each message; changes: what has changed; every: each tick.",
)
@click.option("--detail", type=click.Choice(DETAILS), help="full: also offers and the last day.")
@click.option("--json", "as_json", is_flag=True, help="One message a line, for scripts.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many messages with prices.")
@click.pass_context
def watch(
    ctx: click.Context,
    *,
    url: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    symbols: tuple[str, ...],
    interval_ms: int | None,
    mode: Mode | None,
    detail: Detail | None,
    as_json: bool,
    count: int | None,
) -> None:
    """Show live prices until q or Ctrl-C; into a pipe, print a line for each change.

    Without a key, a server on this machine is asked with the demo key in the data directory.
    """
    settings = ctx.find_object(Settings)
    if settings is None:
        raise AssertionError("the group hands its settings on")
    url = url or own_url(settings)
    try:
        api_key = find_key(ctx, settings, url, api_key, api_key_file)
        stream = connect(
            url,
            api_key=api_key,
            symbols=symbols or None,
            interval_ms=interval_ms,
            mode=mode,
            detail=detail,
            open_timeout=WATCH_OPEN_SECONDS,
        )
        _run(stream, _view(as_json=as_json), count)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


Show = Callable[[Client, Enough], Awaitable[None]]


def _view(*, as_json: bool) -> Show:
    if as_json:
        return print_json
    return draw_table if sys.stdout.isatty() else print_plain


def _run(stream: AbstractAsyncContextManager[Client], show: Show, count: int | None) -> None:
    """Run until the end; what a person should know of a failure goes to stderr in one line."""
    fault: BaseException | None = None
    try:
        trio.run(_watch, stream, show, count)
    except* KeyboardInterrupt:
        pass  # while it was still connecting; later, the signal is waited for
    except* (TickerError, NoPricesError, OutputError) as group:
        fault = first(group)
    if isinstance(fault, OutputError):
        raise fault  # every command tells it in the same words
    if fault is not None:
        raise click.ClickException(str(fault))


async def _watch(
    stream: AbstractAsyncContextManager[Client], show: Show, count: int | None
) -> None:
    async with stream as client, trio.open_nursery() as nursery:
        # Inside the stream's block, so that the stream is closed in the ordinary way.
        await nursery.start(_cancel_at_signal, nursery.cancel_scope)
        nursery.start_soon(_cancel_without_reader, nursery.cancel_scope)
        enough = Enough(count)
        nursery.start_soon(enough.expire)
        await show(client, enough)
        nursery.cancel_scope.cancel()


async def _cancel_at_signal(
    scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


async def _cancel_without_reader(scope: trio.CancelScope) -> None:
    """End where the other end of a pipe is closed, also while there is nothing to write."""
    try:
        descriptor = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return
    except (AttributeError, OSError):
        return
    # The writing end of a pipe is never readable: what wakes this is the error of epoll(7).
    await trio.lowlevel.wait_readable(descriptor)
    scope.cancel()
