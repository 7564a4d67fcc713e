"""Logging: one event a line, with fields, on standard error.

Event names are constants in snake_case. No secret is ever a field; tracebacks are shown
without the values of local variables, which could hold one.

A call that logs never raises, waits, or decides anything: lines go through a `LogWriter`, which
drops what cannot be written and counts it (`ticker_log_dropped_total`). What strangers can cause
is limited by a `Throttle`.
"""

from __future__ import annotations

import json
import logging
import time
from threading import RLock
from typing import Any, Final, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ticker import standard_streams
from ticker.log_throttle import Throttle
from ticker.log_writer import LossyStream

#: What every line has, to tell processes that log into one place apart.
_process: dict[str, int] = {}
_throttle = Throttle()
_throttle_lock = RLock()


def _name_process(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """Add which process it is."""
    for name, value in _process.items():
        event.setdefault(name, value)
    return event


_SHARED: Final[tuple[Processor, ...]] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _name_process,
)


def configure(log_format: str, *, worker: int | None = None) -> None:
    """Send our events to standard error.

    Args:
        log_format: `console`, `json`, or `auto` for console on a terminal and JSON elsewhere.
        worker: which worker this process is, of several that log into one place.
    """
    if worker is not None:
        _process["worker"] = worker
    stream = standard_streams.standard("stderr")
    renderers = _renderers(log_format, stream)
    stream.writer.report = lambda count: _line(renderers, "log_lines_dropped", count=count)
    stream.writer.more = lambda now: _summaries(renderers, now)
    structlog.configure(
        processors=[_throttled, *_SHARED, *renderers],
        wrapper_class=_BoundLogger,
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stream)),
        cache_logger_on_first_use=True,
    )


def adopt_libraries(log_format: str) -> logging.Logger:
    """Send what libraries log (Hypercorn, Quart, trio) the same way, from warnings up.

    Returns:
        The logger to give Hypercorn.
    """
    handler = logging.StreamHandler(cast("TextIO", standard_streams.standard("stderr")))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format, standard_streams.standard("stderr")),
            ],
        )
    )
    handler.addFilter(_admit_record)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    return logging.getLogger("hypercorn.error")


def take_handlers() -> None:
    """Let the handlers that other loggers have by now neither raise nor wait.

    Those are Hypercorn's of its `--access-logfile` and `--error-logfile`.
    """
    for logger in tuple(logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            # What is derived from these rotates its file, which is between it and the file.
            if type(handler) not in {logging.StreamHandler, logging.FileHandler}:
                continue
            handler.setStream(standard_streams.lossy(handler.stream))
            if getattr(logger, "name", "") != "hypercorn.access":
                handler.addFilter(_admit_record)


class _BoundLogger(structlog.make_filtering_bound_logger(logging.INFO)):  # type: ignore[misc]
    """A logger that drops what cannot be rendered, and counts it."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, **fields: Any) -> Any:
        try:
            return super()._proxy_to_logger(method_name, event, **fields)
        except Exception:  # noqa: BLE001 - whatever a field's repr raises is not the caller's
            standard_streams.standard("stderr").writer.drop()
            return None


def _throttled(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """Leave out what came too often."""
    name = str(event.get("event"))
    error = event.get("exc_info")
    reason = type(error).__name__ if error else str(event.get("reason", ""))
    with _throttle_lock:
        if _throttle.admit(name, str(event.get("address", "")), reason, time.monotonic()):
            return event
    raise structlog.DropEvent


def _admit_record(record: logging.LogRecord) -> bool:
    """Leave out records of the standard library's loggers that came too often."""
    with _throttle_lock:
        name = f"{record.name} {record.levelname}"
        return _throttle.admit(name, "", "", time.monotonic())


def _summaries(renderers: list[Processor], now: float) -> str:
    """Return the lines that sum up what was left out, as far as they are due."""
    with _throttle_lock:
        due = _throttle.summaries(now)
    return "".join(
        _line(renderers, "events_left_out", address=each.address, counts=each.counts)
        for each in due
    )


def _line(renderers: list[Processor], name: str, **fields: object) -> str:
    """Render an event of the log's own."""
    event: Any = {"event": name, **fields}
    for processor in (*_SHARED, *renderers):
        event = processor(None, "warning", event)
    return f"{event}\n"


def _json(event: object, **_options: object) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except (TypeError, ValueError):  # half a surrogate pair, a key that is no text
        return json.dumps(event, default=repr, skipkeys=True)


def _renderers(log_format: str, stream: LossyStream) -> list[Processor]:
    if log_format == "json" or (log_format == "auto" and not stream.isatty()):
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
