"""Ticker: a real-time crypto price stream that people may depend on.

`create_app` and `Settings` make the service, `connect` is the client. Each is imported when
it is first asked for, so that a client pays nothing for the server and the other way round.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ticker.client import connect as connect
    from ticker.settings.model import Settings as Settings
    from ticker.web.app import create_app as create_app

__all__ = ["Settings", "__version__", "connect", "create_app"]

__version__: str

_HOMES: Final = {
    "Settings": "ticker.settings.model",
    "connect": "ticker.client",
    "create_app": "ticker.web.app",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("ticker")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
