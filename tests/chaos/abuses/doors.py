"""Requests that are refused, as fast as a hundred connections can make them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import trio

from tests.chaos.abuse import Abuse, Run, Target
from tests.support.waiting import eventually

CONNECTIONS: Final = 100
_PATIENCE_SECONDS: Final = 5.0
_FORGED: Final = "A" * 43 + "." + "A" * 43


def _handshake(target: Target, *more: str) -> bytes:
    lines = [
        "GET /ws/ticker HTTP/1.1",
        f"Host: 127.0.0.1:{target.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _post(target: Target, api_key: str, *more: str) -> bytes:
    body = json.dumps({"api_key": api_key})
    lines = [
        "POST /auth/token HTTP/1.1",
        f"Host: 127.0.0.1:{target.port}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return ("\r\n".join([*lines, "", ""]) + body).encode()


async def _ask(target: Target, request: bytes) -> None:
    """Make one request on each of many connections, one after the other."""
    while True:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", target.port)
        except OSError:
            target.done["not connected"] += 1
            continue
        async with stream:
            with trio.move_on_after(_PATIENCE_SECONDS):
                try:
                    await stream.send_all(request)
                    answer = await stream.receive_some(65_536)
                    target.done[answer[9:12].decode() or "nothing"] += 1
                except trio.BrokenResourceError:
                    target.done["cut off"] += 1


def _flood(request: bytes | None = None, **options: Sequence[str]) -> Run:
    async def run(
        target: Target, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        make = partial(_handshake, target, *options.get("handshake", ()))
        if "post" in options:
            make = partial(_post, target, *options["post"])
        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(_ask, target, request or make())
            await eventually(lambda: target.done, "the first answer")
            task_status.started()

    return run


async def _half_said(
    target: Target, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep 1,000 connections open that began a request and never end it."""

    async def begin() -> None:
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", target.port)
            except OSError:
                target.done["not connected"] += 1
                continue
            async with stream:
                try:
                    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-More: ")
                    target.done["begun"] += 1
                    await stream.receive_some(65_536)
                except trio.BrokenResourceError:
                    target.done["cut off"] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(10 * CONNECTIONS):
            nursery.start_soon(begin)
        await eventually(lambda: target.done["begun"] >= CONNECTIONS, "connections")
        task_status.started()


_FOREIGN: Final = "Origin: https://evil.example"
_BEARER: Final = f"Authorization: Bearer {_FORGED}"
_LIMITED: Final = {"TICKER_REFUSED_RATE": "100/minute", "TICKER_AUTH_RATE": "30/minute"}
_PRICES: Final = f"GET /prices HTTP/1.1\r\nHost: a\r\n{_BEARER}\r\nConnection: close\r\n\r\n"
_NO_UPGRADE: Final = "GET /ws/ticker HTTP/1.1\r\nHost: a\r\n\r\n"
_FLOODS: Final[Mapping[str, Run]] = {
    "handshakes-without-token": _flood(handshake=()),
    "handshakes-forged": _flood(handshake=(_BEARER,)),
    "handshakes-of-a-foreign-page": _flood(handshake=(_FOREIGN, _BEARER)),
    "handshakes-without-upgrade": _flood(_NO_UPGRADE.encode()),
    "token-requests-unknown-key": _flood(post=("tk_unknown",)),
    "token-requests-of-a-foreign-page": _flood(post=("tk_unknown", _FOREIGN)),
    "http-forged-bearer": _flood(_PRICES.encode()),
}
ABUSES: Sequence[Abuse] = [
    *(Abuse(name, run, _LIMITED) for name, run in _FLOODS.items()),
    Abuse("requests-half-said", _half_said),
]
