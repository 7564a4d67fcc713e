"""The application for Hypercorn with parts that break on demand; see `sabotage.py`."""

from __future__ import annotations

from tests.support.sabotage import install
from ticker.asgi import app

__all__ = ["app"]

install()
