"""The AsyncAPI document of the stream, made from the structs of its messages.

`python -m tests.support.asyncapi` writes docs/asyncapi.yaml; a test sees that it is up to date.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import yaml  # type: ignore[import-untyped]  # it has no types of its own

from ticker import limits
from ticker.protocol import messages, paths, requests
from ticker.protocol.details import Detail, Mode

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
SAID: Final = (
    messages.Welcome,
    messages.Pong,
    messages.Subscribed,
    messages.Epoch,
    messages.Unsubscribed,
    messages.Authenticated,
    messages.Status,
    messages.Error,
    messages.Closing,
)
ASKED: Final = get_args(requests.Request)
#: What answers no request.
_OVER_HTTP: Final = frozenset({"Welcome", "Subscribed", "Epoch", "Status", "Closing"})
#: What only the detail `full` shows of a quote.
_FULL: Final = {
    "bid": "The best price that is bid.",
    "ask": "The best price that is asked.",
    "open_24h": "The price 24 hours ago.",
    "high_24h": "The highest price within 24 hours.",
    "low_24h": "The lowest price within 24 hours.",
    "volume_24h": "What was traded within 24 hours, in the base currency.",
    "change_24h": "From `open_24h` to the price, in per cent.",
}
_REF: Final = "#/components/schemas/{name}"
_ID: Final = {
    "description": "A number or a text, which comes back in the answer just as it was sent.",
    "type": ["number", "string", "null"],
    "maxLength": limits.REQUEST_ID_CHARS,
}
_INTERVAL: Final = {"type": "integer", "minimum": 1, "maximum": limits.INTERVAL_MAX_MS}
_QUERY: Final = {
    "type": "object",
    "properties": {
        "symbols": {"description": "With commas between them.", "type": "string"},
        "interval_ms": _INTERVAL,
        "mode": {"enum": list(get_args(Mode))},
        "detail": {"enum": list(get_args(Detail))},
        "resume": {"description": "EPOCH:SEQ", "type": "string"},
    },
}
#: What `ticker.protocol.requests.check` sees to, and no struct says.
_BOUNDS: Final[dict[str, dict[str, Any]]] = {
    "Subscribe": {
        "symbols": {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1},
        "interval_ms": {**_INTERVAL, "type": ["integer", "null"]},
    },
    "Resume": {
        "epoch": {"type": "string", "minLength": 1, "maxLength": limits.EPOCH_CHARS},
        "seq": {"type": "integer", "minimum": 0, "maximum": limits.SEQ_MAX},
    },
}
#: The mode `every` has no interval.
_NO_INTERVAL: Final = {
    "if": {"properties": {"mode": {"const": "every"}}, "required": ["mode"]},
    "then": {"properties": {"interval_ms": {"type": "null"}}},
}
#: What is written without a struct (`ticker.encodings.json`).
_TICKER: Final = {
    "Ticker": {
        "description": "Prices.",
        "type": "object",
        "properties": {
            "type": {"const": "ticker"},
            "data": {"type": "array", "items": {"$ref": _REF.format(name="Price")}},
            "seq": {"description": "The tick's number.", "type": "integer", "minimum": 0},
            "time": {"description": "In milliseconds since the epoch.", "type": "integer"},
            "prev": {
                "description": "The tick since which `data` holds what has changed.",
                "type": "integer",
                "minimum": 0,
            },
            "snapshot": {"description": "Whether it replaces all before it.", "const": True},
        },
        "required": ["type", "data", "seq", "time"],
        "additionalProperties": False,
    },
    "Price": {
        "description": "The price of one symbol.",
        "type": "object",
        "properties": {
            "symbol": {"type": "string"},
            "price": {
                "description": "With every digit; a text in MessagePack.",
                "type": ["number", "string"],
            },
            "timestamp": {"description": "In seconds since the epoch.", "type": "integer"},
            "source": {"description": "Unless it is simulated.", "type": "string"},
            **{
                name: {
                    "description": f"{text} With `detail` `full`, where it is known.",
                    "type": ["number", "string"],
                }
                for name, text in _FULL.items()
            },
            "since": {
                "description": "With `detail` `full`, since when the figures of 24 hours are "
                "known, where that is less than 24 hours; in milliseconds since the epoch.",
                "type": "integer",
            },
        },
        "required": ["symbol", "price", "timestamp"],
        "additionalProperties": False,
    },
}


def make_document() -> dict[str, Any]:
    """Make the document."""
    said = ["Ticker", *(each.__name__ for each in SAID)]
    asked = [each.__name__ for each in ASKED]
    over_http = [name for name in said if name in {"Ticker", *_OVER_HTTP}]
    websocket = _channel(paths.STREAM_PATH, "The stream over WebSocket.", [*said, *asked])
    websocket["bindings"] = {"ws": {"query": _QUERY}}
    http = _channel(paths.HTTP_STREAM_PATH, "The stream over plain HTTP.", over_http)
    say_over_http = _operation("send", "http", over_http)
    say_over_http["bindings"] = {"http": {"method": "GET", "query": _QUERY}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ticker's stream",
            "version": "1",
            "description": "What each message means, and when it comes: docs/protocol.md.",
        },
        "defaultContentType": "application/json",
        "channels": {"websocket": websocket, "http": http},
        "operations": {
            "say": _operation("send", "websocket", said),
            "ask": _operation("receive", "websocket", asked),
            "sayOverHttp": say_over_http,
        },
        "components": {
            "messages": {
                name: {"name": name, "payload": {"$ref": _REF.format(name=name)}}
                for name in [*said, *asked]
            },
            "schemas": _schemas(),
        },
    }


def _channel(address: str, text: str, names: list[str]) -> dict[str, Any]:
    refs = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return {"address": address, "description": text, "messages": refs}


def _operation(action: str, channel: str, names: list[str]) -> dict[str, Any]:
    refs = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": refs}


def _without_id(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return a struct without its id, of whose type msgspec makes no schema."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(struct):
        if field.name == "id":
            continue
        if field.required:
            fields.append((field.name, field.type))
        elif field.default is msgspec.NODEFAULT:
            factory = msgspec.field(default_factory=field.default_factory)
            fields.append((field.name, field.type, factory))
        else:
            fields.append((field.name, field.type, field.default))
    tag = struct.__struct_config__.tag
    return msgspec.defstruct(
        struct.__name__,
        fields,
        tag_field="type",
        tag=tag,
        kw_only=True,
        namespace={"__doc__": struct.__doc__},
    )


def _put_null_last(schema: Any) -> None:
    """Give alternatives one order, in which versions of msgspec differ."""
    if isinstance(schema, dict):
        schema.get("anyOf", []).sort(key=lambda each: each == {"type": "null"})
    for each in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(each, dict | list):
            _put_null_last(each)


def _schemas() -> dict[str, Any]:
    structs = [*SAID, *ASKED]
    _, schemas = msgspec.json.schema_components(map(_without_id, structs), ref_template=_REF)
    found: dict[str, Any] = dict(_TICKER)
    with_id = {each.__name__ for each in structs if "id" in each.__struct_fields__}
    _put_null_last(schemas)
    for name, schema in schemas.items():
        schema.pop("title", None)
        schema["description"] = schema.get("description", "").split("\n\n")[0]
        if name in with_id:
            schema["properties"]["id"] = _ID
        schema["properties"].update(_BOUNDS.get(name, {}))
        schema["additionalProperties"] = False
        found[name] = schema
    found["Subscribe"] |= _NO_INTERVAL
    builtins: dict[str, Any] = msgspec.to_builtins(found)
    return builtins


class _Plain(yaml.SafeDumper):  # type: ignore[misc]  # the same
    """Writes everything out, without references from one place to another."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's interface
        """Say that nothing is to be referred to."""
        return True


def text() -> str:
    """Return the document as it is kept."""
    head = "# Made by `python -m tests.support.asyncapi`.\n"
    made: str = yaml.dump(
        make_document(), Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True
    )
    return head + made


if __name__ == "__main__":
    DOCUMENT.write_text(text())
