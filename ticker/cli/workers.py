"""Several processes that serve: what their supervisor does, from the settings to the exit code."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from functools import partial

import structlog
import trio

from ticker import limits
from ticker.cli.sign_in import print_sign_in_address
from ticker.cluster.siblings import SHARED_FILES
from ticker.exception_groups import leaves
from ticker.security.secrets_file import SecretFileError
from ticker.server import service_lock
from ticker.server.listeners import address_of
from ticker.server.process import ServiceError
from ticker.server.shared_port import listen
from ticker.server.supervisor import Supervisor, WorkerStartError
from ticker.server.worker_process import WorkerProcess
from ticker.settings.model import Settings
from ticker.startup import Opened, open_authority, warn
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.urls import DatabaseUrlError, open_database
from ticker.supervision import RestartPolicy

log = structlog.get_logger()

#: A worker that crashes leaves its siblings more work: it comes back at once, but not again and
#: again.
_RESTARTS = RestartPolicy(initial=0.1, maximum=30.0, reset_after=10.0)


def supervise(settings: Settings) -> int:
    """Run the workers until a signal ends them; returns the exit code.

    Raises:
        ServiceError: the service cannot start.
    """
    with service_lock.locked(settings.data_dir, service_lock.identity(os.getpid())):
        # Before a port is listened on, although only the workers use them.
        service_lock.look_at(settings.data_dir, SHARED_FILES)
        opened = _prepare(settings)
        try:
            sockets = listen(settings.host.strip("[]"), settings.port, settings.workers)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ServiceError(
                f"cannot listen on {settings.host}:{settings.port}: {reason}"
            ) from None
        warn(settings, opened)
        supervisor = Supervisor(
            # As this process was started, whatever started it.
            partial(WorkerProcess.start, (sys.executable, *sys.orig_argv[1:])),
            sockets,
            _RESTARTS,
            grace=settings.graceful_timeout + limits.WORKER_REAP_SECONDS,
        )
        url = f"http://{address_of(sockets[0])}"
        try:
            trio.run(_run, supervisor, url, opened.demo_key)
        except* WorkerStartError as group:
            # The worker has said why. One that was killed has no exit code of its own.
            ended = [each.status for each in leaves(group) if isinstance(each, WorkerStartError)]
            supervisor.status = max(1, *ended)
        finally:
            for each in sockets:
                each.close()
        return supervisor.status


async def _run(supervisor: Supervisor, url: str, demo_key: str | None) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        if not supervisor.serves:
            return  # it was told to end while it started
        log.info("listening", url=url)
        if demo_key is not None and sys.stdout.isatty():
            await trio.sleep(limits.LOG_SETTLE_SECONDS)
            print_sign_in_address(url, demo_key)


def _prepare(settings: Settings) -> Opened:
    """Make the database and the secrets, once for all workers."""
    try:
        with (
            closing(open_database(settings.database)) as database,
            service_lock.starting(settings.data_dir),
        ):
            return open_authority(settings, database)
    except DatabaseUrlError as error:
        raise ServiceError(f"TICKER_DATABASE_URL: {error}", settings=True) from None
    except (DatabaseUnavailableError, SecretFileError) as error:
        raise ServiceError(str(error)) from None
