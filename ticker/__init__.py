"""Ticker: a real-time crypto price stream that people may depend on."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("ticker")
