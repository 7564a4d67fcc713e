"""URLs of servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.client.server_address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "token_url", "authority", "path"),
    [
        ("http://h:8081", "http://h:8081/auth/token", "h:8081", "/ws/ticker"),
        ("http://h:8081/", "http://h:8081/auth/token", "h:8081", "/ws/ticker"),
        ("ws://h:8081/ws/ticker", "http://h:8081/auth/token", "h:8081", "/ws/ticker"),
        ("https://h", "https://h/auth/token", "h", "/ws/ticker"),
        ("wss://h:443/ws/ticker/", "https://h/auth/token", "h", "/ws/ticker"),
        ("http://[::1]:80", "http://[::1]/auth/token", "[::1]", "/ws/ticker"),
        ("https://h/p", "https://h/p/auth/token", "h", "/p/ws/ticker"),
        ("wss://h/p/ws/ticker", "https://h/p/auth/token", "h", "/p/ws/ticker"),
    ],
)
def test_one_url_names_both_addresses(url: str, token_url: str, authority: str, path: str) -> None:
    address = parse_address(url)
    assert (address.token_url, address.authority, address.stream_path) == (
        token_url,
        authority,
        path,
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:8081",
        "ftp://h",
        "http://",
        "http://h:port",
        "http://h:99999",
        "http://[::1",
        "http://user:secret@h",
        "http://h/?a=b",
        "http://h/#a",
        "http://h/a b",
        "http://h/ü",
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        address = parse_address(url)
    except ValueError:
        return
    assert isinstance(address, Address)
