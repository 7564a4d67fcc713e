"""The boundary at which one connection's exceptions stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio

from ticker.metrics import Metrics

log = structlog.get_logger()


@contextmanager
def contained(metrics: Metrics) -> Iterator[None]:
    """Let nothing out of a connection but cancellation.

    A peer that left in the middle of something is no fault. Anything else is a fault of ours
    or of a library: it is counted, and logged once with its traceback.
    """
    try:
        yield
    except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass
    except* Exception as group:
        metrics.connection_faults.inc()
        log.exception("connection_crashed", exc_info=group)
