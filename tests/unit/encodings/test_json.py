"""Messages as JSON, byte by byte."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.support.frames import FrameParser
from ticker import limits
from ticker.encodings.json import JSON, JsonFormat
from ticker.market.quote import Details, Quote
from ticker.protocol.messages import Error, Pong
from ticker.protocol.requests import (
    NO_ID,
    Auth,
    BadMessageError,
    Ping,
    Request,
    RequestId,
    Subscribe,
    Unsubscribe,
)

#: The longest id, and one more.
LONGEST = "9" * limits.REQUEST_ID_CHARS
TOO_LONG = LONGEST + "9"

decode_request = JsonFormat().request


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"type":"ping"}', Ping()),
        ('{"type":"ping","id":7}', Ping(RequestId(b"7"))),
        ('{"id":"a","type":"ping"}', Ping(RequestId(b'"a"'))),
        ('{"type":"subscribe"}', Subscribe()),
        (
            '{"type":"subscribe","symbols":["BTC-USD"],"interval_ms":100,"id":1}',
            Subscribe(["BTC-USD"], 100, id=RequestId(b"1")),
        ),
        ('{"type":"subscribe","symbols":null,"interval_ms":null,"id":null}', Subscribe()),
        ('{"type":"unsubscribe","id":2}', Unsubscribe(RequestId(b"2"))),
        ('{"type":"auth","token":"t","id":3}', Auth("t", RequestId(b"3"))),
    ],
)
def test_every_request_of_the_contract_is_read(text: str, request_: Request) -> None:
    assert decode_request(text) == request_


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ("", None),
        ("{", None),
        ("null", None),
        ("[]", None),
        ('"ping"', None),
        ("{}", None),
        ('{"type":"frobnicate","id":4}', 4),
        ('{"type":1}', None),
        ('{"type":"ping","id":[]}', None),
        ('{"type":"ping","id":true}', None),
        ('{"type":"ping","id":{}}', None),
        ('{"type":"ping","id":01}', None),
        (f'{{"type":"ping","id":{TOO_LONG}}}', None),
        (f'{{"type":"ping","id":"{TOO_LONG}"}}', None),
        ('{"type":"ping","id":"\\x"}', None),
        ('{"type":"ping","id":"\\ud800"}', None),
        ('{"type":"ping","more":1,"id":5}', 5),
        ('{"type":"ping","more":1,"id":1.50}', 1.5),
        (f'{{"type":"auth","token":1,"id":{LONGEST}}}', int(LONGEST)),
        ('{"type":"subscribe","symbols":[],"id":6}', 6),
        ('{"type":"subscribe","symbols":"BTC-USD","id":6}', 6),
        ('{"type":"subscribe","symbols":[1],"id":6}', 6),
        ('{"type":"subscribe","interval_ms":0,"id":6}', 6),
        ('{"type":"subscribe","interval_ms":-5,"id":6}', 6),
        ('{"type":"subscribe","interval_ms":0.5,"id":6}', 6),
        (f'{{"type":"subscribe","interval_ms":{limits.INTERVAL_MAX_MS + 1},"id":6}}', 6),
        ('{"type":"auth","id":8}', 8),
        ('{"type":"auth","token":null,"id":8}', 8),
        ("[" * 4000, None),
        ('{"type":"ping","id":' + "[" * 4000, None),
    ],
)
def test_what_is_no_request_is_refused_with_the_id_it_carried(
    text: str, request_id: float | None
) -> None:
    with pytest.raises(BadMessageError) as caught:
        decode_request(text)
    assert json.loads(bytes(caught.value.id)) == request_id
    assert str(caught.value)


@given(st.text())
def test_no_text_at_all_does_worse_than_being_refused(text: str) -> None:
    with pytest.raises(BadMessageError):
        decode_request(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["ping", "subscribe", "unsubscribe", "auth", "x"]) | _JSON},
        optional={
            "id": _JSON,
            "symbols": _JSON,
            "interval_ms": _JSON,
            "token": _JSON,
            "more": _JSON,
        },
    )
)
def test_a_message_of_any_shape_is_a_request_or_refused(message: dict[str, object]) -> None:
    request: Request | None = None
    try:
        request = decode_request(json.dumps(message))
    except BadMessageError as error:
        found = error.id
    if request is not None:
        assert type(request).__struct_config__.tag == message["type"]
        found = request.id
    assert found is NO_ID or json.loads(bytes(found)) == message["id"]


@given(
    (st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()).map(json.dumps)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,9})?", fullmatch=True)
)
@example(LONGEST)
@example(f'"{LONGEST}"')
@example('"' + "\\u00e9" * limits.REQUEST_ID_CHARS + '"')
@example("1.50")
@example("1e400")
def test_an_id_comes_back_exactly_as_it_was_sent(request_id: str) -> None:
    assume(len(str(json.loads(request_id, parse_int=str, parse_float=str))) <= len(LONGEST))
    request = decode_request(f'{{"type":"ping","id":{request_id}}}')
    for answer in (Pong(id=request.id), Error(id=request.id, code="forbidden", message="no")):
        (frame,) = FrameParser().feed(JSON.message(answer))
        assert f'"id":{request_id}' in frame.payload.decode()
        assert frame.message["type"] in {"pong", "error"}


@pytest.mark.parametrize("text", ['{"type":"ping"}', '{"type":"ping","id":null}'])
def test_no_id_is_echoed_where_none_was_given(text: str) -> None:
    (frame,) = FrameParser().feed(JSON.message(Pong(id=decode_request(text).id)))
    assert frame.message == {"type": "pong"}


def test_a_token_never_shows_in_a_representation() -> None:
    request = decode_request('{"type":"auth","token":"s3cret","id":3}')
    assert "s3cret" not in repr(request)


def quote(
    symbol: str, price: str, time_ms: int = 1_790_000_000_123, source: str = "simulated"
) -> Quote:
    return Quote(symbol, Decimal(price), time_ms, time_ms, source)


def encoded(*quotes: Quote, snapshot: bool = False) -> bytes:
    format_ = JsonFormat()
    entries = [format_.entry(quote, "price") for quote in quotes]
    return format_.ticker(entries, seq=17, time_ms=1_790_000_000_456, snapshot=snapshot)


def test_a_tick_reads_as_the_contract_says() -> None:
    text = encoded(quote("BTC-USD", "42000.00"), quote("SOL-USD", "95.10"), snapshot=True)
    assert json.loads(text) == {
        "type": "ticker",
        "data": [
            {"symbol": "BTC-USD", "price": 42000.0, "timestamp": 1_790_000_000},
            {"symbol": "SOL-USD", "price": 95.1, "timestamp": 1_790_000_000},
        ],
        "seq": 17,
        "time": 1_790_000_000_456,
        "snapshot": True,
    }
    assert b"42000.00" in text


def test_only_a_snapshot_says_so_and_only_a_real_market_is_named() -> None:
    assert "snapshot" not in json.loads(encoded(quote("BTC-USD", "1")))
    (entry,) = json.loads(encoded(quote("BTC-USD", "1", source="coinbase")))["data"]
    assert entry["source"] == "coinbase"


@given(
    st.decimals(
        min_value="1e-18", max_value="1e17", allow_nan=False, allow_infinity=False, places=18
    )
    | st.builds(lambda n, e: Decimal(n).scaleb(e), st.integers(1, 10**12), st.integers(-18, 6))
)
def test_a_price_keeps_every_digit(price: Decimal) -> None:
    text = encoded(Quote("BTC-USD", price, 1000, 1000, "simulated"))
    (entry,) = json.loads(text, parse_float=Decimal, parse_int=Decimal)["data"]
    assert entry["price"] == price
    assert entry["timestamp"] == 1


def test_no_quotes_at_all_are_an_empty_list() -> None:
    assert json.loads(encoded())["data"] == []


def test_what_only_full_shows_keeps_every_digit_and_has_no_exponent() -> None:
    shown = msgspec.structs.replace(
        quote("BTC-USD", "1"), details=Details(bid=Decimal("1E-8"), ask=Decimal("2.10"), since=3)
    )
    more = b',"bid":0.00000001,"ask":2.10,"since":3}'
    assert JsonFormat().entry(shown, "full").endswith(more)
    assert b"bid" not in JsonFormat().entry(shown, "price")


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ping","id":1,"id":2}',
        '{"type":"ping","type":"ping"}',
        '{"type":"subscribe","symbols":["A"],"\\u0073ymbols":["B"]}',
        '{"type":"subscribe","resume":{"epoch":"a","epoch":"b","seq":1}}',
    ],
)
def test_a_name_that_comes_twice_is_refused(text: str) -> None:
    with pytest.raises(BadMessageError, match="a name comes twice"):
        JsonFormat().request(text)


def test_what_looks_like_a_name_within_a_text_is_none() -> None:
    assert JsonFormat().request('{"type":"ping","id":"\\"id\\":"}') is not None
