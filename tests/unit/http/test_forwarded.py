"""Who sent a request, and over what, as the trusted proxies in front say."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.http.forwarded import client_address, client_secure
from ticker.http.head import Head

PEER = "10.0.0.1"
REAL = "192.0.2.1"
V6 = "2001:db8::1"


def head_of(*lines: str) -> Head:
    """Make a request with these header lines."""
    headers = (line.partition(": ") for line in lines)
    return Head(
        b"",
        b"",
        "GET",
        "/",
        tuple((n.lower().encode(), v.encode("latin-1")) for n, _, v in headers),
    )


def seen(*lines: str, hops: int = 1, peer: str = PEER) -> str:
    return client_address(head_of(*lines), peer, hops)


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_without_a_trusted_proxy_the_peer_is_the_client(peer: str, shown: str) -> None:
    assert seen(hops=0, peer=peer) == shown
    assert seen(f"X-Forwarded-For: {REAL}", f"Forwarded: for={REAL}", hops=0, peer=peer) == shown


@pytest.mark.parametrize(
    ("lines", "hops", "address"),
    [
        ([], 1, PEER),
        (["192.0.2.1"], 1, REAL),
        (["6.6.6.6, 192.0.2.1"], 1, REAL),
        (["6.6.6.6", "192.0.2.1"], 1, REAL),
        (["6.6.6.6,192.0.2.1 , 10.0.0.2"], 2, REAL),
        (["6.6.6.6", "192.0.2.1, 10.0.0.2"], 2, REAL),
        (["192.0.2.1", "10.0.0.2"], 2, REAL),
        (["192.0.2.1"], 2, PEER),
        (["2001:DB8::1"], 1, V6),
        (["[2001:db8::1]"], 1, V6),
        (["[2001:db8::1]:4711"], 1, V6),
        (["192.0.2.1:555"], 1, REAL),
        (["::ffff:192.0.2.1"], 1, REAL),
        (["[::ffff:192.0.2.1]:555"], 1, REAL),
        (["192.0.2.1, unix:"], 2, REAL),
        (["unknown"], 1, PEER),
        (["192.0.2.1, unknown"], 1, PEER),
        (["192.0.2.1,"], 1, PEER),
        ([""], 1, PEER),
        (["192.0.2.1 10.0.0.2"], 1, PEER),
    ],
)
def test_x_forwarded_for_is_counted_from_the_right(
    lines: list[str], hops: int, address: str
) -> None:
    assert seen(*(f"X-Forwarded-For: {line}" for line in lines), hops=hops) == address


@pytest.mark.parametrize(
    ("lines", "hops", "address"),
    [
        (["for=192.0.2.1"], 1, REAL),
        (["For=192.0.2.1;proto=https;by=203.0.113.43"], 1, REAL),
        (["proto=https ; for=192.0.2.1 ;"], 1, REAL),
        (['for="192.0.2.1:47011"'], 1, REAL),
        (["for=192.0.2.1:47011"], 1, REAL),
        (['for="[2001:db8::1]"'], 1, V6),
        (['for="[2001:db8::1]:4711"'], 1, V6),
        (['for="[2001:db8::1]:_port"'], 1, V6),
        ([r'for="\1\92.0.2.1"'], 1, REAL),
        (["for=6.6.6.6, for=192.0.2.1"], 1, REAL),
        (["for=6.6.6.6", "for=192.0.2.1"], 1, REAL),
        (["for=192.0.2.1, for=10.0.0.2"], 2, REAL),
        (["for=6.6.6.6, for=192.0.2.1", 'for="[2001:db8::2]";by=_x'], 2, REAL),
        (['for=192.0.2.1;host="a, b"'], 1, REAL),
        (['for=192.0.2.1;host="a\\", for=6.6.6.6;b=\\""'], 1, REAL),
        (["for=192.0.2.1"], 2, PEER),
        (["for=unknown"], 1, PEER),
        (["for=_hidden"], 1, PEER),
        (["for=192.0.2.1, for=_hidden"], 1, PEER),
        (["for=192.0.2.1, for=_hidden"], 2, REAL),
        (["proto=https"], 1, PEER),
        (["for=192.0.2.1;for=6.6.6.6"], 1, PEER),
        (["for=192.0.2.1, "], 1, PEER),
        (["192.0.2.1"], 1, PEER),
        ([""], 1, PEER),
        # what a client may put before it
        (['for="6.6.6.6', "for=192.0.2.1"], 1, REAL),
        (['for="6.6.6.6, for=192.0.2.1'], 1, REAL),
        (['x="\\, for=192.0.2.1;by="[::1]"'], 1, REAL),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it_and_counted_from_the_right(
    lines: list[str], hops: int, address: str
) -> None:
    assert seen(*(f"Forwarded: {line}" for line in lines), hops=hops) == address


@pytest.mark.parametrize(
    ("first", "second", "address"),
    [
        ("192.0.2.1", "for=192.0.2.1", REAL),
        ("192.0.2.1:80", 'for="[::ffff:192.0.2.1]:81"', REAL),
        ("192.0.2.1", "for=6.6.6.6", PEER),
        ("192.0.2.1", "for=unknown", PEER),
        ("unknown", "for=192.0.2.1", PEER),
        ("", "for=192.0.2.1", PEER),
    ],
)
def test_of_two_headers_that_disagree_neither_is_believed(
    first: str, second: str, address: str
) -> None:
    assert seen(f"X-Forwarded-For: {first}", f"Forwarded: {second}") == address


CLIENT_TEXT = st.text(st.characters(min_codepoint=9, max_codepoint=255), max_size=30)


@given(st.lists(CLIENT_TEXT | st.text('for="\\,; =[]:.1', max_size=30), max_size=3))
def test_what_a_client_adds_on_the_left_changes_nothing(made_up: list[str]) -> None:
    lines = [f"X-Forwarded-For: {text}" for text in made_up]
    assert seen(*lines, f"X-Forwarded-For: {REAL}") == REAL
    for own in (f"for={REAL}", f'for="{REAL}:80";proto=https'):
        assert seen(*(f"Forwarded: {text}" for text in made_up), f"Forwarded: {own}") == REAL
        joined = ", ".join([*made_up, own])
        assert seen(f"Forwarded: {joined}") == REAL


@given(CLIENT_TEXT | st.text('for="\\,; =[]:.1', max_size=40))
def test_what_a_proxy_quotes_of_a_client_is_no_address(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert seen(f'Forwarded: for={REAL};host="{quoted}"') == REAL


@given(st.lists(CLIENT_TEXT, max_size=4), st.integers(0, 5))
def test_no_header_does_worse_than_being_ignored(lines: list[str], hops: int) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "X-Forwarded-Proto"):
        head = head_of(*(f"{name}: {line}" for line in lines))
        assert client_address(head, PEER, hops)
        client_secure(head, encrypted=False, trusted_hops=hops)


@pytest.mark.parametrize(
    "text",
    ["," * 16_000, 'a="' + "," * 16_000, ',a="' * 4000, "a=b," * 4000 + '"', 'a="\\"' * 3000],
    ids=["commas", "open", "quotes", "elements", "escapes"],
)
def test_the_longest_header_is_read_within_milliseconds(text: str) -> None:
    began = time.process_time()
    seen(f"Forwarded: {text}", hops=3)
    # A reading that is not linear takes seconds.
    assert time.process_time() - began < 0.5


SECURE, PLAIN = True, False


@pytest.mark.parametrize(
    ("lines", "hops", "encrypted", "secure"),
    [
        ([], 0, SECURE, SECURE),
        ([], 0, PLAIN, PLAIN),
        ([], 1, SECURE, SECURE),
        (["X-Forwarded-Proto: https"], 0, PLAIN, PLAIN),
        (["Forwarded: proto=https"], 0, PLAIN, PLAIN),
        (["X-Forwarded-Proto: https"], 1, PLAIN, SECURE),
        (["X-Forwarded-Proto: WSS"], 1, PLAIN, SECURE),
        (["X-Forwarded-Proto: http"], 1, SECURE, PLAIN),
        (["X-Forwarded-Proto: https, http"], 1, PLAIN, PLAIN),
        (["X-Forwarded-Proto: https, http"], 2, PLAIN, SECURE),
        (["X-Forwarded-Proto: http", "X-Forwarded-Proto: https, http"], 2, PLAIN, SECURE),
        (["X-Forwarded-Proto: https"], 2, PLAIN, SECURE),
        (["X-Forwarded-Proto: "], 1, SECURE, PLAIN),
        (["Forwarded: for=1.2.3.4;proto=https"], 1, PLAIN, SECURE),
        (['Forwarded: for=1.2.3.4;Proto="HTTPS", for=1.2.3.5;proto=http'], 2, PLAIN, SECURE),
        (["Forwarded: proto=https, proto=http"], 1, PLAIN, PLAIN),
        (["Forwarded: proto=https"], 2, PLAIN, SECURE),
        (["Forwarded: for=1.2.3.4"], 1, SECURE, SECURE),
        (["Forwarded: proto=https", "X-Forwarded-Proto: http"], 1, PLAIN, PLAIN),
    ],
)
def test_the_scheme_is_counted_from_the_right_by_the_same_number_of_hops(
    lines: list[str],
    hops: int,
    encrypted: bool,  # noqa: FBT001 - a table
    secure: bool,  # noqa: FBT001 - a table
) -> None:
    assert client_secure(head_of(*lines), encrypted=encrypted, trusted_hops=hops) is secure
