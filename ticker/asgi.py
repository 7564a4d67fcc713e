"""The application for Hypercorn's own command.

`hypercorn --worker-class trio --bind 127.0.0.1:8081 ticker.asgi:app` serves all that
`ticker serve` does. Settings come from `TICKER_*` and `./ticker.toml`.
"""

from __future__ import annotations

import sys

from ticker import logs, standard_streams
from ticker.server import worker
from ticker.settings.loader import SettingsError, load
from ticker.web.app import create_app

__all__ = ["app"]

standard_streams.take()
try:
    _settings = load().settings
except SettingsError as error:
    # Under Hypercorn there is nobody above who could show this better than as it is.
    print(*(f"ticker: {fault}" for fault in error.faults), sep="\n", file=sys.stderr)  # noqa: T201 - before any log
    worker.fail_arbiter()
    sys.exit(2)

logs.configure(_settings.log_format)
worker.install()
app = create_app(_settings)
