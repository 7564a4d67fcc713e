"""A credential in a wrong place is taken out of a request before it can be logged."""

from __future__ import annotations

import pytest

from ticker.http.head import Head, HeadParser
from ticker.redaction import is_ambiguous, mask_credentials, mask_wrong_value, shown_address
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
    ("address", "shown"),
    [
        ("redis://:s3cret@h:6379/0", "redis://***@h:6379/0"),
        ("redis://joe:1234/x@h:6379", "redis://***@h:6379"),
        ("wss://joe:s3@/cret@h/x", "wss://***@h/x"),
        ("postgresql+psycopg://joe:s'3cret@h/x", "postgresql+psycopg://***@h/x"),
        ('postgresql://joe:s"3cret@h/x', "postgresql://***@h/x"),
        ("postgresql://joe:s3 cret@h,i:5433/x", "postgresql://***@h,i:5433/x"),
        ("postgresql://joe.doe:12/s3cret@h/x", "postgresql://***@h/x"),
        ("postgresql://h/x?user=joe&password=s3cret", "postgresql://h/x?user=***&password=***"),
        ("postgresql://h/x?sslmode=require&b=s3cret", "postgresql://h/x?sslmode=require&b=***"),
        ("postgresql://h/x?host=%2frun&s3cret", "postgresql://h/x?host=***&***"),
        ("postgresql://h/x?password=s3@cret", "postgresql://***"),
        ("postgresql://joe:s3?cret@h/x", "postgresql://***"),
        ("postgresql://joe:s3cret", "postgresql://***"),
        ("redis://:12345", "redis://***"),
        ("wss://h/?apiKey=s3cret#x", "wss://h/?apiKey=***#***"),
        ("wss://h/?czNjcmV0==", "wss://h/?***"),
        ("wss://h/x#token=s3cret", "wss://h/x#***"),
        ("wss://h/x;token=s3cret?a=b", "wss://h/x;***?a=***"),
        ("wss://h/v3/9aa3d95b3bc440fa88ea12ea/x", "wss://h/v3/***/x"),
        ("wss://joe:s3c/ret@h/ws/btcusdt@trade", "wss://***@trade"),
        ("wss://stream.h:9443/ws/btcusdt@trade", "wss://stream.h:9443/ws/btcusdt@trade"),
        ("ws://localhost:9443/ws/btcusdt@trade", "ws://localhost:9443/ws/btcusdt@trade"),
        ("wss://[::1]:9443/ws/btcusdt@trade", "wss://[::1]:9443/ws/btcusdt@trade"),
        ("sqlite:////a b/9aa3d95b3bc440fa88ea12ea@c.db", None),
        ("host=h user=joe password=s3cret", "***"),
        ("jdbc:postgresql://joe:s3cret@h/x", "***"),
        ("", ""),
    ],
)
def test_of_an_address_only_what_is_harmless_is_shown(address: str, shown: str | None) -> None:
    assert shown_address(address) == (address if shown is None else shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a wss://joe:s3@/cret@h/x and http://s3cret@g", "a wss://***@h/x and http://***@g"),
        ("replay: 'https://h/x?a=s3cret' is no file", "replay: 'https://h/x?a=***' is no file"),
        ("https://a.example,https://joe:s3cret@b, no", "https://a.example,https://***@b, no"),
        ("{'a': 'own:wss://joe:s3\"cret@h/x'}", "{'a': 'own:wss://***@h/x'}"),
        ("expected http://, ws:// or wss://", None),
    ],
)
def test_credentials_in_an_address_within_a_text_are_masked(text: str, shown: str | None) -> None:
    assert mask_credentials(text) == (text if shown is None else shown)


@pytest.mark.parametrize(
    "text",
    [
        "joe:s3cret@h/x",
        "http:joe:s3cret@h",
        "'//joe:s3 cret@h'",
        "host=h user=s3cret",
        "host=h password=s3@cret",
        "http://h/x?a=s3@cret",
    ],
)
def test_no_credential_is_shown_of_an_address_in_a_wrong_place(text: str) -> None:
    assert "cret" not in mask_wrong_value(text)


@pytest.mark.parametrize(
    ("address", "ambiguous"),
    [
        ("wss://joe:12/s3cret@h/x", True),
        ("http://joe:12#s3cret@h:3128", True),
        ("wss://joe:12%2Fs3cret@h/x", False),
        ("wss://stream.h:9443/ws/btcusdt@trade", False),
    ],
)
def test_an_address_whose_host_may_be_part_of_a_password_is_told(
    address: str, *, ambiguous: bool
) -> None:
    assert is_ambiguous(address) is ambiguous
