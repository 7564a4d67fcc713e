"""A credential in a wrong place is taken out of a request before it can be logged."""

from __future__ import annotations

import pytest

from ticker.http.head import Head, HeadParser
from ticker.redaction import mask_before_at, mask_credentials
from ticker.security.keys import new_key
from ticker.security.tokens import TokenSigner

TOKEN = TokenSigner((b"k" * 32,)).issue()[0]
API_KEY = new_key().text


def head_of(target: str, *headers: str) -> Head:
    lines = [f"GET {target} HTTP/1.1", "Host: a.example", *headers, "", ""]
    head = HeadParser().feed("\r\n".join(lines).encode("latin-1"))
    assert head is not None
    return head


@pytest.mark.parametrize("secret", [TOKEN, API_KEY], ids=["token", "api_key"])
@pytest.mark.parametrize(
    ("target", "header", "shown"),
    [
        ("/prices/{}", "X-A: b", "/prices/***"),
        ("/{}.html", "X-A: b", "/***.html"),
        ("/?x-auth-token={}&a=b", "X-A: b", "/?x-auth-token=***&a=b"),
        ("/?a=b&X-Auth-Token={}", "X-A: b", "/?a=b&X-Auth-Token=***"),
        ("/?token=prefix{}suffix", "X-A: b", "/?token=***"),
        ("/a", "Referer: http://a.example/?x-auth-token={}", "/a"),
        ("/a", "User-Agent: {}", "/a"),
        ("/a", "Cookie: b=c; x-auth-token={}; d=e", "/a"),
        ("/a", "X-Auth-Token: {}", "/a"),
    ],
)
def test_a_secret_in_a_wrong_place_is_masked(
    secret: str, target: str, header: str, shown: str
) -> None:
    head = head_of(target.format(secret), header.format(secret)).redacted()
    assert head.target.removesuffix("suffix").replace("prefix", "") == shown
    assert secret not in repr(head)
    again = HeadParser().feed(head.raw)
    assert again is not None
    assert (again.target, again.headers) == (head.target, head.headers)


def test_what_is_called_a_token_is_masked_however_it_is_written() -> None:
    head = head_of(f"/?x-auth-token={TOKEN.replace('.', '%2E')}").redacted()
    assert head.target == "/?x-auth-token=***"


@pytest.mark.parametrize(
    "head",
    [
        head_of("/prices/BTC-USD?a=b", f"Authorization: Bearer {TOKEN}"),
        head_of("/main.js", 'If-None-Match: "1790000000.123-45-6"', "Cookie: theme=dark"),
        Head(b"\x00\xff", b""),
    ],
)
def test_a_request_without_a_misplaced_secret_goes_on_as_it_came(head: Head) -> None:
    assert head.redacted() is head


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:s3cret@h:6379/0", "redis://***@h:6379/0"),
        ("a wss://joe:s3@/cret@h/x and http://s3cret@g", "a wss://***@h/x and http://***@g"),
        (
            "postgresql://h/x?user=joe&password=s3cret&b=1",
            "postgresql://h/x?user=joe&password=***&b=1",
        ),
        ("wss://h/?apiKey=s3cret#x", "wss://h/?apiKey=***#x"),
        ("wss://stream.h:9443/ws/btcusdt@trade", "wss://stream.h:9443/ws/btcusdt@trade"),
        ("redis://joe:1234/x@h:6379", "redis://***@h:6379"),
        ("ws://localhost:9443/ws/btcusdt@trade", "ws://localhost:9443/ws/btcusdt@trade"),
        ("wss://[::1]:9443/ws/btcusdt@trade", "wss://[::1]:9443/ws/btcusdt@trade"),
        ("wss://joe:s3c/ret@h/ws/btcusdt@trade", "wss://***@trade"),
    ],
)
def test_credentials_in_an_address_are_masked(text: str, shown: str) -> None:
    assert mask_credentials(text) == shown


@pytest.mark.parametrize("text", ["joe:s3cret@h/x", "http:joe:s3cret@h", "'//joe:s3 cret@h'"])
def test_nothing_before_an_at_is_shown_of_an_address_gone_wrong(text: str) -> None:
    assert "cret" not in mask_before_at(text).replace("***", "")
