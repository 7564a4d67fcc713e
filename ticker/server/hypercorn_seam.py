"""The one seam with Hypercorn's own command: its `worker_serve` becomes ours.

`install` binds `worker_serve`, which the command and `hypercorn.trio.serve` call, to a function
with the same signature that calls `worker.serve`. Nothing else of Hypercorn is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import hypercorn.trio
import hypercorn.trio.run
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config, Sockets
from hypercorn.trio.statsd import StatsdLogger
from hypercorn.typing import AppWrapper

from ticker.http.hypercorn_server import HypercornServer
from ticker.server.exit_watcher import ExitWatcher
from ticker.server.worker import Application, Listening, ShutdownTrigger, report, serve

_stock_worker_serve: Final = hypercorn.trio.run.worker_serve


def install(exit_watcher: ExitWatcher | None = None) -> None:
    """Have Hypercorn call `serve` in the place of its own worker.

    Args:
        exit_watcher: of a worker of Hypercorn's command. With one, a failure is logged and
            becomes an exit code; without one it is raised.
    """

    async def worker_serve(
        app: AppWrapper,
        config: Config,
        *,
        sockets: Sockets | None = None,
        shutdown_trigger: ShutdownTrigger | None = None,
        task_status: Listening = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve as Hypercorn's function of this name does."""
        application = app.app if isinstance(app, ASGIWrapper) else None
        if not isinstance(application, Application):  # one without a service is served as ever
            await _stock_worker_serve(
                app,
                config,
                sockets=sockets,
                shutdown_trigger=shutdown_trigger,
                task_status=task_status,
            )
            return
        config.set_statsd_logger_class(StatsdLogger)

        async def loaded() -> HypercornServer:
            return HypercornServer(app, config)

        run = partial(
            serve,
            application,
            loaded,
            config,
            sockets=sockets,
            shutdown_trigger=shutdown_trigger,
            task_status=task_status,
        )
        await (run() if exit_watcher is None else _end_process(run, exit_watcher))

    hypercorn.trio.run.worker_serve = worker_serve
    hypercorn.trio.worker_serve = worker_serve  # type: ignore[attr-defined]


async def _end_process(run: Callable[[], Awaitable[None]], exit_watcher: ExitWatcher) -> None:
    """Run a worker of Hypercorn's command; where it fails, end the process with a failure."""
    failure: BaseException | None = None
    try:
        await run()
    except* Exception as group:  # noqa: BLE001 - the end of the process follows
        failure = group
    if failure is None:
        exit_watcher.ends_well()
        return
    with suppress(Exception):  # what becomes of the log decides nothing
        report(failure)
    sys.exit(1)
