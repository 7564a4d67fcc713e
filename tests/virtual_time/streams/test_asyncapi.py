"""The AsyncAPI document is that of the messages, and every message is as it says."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
import trio
import yaml  # type: ignore[import-untyped]  # it has no types of its own
from trio.testing import MockClock

from tests.support import asyncapi
from tests.support.inmemory import Client, World
from tests.support.made_up import grant, quotes
from ticker.encodings.json import JSON_FORMAT
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.requests import BadMessageError


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


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "ping"},
        {"type": "ping", "id": "a" * 80},
        {"type": "ping", "id": "a" * 81},
        {"type": "ping", "id": True},
        {"type": "ping", "more": 1},
        {"type": "unsubscribe", "id": None},
        {"type": "auth"},
        {"type": "auth", "token": "t", "id": 1.5},
        {"type": "subscribe", "symbols": []},
        {"type": "subscribe", "symbols": None, "interval_ms": None, "mode": None},
        {"type": "subscribe", "symbols": "BTC-USD"},
        {"type": "subscribe", "interval_ms": 0},
        {"type": "subscribe", "interval_ms": 1},
        {"type": "subscribe", "interval_ms": 60000},
        {"type": "subscribe", "interval_ms": 60001},
        {"type": "subscribe", "interval_ms": 1.5},
        {"type": "subscribe", "mode": "every"},
        {"type": "subscribe", "mode": "every", "interval_ms": 10},
        {"type": "subscribe", "mode": "changes", "interval_ms": 10, "detail": "full"},
        {"type": "subscribe", "mode": "newest"},
        {"type": "subscribe", "resume": {"epoch": "e", "seq": 0}},
        {"type": "subscribe", "resume": {"epoch": "", "seq": 0}},
        {"type": "subscribe", "resume": {"epoch": "e" * 65, "seq": 0}},
        {"type": "subscribe", "resume": {"epoch": "e", "seq": -1}},
        {"type": "subscribe", "resume": {"epoch": "e", "seq": 2**53 + 1}},
        {"type": "subscribe", "resume": {"epoch": "e"}},
    ],
    ids=json.dumps,
)
def test_a_request_is_read_where_the_document_says_so_and_refused_where_not(
    document: dict[str, Any], request_: dict[str, Any]
) -> None:
    try:
        JSON_FORMAT.request(json.dumps(request_))
        read = True
    except BadMessageError:
        read = False
    try:
        check(document, request_)
        said = True
    except jsonschema_rs.ValidationError:
        said = False
    assert said is read


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
