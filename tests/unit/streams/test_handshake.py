"""What a request for a stream must be, and what each fault answers."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection
from wsproto.events import Request as WsRequest

from tests.support.heads import KEY, head_of
from ticker.http.head import Head
from ticker.http.refusal import (
    FORBIDDEN,
    INVALID_TOKEN,
    NO_TOKEN,
    ORIGIN,
    TWO_TOKENS,
    Refusal,
    RefusedError,
    too_many_refusals,
)
from ticker.settings.readers import TokenPlace
from ticker.streams import handshake
from ticker.streams.handshake import (
    BAD_KEY,
    BAD_REQUEST,
    BAD_TARGET,
    BAD_VERSION,
    HTTP_VERSION,
    METHOD,
    NO_UPGRADE,
    NOT_FOUND,
    Candidate,
    decide,
)

DEFAULT: Sequence[TokenPlace] = ("header", "subprotocol")


def look(head: Head, *, wait: float = 0.0, known: Collection[str] = ()) -> Candidate:
    return decide(
        head,
        token_from=DEFAULT,
        allowed_origins=(),
        secure=False,
        wait=wait,
        known=lambda token: token in known,
    )


def refusal(head: Head, *, wait: float = 0.0, known: Collection[str] = ()) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        look(head, wait=wait, known=known)
    return caught.value.refusal


def test_a_good_request_is_a_candidate() -> None:
    assert look(head_of()) == Candidate(token="t0ken", key=KEY, subprotocol=None)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (Head(b"", b"", "PRI", "*", (), "2.0"), HTTP_VERSION),
        (Head(b"", b"", "GET", "http://[", (), "1.1"), BAD_TARGET),
        (head_of(first="GET /ws/other HTTP/1.1"), NOT_FOUND),
        (head_of(first="POST /ws/ticker HTTP/1.1"), METHOD),
        (head_of(first="HEAD /ws/ticker HTTP/1.1"), METHOD),
        (head_of({"Upgrade": None}), NO_UPGRADE),
        (head_of({"Upgrade": "h2c"}), NO_UPGRADE),
        (head_of({"Connection": "keep-alive"}), NO_UPGRADE),
        (head_of(first="GET /ws/ticker HTTP/1.0"), NO_UPGRADE),
        (head_of({"Sec-WebSocket-Version": None}), BAD_VERSION),
        (head_of({"Sec-WebSocket-Version": "8"}), BAD_VERSION),
        (head_of({}, "Sec-WebSocket-Version: 13"), BAD_VERSION),
        (head_of({"Sec-WebSocket-Key": None}), BAD_KEY),
        (head_of({"Sec-WebSocket-Key": "AAAA"}), BAD_KEY),
        (head_of({"Sec-WebSocket-Key": "!" + KEY[1:]}), BAD_KEY),
        (head_of({"Sec-WebSocket-Key": "\xe9" * 24}), BAD_KEY),
        (head_of({}, f"Sec-WebSocket-Key: {KEY}"), BAD_KEY),
        (head_of({}, "Content-Length: 3"), BAD_REQUEST),
        (head_of({}, "Transfer-Encoding: chunked"), BAD_REQUEST),
        (head_of(rest=b"\x81\x80abcd"), BAD_REQUEST),
        (head_of({"Authorization": None}), NO_TOKEN),
        (head_of({"Authorization": "Basic dTpw"}), NO_TOKEN),
        (head_of({"Authorization": None, "Sec-WebSocket-Protocol": "ticker.v1"}), NO_TOKEN),
        (head_of({}, "Authorization: Bearer other"), TWO_TOKENS),
        (head_of({"Sec-WebSocket-Protocol": "ticker.v1, bearer.t0ken"}), TWO_TOKENS),
        (head_of({"Origin": "https://evil.example"}), ORIGIN),
    ],
)
def test_every_fault_has_its_answer(head: Head, expected: Refusal) -> None:
    assert refusal(head) is expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (head_of(), "refused_rate"),
        (head_of({"Authorization": None}), "refused_rate"),
        (head_of({"Sec-WebSocket-Key": "AAAA"}), "refused_rate"),
        (head_of({"Authorization": "Bearer other"}), "refused_rate"),
        # What counts for no address is not held against one either.
        (head_of({"Origin": "https://evil.example"}), "origin"),
        (head_of({"Origin": "https://evil.example", "Authorization": None}), "no_token"),
        (head_of({"Upgrade": None}), "no_upgrade"),
    ],
)
def test_beyond_the_limit_of_refusals_only_a_known_token_is_looked_at(
    head: Head, expected: str
) -> None:
    assert refusal(head, wait=12.3).reason == expected


def test_beyond_the_limit_of_refusals_a_token_that_is_known_goes_on() -> None:
    assert look(head_of(), wait=12.3, known={"t0ken"}) == look(head_of())
    foreign = head_of({"Origin": "https://evil.example"})
    assert refusal(foreign, wait=12.3, known={"t0ken"}) is ORIGIN


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        (METHOD, 405, "method not allowed"),
        (NO_UPGRADE, 426, "websocket upgrade required"),
        (NO_TOKEN, 401, "authentication required"),
        (INVALID_TOKEN, 401, "invalid token"),
        (ORIGIN, 403, "origin not allowed"),
        (FORBIDDEN, 403, "forbidden"),
        (handshake.FULL, 503, "the server is full"),
        (handshake.DRAINING, 503, "the server restarts"),
        (too_many_refusals(12.3), 429, "too many refused handshakes"),
    ],
)
def test_an_answer_is_complete_http_that_ends_the_connection(
    fault: Refusal, status: int, error: str
) -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(fault.response())
    response = client.next_event()
    assert isinstance(response, h11.Response)
    headers = {name.decode(): value.decode() for name, value in response.headers}
    body = client.next_event()
    assert isinstance(body, h11.Data)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    assert (response.status_code, json.loads(body.data)) == (status, {"error": error})
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/json"
    needs = {401: "www-authenticate", 405: "allow", 426: "upgrade", 429: "retry-after"}
    assert needs.get(status, "content-length") in headers
    if status == 503:
        assert int(headers["retry-after"]) > 0
    if status == 429:
        assert headers["retry-after"] == "13"


@pytest.mark.parametrize(
    ("offer", "chosen"),
    [
        (None, None),
        ("ticker.v1", "ticker.v1"),
        ("chat, ticker.v1", "ticker.v1"),
        ("chat", None),
        ("ticker.v2", None),
        ("ticker.v1.msgpack", "ticker.v1.msgpack"),
        ("ticker.v1, ticker.v1.msgpack", "ticker.v1"),
        ("ticker.v1.msgpack, ticker.v1", "ticker.v1.msgpack"),
    ],
)
def test_the_first_known_subprotocol_is_chosen(offer: str | None, chosen: str | None) -> None:
    assert look(head_of({"Sec-WebSocket-Protocol": offer})).subprotocol == chosen


@given(st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=40))
def test_whatever_else_a_client_says_the_answer_repeats_none_of_it(noise: str) -> None:
    try:
        head = head_of({"Authorization": None, "Sec-WebSocket-Protocol": f"bearer.s3cret,{noise}"})
        candidate = look(head)
    except (AssertionError, RefusedError):
        return
    text = candidate.response()
    assert b"s3cret" not in text
    client = WSConnection(ConnectionType.CLIENT)
    offers = [offer for offer in ("ticker.v1",) if candidate.subprotocol]
    client.send(WsRequest(host="x", target="/", subprotocols=offers))
    client.handshake._nonce = candidate.key.encode()
    client.receive_data(text)
    (accepted,) = client.events()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == candidate.subprotocol


def test_to_a_head_request_the_same_is_answered_without_a_body() -> None:
    for fault in (METHOD, NO_TOKEN, handshake.FULL):
        head, _, body = fault.response().partition(b"\r\n\r\n")
        assert body
        assert fault.to("GET").response() == fault.response()
        assert fault.to("HEAD").response() == head + b"\r\n\r\n"


def test_a_candidate_does_not_show_its_token() -> None:
    assert "t0ken" not in repr(look(head_of()))


def test_compression_is_agreed_on_where_it_is_offered_and_allowed() -> None:
    head = head_of({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"})
    assert b"sec-websocket-extensions" not in look(head).response()
    candidate = handshake.examine(
        head, token_from=DEFAULT, allowed_origins=(), secure=False, compression=True
    )
    assert candidate.compressed
    assert (
        b"\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover; "
        b"client_no_context_takeover\r\n"
    ) in candidate.response()
