"""`ticker serve`: the whole service in this process."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click
import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from hypercorn.utils import LifespanFailureError

from ticker import limits, logs, standard_streams
from ticker.exception_groups import first
from ticker.server import worker
from ticker.settings.loader import load
from ticker.settings.model import Settings
from ticker.web.app import TickerApp, create_app

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
    options = {name: value or common.get(name) for name, value in options.items()}
    settings = load(config=config or common["config"], options=options).settings
    standard_streams.take()
    logs.configure(settings.log_format)
    worker.install()
    app = create_app(settings)
    app.log_refusal = False
    server = _server_config(settings, logs.adopt_libraries(settings.log_format))
    fault: str | None = None
    try:
        trio.run(_serve, app, server)
    except* LifespanFailureError:
        pass  # what failed is known to the application, and was logged if it had begun
    except* OSError as errors:
        fault = f"cannot listen on {settings.host}:{settings.port}: {first(errors)}"
    if app.refusal is not None:
        kind = click.UsageError if app.refusal.settings else click.ClickException
        raise kind(str(app.refusal))
    if fault is not None:
        raise click.ClickException(fault)
    return 1 if app.failed else 0


async def _serve(app: TickerApp, server: Config) -> None:
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(hypercorn_serve, app, server)
        # Hypercorn comes this far even where the application refused to start.
        if app.refusal is None and not app.failed:
            for bind in binds:
                log.info("listening", url=bind)


def _server_config(settings: Settings, logger: logging.Logger) -> Config:
    server = Config()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    server.bind = [f"{host}:{settings.port}"]
    server.backlog = limits.BACKLOG
    server.graceful_timeout = settings.graceful_timeout
    server.errorlog = logger
    server.loglevel = "WARNING"
    return server
