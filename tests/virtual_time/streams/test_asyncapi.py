"""The AsyncAPI document is that of the messages, and every message is as it says."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
import trio
import yaml  # type: ignore[import-untyped]  # it has no types of its own
from trio.testing import MockClock

from tests.support import asyncapi
from tests.support.inmemory import Client, World
from tests.support.made_up import grant, quotes
from ticker.protocol.close_codes import CloseCode


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(asyncapi.DOCUMENT.read_text())
    return found


def test_the_document_is_made_from_the_messages() -> None:
    assert asyncapi.DOCUMENT.read_text() == asyncapi.text(), "run python -m tests.support.asyncapi"


def check(document: dict[str, Any], message: dict[str, Any]) -> None:
    """Check a message against the schema of its type."""
    kind = str(message["type"])
    name = next(name for name in document["components"]["schemas"] if name.lower() == kind)
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(message)


async def test_every_message_of_a_life_is_as_the_document_says(
    autojump_clock: MockClock, running: World, document: dict[str, Any]
) -> None:
    running.authority.grants["renewed"] = grant("renewed")
    said: dict[str, dict[str, Any]] = {}
    requests: list[dict[str, Any]] = [
        {"type": "ping", "id": 1},
        {"type": "nonsense", "id": "a"},
        {"type": "subscribe", "symbols": ["BTC-USD"], "interval_ms": 20, "id": 2},
        {
            "type": "subscribe",
            "mode": "every",
            "detail": "full",
            "resume": {"epoch": "e", "seq": 1},
        },
        {"type": "auth", "token": "renewed", "id": 3},
        {"type": "unsubscribe"},
        {"type": "subscribe", "mode": "changes"},
    ]

    async def hear(client: Client) -> None:
        for frame in client.arrived():
            check(document, frame.message)
            said[frame.message["type"]] = frame.message

    async with running.client() as client:
        for request in requests:
            if request["type"] != "nonsense":
                check(document, {**request, "type": request["type"]})
            client.send(request)
            running.source.put.send_nowait(quotes(trio.current_time(), 2, source="kraken"))
            await trio.sleep(0.1)
            await hear(client)
        running.market.hub.published.begin_epoch("another", running.market.hub.published.seq + 1)
        await running.context.sessions.tell_epoch()
        running.source.put.send_nowait(RuntimeError("crash"))
        await trio.sleep(0.1)
        await hear(client)
        for session in running.context.sessions:
            session.end(CloseCode.RESTART, retry_after_ms=5)
        while True:
            frame = await client.frame()
            assert frame is not None
            check(document, frame.message)
            said[frame.message["type"]] = frame.message
            if frame.message["type"] == "closing":
                break
        await client.closed()
    assert said.keys() == {"ticker", *(name.lower() for name in map(_name, asyncapi.SAID))}


def _name(struct: type) -> str:
    return struct.__name__
