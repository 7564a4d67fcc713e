"""Which pages may ask."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.heads import head_of
from ticker.http.head import Head
from ticker.http.origin import origin_allowed

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
        # apps
        ("a.example", PLAIN, "capacitor://localhost", ("capacitor://localhost",), True),
        ("a.example", PLAIN, "capacitor://localhost", (), False),
        ("a.example", PLAIN, "capacitor://localhost", ("ionic://localhost",), False),
        ("a.example", PLAIN, "chrome-extension://abc", ("chrome-extension://abd",), False),
        ("a.example", PLAIN, "file://", ("file://",), True),
        ("a.example", PLAIN, "null", ("file://",), False),
        # any page
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
