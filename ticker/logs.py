"""Logging: one event a line, with fields, on standard error.

Event names are constants in snake_case. No secret is ever a field; tracebacks are shown
without the values of local variables, which could hold one.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import msgspec
import structlog
from structlog.typing import Processor

_SHARED: Final[tuple[Processor, ...]] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _json(event: object, **_options: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def _renderers(log_format: str) -> list[Processor]:
    if log_format == "json" or (log_format == "auto" and not sys.stderr.isatty()):
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


def configure(log_format: str) -> None:
    """Send our events to standard error.

    Args:
        log_format: `console`, `json`, or `auto` for console on a terminal and JSON elsewhere.
    """
    structlog.configure(
        processors=[*_SHARED, *_renderers(log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def adopt_libraries(log_format: str) -> logging.Logger:
    """Send what libraries log (Hypercorn, Quart, trio) the same way, from warnings up.

    Returns:
        The logger to give Hypercorn.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    return logging.getLogger("hypercorn.error")
