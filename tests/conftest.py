"""What every test may ask for."""

from __future__ import annotations

from tests.support.fixtures import either, launched, serve, server

__all__ = ["either", "launched", "serve", "server"]
