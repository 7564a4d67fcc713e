"""What every test may ask for."""

from __future__ import annotations

from tests.support.fixtures import any_database, either, launched, postgres, serve, server

__all__ = ["any_database", "either", "launched", "postgres", "serve", "server"]
