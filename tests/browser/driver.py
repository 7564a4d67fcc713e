"""Playwright's names, which are absent where it is not installed.

The tests can be collected all the same; the `chromium` fixture then skips or fails them.
"""

from __future__ import annotations

from typing import Any

try:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        CDPSession,
        Page,
        Route,
        WebSocket,
        WebSocketRoute,
        expect,
        sync_playwright,
    )

    INSTALLED = True
except ImportError:
    Browser = BrowserContext = CDPSession = Page = Route = WebSocket = WebSocketRoute = Any  # type: ignore[assignment, misc]
    expect = sync_playwright = None  # type: ignore[assignment]
    INSTALLED = False

__all__ = [
    "INSTALLED",
    "Browser",
    "BrowserContext",
    "CDPSession",
    "Page",
    "Route",
    "WebSocket",
    "WebSocketRoute",
    "expect",
    "sync_playwright",
]
