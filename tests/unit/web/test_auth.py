"""What the body of a token request must be."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker import limits
from ticker.web.auth import BadBodyError, read_api_key


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"api_key": "tk_a"}', "tk_a"),
        (b' {"api_key":"tk_a","other":[1,{"api_key":"tk_b"}]}\r\n', "tk_a"),
        (b'{"api_key":"\\u0074k_a"}', "tk_a"),
        ('{"api_key":"é€😀"}'.encode(), "é€😀"),
        (b'\xef\xbb\xbf{"api_key":"tk_a"}', "tk_a"),
        (b'{"api_key":" "}', " "),
    ],
)
def test_a_key_is_read_from_an_object(body: bytes, key: str) -> None:
    assert read_api_key(body) == key


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"api_key=tk_a",
        b"{api_key: 'tk_a'}",
        b"{'api_key': 'tk_a'}",
        b'{"api_key": "tk_a"',
        b'{"api_key": "tk_a"} {}',
        b'{"api_key": "tk_a",}',
        b'{"api_key": "tk_a", "api_key": "tk_a"}',
        b'{"api_key": "tk_a", "a": {"b": 1, "b": 2}}',
        b'{"api_key": "tk_a", "a": NaN}',
        b'{"api_key": "tk_a", "a": -Infinity}',
        b'{"api_key": "tk_\x01"}',
        b'{"api_key": "\xff"}',
        b'{"api_key": "\xed\xa0\x80"}',
        '{"api_key": "tk_a"}'.encode("utf-16"),
        '{"api_key": "tk_a"}'.encode("utf-16-le"),
        '{"api_key": "tk_a"}'.encode("utf-32"),
        b'"tk_a"',
        b"null",
        b"true",
        b"7",
        b'["tk_a"]',
        b'[{"api_key": "tk_a"}]',
        b"[" * limits.BODY_BYTES,
        b'{"a":' * (limits.BODY_BYTES // 5),
        b'{"api_key": ' + b"9" * 4084,
        b"\x1f\x8b\x08\x00",
        b"--x\r\nContent-Disposition: form-data; name=api_key\r\n\r\ntk_a\r\n--x--",
    ],
    ids=lambda body: repr(bytes(body[:24])),
)
def test_what_is_no_json_object_is_invalid(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="invalid JSON"):
        read_api_key(body)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"API_KEY": "tk_a"}',
        b'{"api_key": ""}',
        b'{"api_key": null}',
        b'{"api_key": 7}',
        b'{"api_key": true}',
        b'{"api_key": ["tk_a"]}',
        b'{"api_key": {"api_key": "tk_a"}}',
        b'{"key": {"api_key": "tk_a"}}',
        b'{"api_key": ' + b"[" * 500 + b"]" * 500 + b"}",
    ],
    ids=lambda body: repr(bytes(body[:24])),
)
def test_an_object_without_a_key_is_told_so(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="api_key required"):
        read_api_key(body)


@given(st.binary(max_size=100))
def test_no_bytes_at_all_do_worse_than_being_refused(body: bytes) -> None:
    with suppress(BadBodyError):
        assert read_api_key(body)


@given(st.text(min_size=1, max_size=80).filter(lambda text: text.isprintable()))
def test_any_text_is_a_key_to_be_looked_at(text: str) -> None:
    assert read_api_key(json.dumps({"api_key": text}).encode()) == text
