"""Messages of the stream: decoding, exactness, tolerance of a newer server."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.client import Closing, Error, Price, Subscribed, Ticker, Welcome
from ticker.client.messages import MalformedMessageError, decode
from ticker.client.requests import Authenticate, Ping, Subscribe, Unsubscribe, encode
from ticker.protocol import messages as protocol
from ticker.protocol.requests import RequestId

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_a_tick_is_decoded_with_every_digit_of_its_price() -> None:
    message = decode(
        '{"type":"ticker","data":[{"symbol":"BTC-USD","price":42000.10,"timestamp":1790000000}],'
        '"seq":17,"time":1790000000123,"snapshot":true}'
    )
    price = Price(symbol="BTC-USD", price=Decimal("42000.10"), timestamp=1790000000)
    assert message == Ticker(data=(price,), seq=17, time=1790000000123, snapshot=True)
    assert isinstance(message, Ticker)
    assert str(message.data[0].price) == "42000.10"


@given(st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False))
def test_any_price_arrives_as_it_was_sent(price: Decimal) -> None:
    text = f'{{"symbol":"A-B","price":{price:f},"timestamp":1}}'
    message = decode(f'{{"type":"ticker","data":[{text}],"seq":1,"time":1}}')
    assert isinstance(message, Ticker)
    assert f"{message.data[0].price:f}" == f"{price:f}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"welcome","user_id":"user:demo"}', Welcome(user_id="user:demo")),
        (
            '{"type":"subscribed","id":1,"symbols":["BTC-USD"],"interval_ms":100}',
            Subscribed(symbols=("BTC-USD",), interval_ms=100, id=1),
        ),
        (
            '{"type":"error","id":"x","code":"unknown_symbol","message":"no"}',
            Error(code="unknown_symbol", message="no", id="x"),
        ),
        (
            '{"type":"closing","code":1012,"retry_after_ms":734}',
            Closing(code=1012, retry_after_ms=734),
        ),
    ],
)
def test_the_contracts_examples_are_decoded(text: str, message: object) -> None:
    assert decode(text) == message


@pytest.mark.parametrize(
    "message",
    [
        protocol.Welcome(
            user_id="user:demo",
            role="user",
            symbols=("BTC-USD", "ETH-USD"),
            tick_ms=10,
            expires_in=3600,
            time=1790000000123,
            version="0.1.0",
            epoch="e0c1",
            seq=16,
        ),
        protocol.Subscribed(
            id=RequestId(b"1"),
            symbols=("BTC-USD",),
            interval_ms=2.5,
            mode="changes",
            detail="full",
            epoch="e0c1",
            seq=17,
            resumed=False,
        ),
        protocol.Subscribed(
            symbols=("BTC-USD",),
            interval_ms=100,
            mode="latest",
            detail="price",
            epoch="e0c1",
            seq=0,
        ),
        protocol.Unsubscribed(id=RequestId(b"2")),
        protocol.Authenticated(id=RequestId(b"3"), expires_in=3600),
        protocol.Pong(id=RequestId(b'"x"')),
        protocol.Status(state="live", source="kraken", since=1790000000123),
        protocol.Status(
            state="stale", source="kraken", since=1, symbols=("BTC-USD",), reason="silent"
        ),
        protocol.Error(id=RequestId(b"1"), code="forbidden", message="no"),
        protocol.Closing(code=1012, retry_after_ms=0),
    ],
)
def test_a_message_encodes_again_as_the_server_sent_it(message: protocol.Message) -> None:
    sent = msgspec.json.encode(message)
    assert msgspec.json.encode(decode(sent)) == sent


def test_fields_of_a_newer_server_are_ignored() -> None:
    text = '{"type":"welcome","user_id":"user:a","mood":["fine"]}'
    assert decode(text) == Welcome(user_id="user:a")


@given(st.text().filter(lambda kind: kind not in {"ticker", "pong"}), json_values)
def test_a_type_of_a_newer_server_is_skipped_or_a_known_one_checked(
    kind: str, value: object
) -> None:
    try:
        decode(json.dumps({"type": kind, "payload": value}))
    except MalformedMessageError:
        assert kind in {"welcome", "status", "subscribed", "authenticated", "error", "closing"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"type":null}',
        '{"type":"ticker"}',
        '{"type":"ticker","data":{},"seq":1,"time":1}',
        '{"type":"ticker","data":[{"symbol":"A-B","price":"NaN","timestamp":1}],"seq":1,"time":1}',
        '{"type":"closing","code":1012,"retry_after_ms":-1}',
        '{"type":"subscribed","symbols":[],"interval_ms":1e300}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_malformed_message_raises(text: str | bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(text)


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_any_text_is_a_message_or_skipped_or_malformed(text: str | bytes) -> None:
    with suppress(MalformedMessageError):
        assert decode(text) is None or isinstance(decode(text), msgspec.Struct)


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (Ping(id=1), {"type": "ping", "id": 1}),
        (Unsubscribe(id=2), {"type": "unsubscribe", "id": 2}),
        (Subscribe(interval_ms=100, id=3), {"type": "subscribe", "interval_ms": 100, "id": 3}),
        (Subscribe(("A-B",), id=4), {"type": "subscribe", "symbols": ["A-B"], "id": 4}),
        (Authenticate(token="t", id=5), {"type": "auth", "token": "t", "id": 5}),
    ],
)
def test_requests_hold_what_was_asked_and_no_more(
    request_: Ping | Unsubscribe | Subscribe | Authenticate, wire: dict[str, object]
) -> None:
    assert json.loads(encode(request_)) == wire


def test_a_token_does_not_show_in_a_requests_repr() -> None:
    assert "canary" not in repr(Authenticate(token="canary"))
