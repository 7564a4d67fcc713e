"""The application for Hypercorn's own command.

`hypercorn --worker-class trio --bind 127.0.0.1:8081 ticker.asgi:app` serves all that
`ticker serve` does. Settings come from `TICKER_*` and `./ticker.toml`.
"""

from __future__ import annotations

import sys

import structlog

from ticker import logs, standard_streams
from ticker.server import hypercorn_seam
from ticker.server.exit_watcher import start_exit_watcher
from ticker.settings.loader import SettingsError, load
from ticker.web.app import create_app

__all__ = ["app"]

_exit_watcher = start_exit_watcher()  # first of all: it is a fork, which threads do not survive
standard_streams.take()
try:
    _settings = load().settings
except SettingsError as error:
    # Under Hypercorn nothing above could show this better than as it is.
    print(*(f"ticker: {fault}" for fault in error.faults), sep="\n", file=sys.stderr)  # noqa: T201 - before any log
    sys.exit(2)

logs.configure(_settings.log_format)
if _settings.workers > 1:
    hint = "hypercorn --workers N, or better `ticker serve --workers N`"
    structlog.get_logger().warning("workers_ignored", workers=_settings.workers, hint=hint)
hypercorn_seam.install(_exit_watcher)
app = create_app(_settings)
