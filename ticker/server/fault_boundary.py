"""The boundary at which one connection's exceptions stop."""

from __future__ import annotations

import structlog
import trio

from ticker.metrics import Metrics

log = structlog.get_logger()


class FaultBoundary:
    """Lets nothing out of a connection but cancellation and the like.

    A peer that left in the middle of something is no fault. Anything else is a fault of
    this program or of a library: it is counted, and logged once with its traceback.
    """

    # A class rather than a generator: every subscriber holds one for as long as it lives.
    __slots__ = ("_metrics",)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        faults: BaseException | None
        rest: BaseException | None
        if isinstance(error, BaseExceptionGroup):
            _, others = error.split((trio.BrokenResourceError, trio.ClosedResourceError, OSError))
            faults, rest = others.split(Exception) if others is not None else (None, None)
        elif isinstance(error, (trio.BrokenResourceError, trio.ClosedResourceError, OSError)):
            faults, rest = None, None
        elif isinstance(error, Exception):
            faults, rest = error, None
        else:
            return False
        if faults is not None:
            self._metrics.connection_faults.inc()
            log.error("connection_crashed", exc_info=faults)
        if rest is not None:
            raise rest
        return True
