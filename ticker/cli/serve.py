"""`ticker serve`: the whole service, in this process or in several workers."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
import structlog
import trio
from hypercorn.config import Config, Sockets

from ticker import limits, logs, standard_streams
from ticker.cli import quitting_on_interrupt
from ticker.cli.program import SettingsFile
from ticker.cli.sign_in import print_sign_in_address
from ticker.cli.workers import supervise
from ticker.exception_groups import leaves
from ticker.server import worker
from ticker.server.handed_over import HandedOver
from ticker.server.handover import Handover
from ticker.server.process import ServiceError
from ticker.settings.errors import SettingsError
from ticker.settings.loader import load
from ticker.settings.model import Settings
from ticker.web.loading import LoadingApp

log = structlog.get_logger()


@click.command()
@click.option("--host", help="The address to listen on.")
@click.option("--port", help="The port to listen on; 0 lets the system choose.")
@click.option("--source", help="Where prices come from, as in simulated or replay:FILE.")
@click.option("--workers", help="How many processes serve, of one market.")
@click.option("--tick", help="The broadcast interval, as in 10ms.")
@click.option("--data-dir", help="The directory of the database and of development secrets.")
@click.option("--config", type=SettingsFile(), help="A TOML file with settings.")
@click.pass_obj
def serve(common: dict[str, Any], /, config: Path | None, **options: str | None) -> int:
    """Serve the page, the token endpoint, the prices and the stream."""
    # Until the service listens there is nothing to close; then `worker.serve` takes the signal.
    with quitting_on_interrupt():
        return _serve_process(common, config, options)


def _serve_process(
    common: dict[str, Any], config: Path | None, options: dict[str, str | None]
) -> int:
    options = {name: value or common.get(name) for name, value in options.items()}
    settings = load(config=config or common["config"], options=options).settings
    handover = Handover.of(os.environ)
    standard_streams.take()
    logs.configure(settings.log_format, worker=None if handover is None else handover.number)
    failure: BaseException | None = None
    try:
        if settings.workers > 1 and handover is None:
            return supervise(settings)
        handed = None if handover is None else HandedOver(handover)
        server = _server_config(settings, logs.adopt_libraries(settings.log_format))
        app = LoadingApp(settings, server, None if handed is None else handed.number)
        trio.run(_serve, app, server, handed)
    except* Exception as group:  # noqa: BLE001 - the end of the process follows
        failure = group
    if failure is None:
        return 0
    for refused in leaves(failure):
        if isinstance(refused, ServiceError):
            if refused.settings:
                raise SettingsError([str(refused)])
            raise click.ClickException(str(refused))
    with suppress(Exception):  # what becomes of the log decides nothing
        worker.report(failure)
    return 1


async def _serve(app: LoadingApp, server: Config, handed: HandedOver | None) -> None:
    if handed is not None:
        await _serve_handed(app, server, handed)
        return
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(worker.serve, app, app.load_http, server)
        for url in urls:
            log.info("listening", url=url)
        service = app.service
        if service.demo_key is not None and sys.stdout.isatty():
            # After what the sources say of their start, so that it is the last line.
            with trio.move_on_after(limits.FIRST_PRICE_SECONDS):
                while service.engine.not_ready() is not None:  # noqa: ASYNC110 - no event tells
                    await trio.sleep(service.settings.tick)
                await trio.sleep(limits.LOG_SETTLE_SECONDS)
            print_sign_in_address(urls[0], service.demo_key)


async def _serve_handed(app: LoadingApp, server: Config, handed: HandedOver) -> None:
    """Serve as one of several workers, on the socket that the supervisor handed over."""
    serve = partial(
        worker.serve,
        app,
        app.load_http,
        server,
        sockets=Sockets([], [handed.listening], []),
        shutdown_trigger=handed.wait_end,
        accepts_while_draining=handed.accepts_while_draining,
    )
    async with trio.open_nursery() as living:
        async with trio.open_nursery() as serving:
            await serving.start(serve)
            living.start_soon(handed.show_life)
        handed.say_ending()
        living.cancel_scope.cancel()


def _server_config(settings: Settings, logger: logging.Logger) -> Config:
    server = Config()
    host = settings.host.strip("[]")
    server.bind = [f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"]
    server.backlog = limits.BACKLOG
    server.graceful_timeout = settings.graceful_timeout
    server.errorlog = logger
    server.loglevel = "WARNING"
    return server
