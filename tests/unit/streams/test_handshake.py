"""What a request for a stream must be, and what each fault answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection
from wsproto.events import Request as WsRequest

from ticker.http.head import Head, HeadParser
from ticker.settings.readers import TokenPlace
from ticker.streams import handshake
from ticker.streams.handshake import (
    BAD_KEY,
    BAD_REQUEST,
    BAD_VERSION,
    METHOD,
    NO_TOKEN,
    NO_UPGRADE,
    ORIGIN,
    TWO_TOKENS,
    Candidate,
    Refusal,
    RefusedError,
    examine,
    origin_allowed,
)

EVERYWHERE: Sequence[TokenPlace] = ("header", "subprotocol", "query", "cookie")
DEFAULT: Sequence[TokenPlace] = ("header", "subprotocol")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "prices.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Authorization": "Bearer t0ken",
}


def head_of(
    changes: dict[str, str | None] | None = None,
    *more: str,
    first: str = "GET /ws/ticker HTTP/1.1",
    rest: bytes = b"",
) -> Head:
    fields = {**GOOD, **(changes or {})}
    lines = [first, *(f"{n}: {v}" for n, v in fields.items() if v is not None), *more, "", ""]
    head = HeadParser().feed("\r\n".join(lines).encode("latin-1") + rest)
    assert head is not None
    assert head.method, "h11 refuses it"
    return head


def look(
    head: Head, token_from: Sequence[TokenPlace] = DEFAULT, allowed: Sequence[str] = ()
) -> Candidate:
    return examine(head, token_from=token_from, allowed_origins=allowed, secure=False)


def refusal(head: Head, token_from: Sequence[TokenPlace] = DEFAULT) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        look(head, token_from)
    return caught.value.refusal


def test_a_good_request_is_a_candidate() -> None:
    assert look(head_of()) == Candidate(token="t0ken", key=KEY, subprotocol=None)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
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
    ("fault", "status", "error"),
    [
        (METHOD, 405, "method not allowed"),
        (NO_UPGRADE, 426, "websocket upgrade required"),
        (NO_TOKEN, 401, "authentication required"),
        (handshake.INVALID_TOKEN, 401, "invalid token"),
        (ORIGIN, 403, "origin not allowed"),
        (handshake.FORBIDDEN, 403, "forbidden"),
        (handshake.FULL, 503, "the server is full"),
        (handshake.DRAINING, 503, "the server restarts"),
        (handshake.too_many_refusals(12.3), 429, "too many refused handshakes"),
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
    ("changes", "first", "places", "token"),
    [
        ({"Authorization": "bearer  t0ken "}, "", DEFAULT, "t0ken"),
        ({"Authorization": "BEARER t0ken"}, "", DEFAULT, "t0ken"),
        ({"Authorization": None, "Sec-WebSocket-Protocol": "bearer.ab"}, "", DEFAULT, "ab"),
        ({"Authorization": None, "Cookie": "a=b; x-auth-token=ab"}, "", EVERYWHERE, "ab"),
        ({"Authorization": None}, "?x-auth-token=a%2Bb&y=1", EVERYWHERE, "a+b"),
        ({"Cookie": "x-auth-token=ab"}, "?x-auth-token=cd", DEFAULT, "t0ken"),
        ({"Authorization": "Bearer a", "Cookie": "x-auth-token=ab"}, "", ["cookie"], "ab"),
    ],
)
def test_a_token_is_found_where_it_may_be_and_nowhere_else(
    changes: dict[str, str | None], first: str, places: Sequence[TokenPlace], token: str
) -> None:
    head = head_of(changes, first=f"GET /ws/ticker{first} HTTP/1.1")
    assert look(head, places).token == token


@pytest.mark.parametrize("place", ["query", "cookie"])
def test_a_token_in_a_place_that_is_off_is_none(place: str) -> None:
    head = head_of(
        {"Authorization": None, "Cookie": "x-auth-token=ab" if place == "cookie" else None},
        first=f"GET /ws/ticker{'?x-auth-token=ab' if place == 'query' else ''} HTTP/1.1",
    )
    assert refusal(head) is NO_TOKEN


@pytest.mark.parametrize(
    ("offer", "chosen"),
    [
        (None, None),
        ("ticker.v1", "ticker.v1"),
        ("chat, ticker.v1", "ticker.v1"),
        ("chat", None),
        ("ticker.v2", None),
    ],
)
def test_only_our_own_subprotocol_is_chosen(offer: str | None, chosen: str | None) -> None:
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


def test_a_candidate_does_not_show_its_token() -> None:
    assert "t0ken" not in repr(look(head_of()))


SECURE, PLAIN = True, False


@pytest.mark.parametrize(
    ("host", "secure", "origin", "allowed", "may"),
    [
        # no browser sends none
        ("a.example", PLAIN, None, (), True),
        # the same origin, in every way to write it
        ("a.example", PLAIN, "http://a.example", (), True),
        ("a.example", SECURE, "https://a.example", (), True),
        ("A.Example", PLAIN, "http://a.example", (), True),
        ("a.example", PLAIN, "HTTP://A.EXAMPLE", (), True),
        ("a.example:80", PLAIN, "http://a.example", (), True),
        ("a.example", PLAIN, "http://a.example:80", (), True),
        ("a.example:443", SECURE, "https://a.example", (), True),
        ("127.0.0.1:8081", PLAIN, "http://127.0.0.1:8081", (), True),
        ("[::1]:8081", PLAIN, "http://[::1]:8081", (), True),
        # another one
        ("a.example", PLAIN, "https://a.example", (), False),
        ("a.example", SECURE, "http://a.example", (), False),
        ("a.example", PLAIN, "http://a.example:8081", (), False),
        ("127.0.0.1:8081", PLAIN, "http://localhost:8081", (), False),
        ("127.0.0.1:8081", PLAIN, "http://127.0.0.1", (), False),
        ("a.example", PLAIN, "http://b.example", (), False),
        ("a.example", PLAIN, "http://a.example.evil.example", (), False),
        ("a.example", PLAIN, "http://evil.example/http://a.example", (), False),
        ("a.example", PLAIN, "http://a.example@evil.example", (), False),
        ("a.example", PLAIN, "http://a.example/", (), False),
        ("a.example", PLAIN, "http://a.example#", (), False),
        ("a.example", PLAIN, "a.example", (), False),
        ("a.example", PLAIN, "null", (), False),
        ("a.example", PLAIN, "", (), False),
        ("a.example", PLAIN, "http://", (), False),
        ("a.example", PLAIN, "http://a.example:99999", (), False),
        ("a.example", PLAIN, "file://a.example", (), False),
        ("a.example", PLAIN, "http://a.example \xe9", (), False),
        # listed
        ("a.example", PLAIN, "https://b.example", ("https://b.example",), True),
        ("a.example", PLAIN, "https://b.example:443", ("https://b.example",), True),
        ("a.example", PLAIN, "https://c.b.example", ("https://b.example",), False),
        ("a.example", PLAIN, "http://b.example", ("https://b.example",), False),
        ("a.example", PLAIN, "http://a.example", ("https://b.example",), True),
        # anybody
        ("a.example", PLAIN, "https://evil.example", ("*",), True),
        ("a.example", PLAIN, "null", ("*",), True),
    ],
)
def test_origins(
    host: str,
    secure: bool,  # noqa: FBT001 - a table
    origin: str | None,
    allowed: Sequence[str],
    may: bool,  # noqa: FBT001 - a table
) -> None:
    head = head_of({"Host": host, "Origin": origin})
    assert origin_allowed(head, allowed, secure=secure) is may


def test_two_origins_are_none_of_ours() -> None:
    head = head_of({"Origin": "http://prices.example.com"}, "Origin: http://prices.example.com")
    assert not origin_allowed(head, (), secure=False)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=255), min_size=1, max_size=40))
def test_no_origin_that_is_not_exactly_ours_gets_in(origin: str) -> None:
    head = Head(b"", b"", "GET", "/", ((b"host", b"a.b"), (b"origin", origin.encode("latin-1"))))
    allowed = origin_allowed(head, (), secure=False)
    assert allowed == (origin.lower() in {"http://a.b", "http://a.b:80", "http://a.b:"})
