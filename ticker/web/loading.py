"""The application of `ticker serve`: its service at once, and Quart as soon as it is loaded.

Quart-Trio serves the token endpoint and static files, and Hypercorn brings it their requests. The
two take as long to load as everything else together, and no stream needs them: so a thread loads
them once the service listens and ticks, and the first requests of HTTP wait for that.

A thread that imports holds the interpreter's lock, which the loop has to get back after each system
call. By default it would wait 5 ms for it each time; meanwhile it waits a hundredth of that. One
thing holds it longer: the table of `hpack`, which Hypercorn loads for HTTP/2, is one constant of
4,096 tuples, and takes 30 ms at once. So that is loaded before the service listens.

Rules for this module: it is the one place of the server where an import is put off.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import hpack  # noqa: F401 - see above
import trio
from hypercorn.config import Config

from ticker import limits, service
from ticker.http.bridge import HttpServer
from ticker.service import Service
from ticker.settings.model import Settings
from ticker.settings.network_readers import Endpoint

if TYPE_CHECKING:
    from ticker.web.app import TickerApp


class LoadingApp:
    """A service, and the application in front of it once it is there.

    Attributes:
        service: runs while `running` does.
    """

    service: Service

    def __init__(self, settings: Settings, config: Config, worker: int | None = None) -> None:
        """Prepare.

        Args:
            settings: of everything.
            config: Hypercorn's.
            worker: which of our supervisor's workers this process is, from 1; None if it is none.
        """
        self._settings = settings
        self._config = config
        self._worker = worker
        self._http: HttpServer | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        """Run the service until the block is left; raises as `service.running`."""
        async with service.running(self._settings, self._worker) as self.service:
            if isinstance(self._settings.metrics, Endpoint):
                await self.load_http()  # where that cannot be listened on, nothing starts
            yield self.service

    async def load_http(self) -> HttpServer:
        """Return what answers HTTP for the running service."""
        if self._http is None:
            with _unnoticed():
                app, http = await trio.to_thread.run_sync(_load, self._settings, self._config)
            await app.attach(self.service)
            self._http = http
        return self._http


def _load(settings: Settings, config: Config) -> tuple[TickerApp, HttpServer]:
    from hypercorn.utils import wrap_app  # noqa: PLC0415 - see above

    from ticker.http.hypercorn_server import HypercornServer  # noqa: PLC0415 - see above
    from ticker.web.app import create_app  # noqa: PLC0415 - see above

    app = create_app(settings)
    return app, HypercornServer(wrap_app(app, config.wsgi_max_body_size, "asgi"), config)


@contextmanager
def _unnoticed() -> Iterator[None]:
    """Let a thread load modules without the loop's waiting for it.

    What it loads stays to the end: the garbage collector does not go through it.
    """
    interval, collecting = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(limits.LOADING_SWITCH_SECONDS)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
        sys.setswitchinterval(interval)
