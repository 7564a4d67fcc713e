"""`ticker serve`: the whole service in this process."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import structlog
import trio
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from ticker import limits, logs, standard_streams
from ticker.cli import quitting_on_interrupt
from ticker.exception_groups import leaves
from ticker.server import worker
from ticker.server.process import ServiceError
from ticker.service import Service
from ticker.settings.loader import load
from ticker.settings.model import Settings
from ticker.web.app import TickerApp, create_app
from ticker.web.responses import EXTENSION

log = structlog.get_logger()


@click.command()
@click.option("--host", help="The address to listen on.")
@click.option("--port", help="The port to listen on; 0 lets the system choose.")
@click.option("--source", help="Where prices come from, as in simulated or replay:FILE.")
@click.option("--tick", help="The broadcast interval, as in 10ms.")
@click.option("--data-dir", help="The directory of the database and of development secrets.")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file with settings.")
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
    standard_streams.take()
    logs.configure(settings.log_format)
    app = create_app(settings)
    server = _server_config(settings, logs.adopt_libraries(settings.log_format))
    failure: BaseException | None = None
    try:
        trio.run(_serve, app, server)
    except* Exception as group:  # noqa: BLE001 - the end of the process follows
        failure = group
    if failure is None:
        return 0
    for refused in leaves(failure):
        if isinstance(refused, ServiceError):
            kind = click.UsageError if refused.settings else click.ClickException
            raise kind(str(refused))
    with suppress(Exception):  # what becomes of the log decides nothing
        worker.report(failure)
    return 1


async def _serve(app: TickerApp, server: Config) -> None:
    async with trio.open_nursery() as nursery:
        wrapped = wrap_app(app, server.wsgi_max_body_size, "asgi")
        urls = await nursery.start(worker.serve, app, wrapped, server)
        for url in urls:
            log.info("listening", url=url)
        service: Service = app.extensions[EXTENSION]
        if service.demo_key is not None and sys.stdout.isatty():
            # After what the sources say of their start, so that it is the last line.
            with trio.move_on_after(limits.FIRST_PRICE_SECONDS):
                while service.engine.not_ready() is not None:  # noqa: ASYNC110 - no event tells
                    await trio.sleep(service.settings.tick)
                await trio.sleep(limits.LOG_SETTLE_SECONDS)
            click.echo(sign_in_address(urls[0], service.demo_key))


def sign_in_address(url: str, api_key: str) -> str:
    """Return the address to open in a browser on this machine to be signed in with a key.

    The key is in the fragment, which a browser sends to no server and no proxy.

    Args:
        url: where the server listens, as in `http://0.0.0.0:8081`.
        api_key: the key.
    """
    scheme, _, place = url.partition("://")
    host, _, port = place.rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"{scheme}://{here}:{port}/#key={api_key}"


def _server_config(settings: Settings, logger: logging.Logger) -> Config:
    server = Config()
    host = settings.host.strip("[]")
    server.bind = [f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"]
    server.backlog = limits.BACKLOG
    server.graceful_timeout = settings.graceful_timeout
    server.errorlog = logger
    server.loglevel = "WARNING"
    return server
