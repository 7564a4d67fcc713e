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
from functools import lru_cache
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


def _stamp(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """Add the time, as structlog's own `TimeStamper` does, in a third of its time."""
    second, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    event["timestamp"] = f"{_written(second)}.{microseconds:06d}Z"
    return event


@lru_cache(maxsize=2)
def _written(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


_SHARED: Final[tuple[Processor, ...]] = (
    structlog.processors.add_log_level,
    _stamp,
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
    json_lines = _is_json(log_format, stream)
    structlog.configure(
        processors=[_json_line] if json_lines else [_throttled, *_SHARED, *renderers],
        wrapper_class=_BoundLogger,
        logger_factory=lambda *_: _LineLogger(stream),
        cache_logger_on_first_use=True,
    )


class _LineLogger:
    """Writes lines, as structlog's loggers do, by methods that are called as levels are."""

    def __init__(self, stream: LossyStream) -> None:
        self._writer = stream.writer

    def info(self, line: str | bytes) -> None:
        """Write a line that has no line break yet."""
        if isinstance(line, str):
            self._writer.put(f"{line}\n")
        else:
            self._writer.put_encoded(line + b"\n")

    msg = debug = warn = warning = error = critical = exception = info


def _json_line(logger: WrappedLogger, level: str, event: EventDict) -> bytes:
    """Do for a line of JSON, in one step, all that the processors do one by one.

    A stream logs two of them, which were a sixth of its handshake and a quarter of its end.
    """
    _throttled(logger, level, event)
    for processor in _SHARED:
        processor(logger, level, event)
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    return _json(event)


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


_encoder: Final = msgspec.json.Encoder(enc_hook=repr)


def _json(event: object) -> bytes:
    try:
        return _encoder.encode(event)
    except (TypeError, ValueError):  # half a surrogate pair, a key that is no text
        return json.dumps(event, default=repr, skipkeys=True).encode("ascii")


def _is_json(log_format: str, stream: LossyStream) -> bool:
    return log_format == "json" or (log_format == "auto" and not stream.isatty())


def _renderers(log_format: str, stream: LossyStream) -> list[Processor]:
    if _is_json(log_format, stream):
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(lambda event, **_: _json(event).decode()),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
