"""The head of a request, however it arrives."""

from __future__ import annotations

import math
from itertools import pairwise

import h11
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock

from ticker import limits
from ticker.http.head import Head, HeadParser, parse_plain, read_head

SIMPLE = b"GET /prices?x=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1, 2\r\nx-two: 3\r\n\r\n"


def parsed(data: bytes) -> Head:
    head = HeadParser().feed(data)
    assert head is not None
    return head


def test_a_head_is_read_with_its_names_in_lower_case_and_its_values_in_order() -> None:
    head = parsed(SIMPLE + b"more")
    assert (head.method, head.target, head.version) == ("GET", "/prices?x=1", "1.1")
    assert (head.path, head.query) == ("/prices", "x=1")
    assert head.all(b"x-two") == ["1, 2", "3"]
    assert head.tokens(b"x-two") == ["1", "2", "3"]
    assert head.first(b"host") == "a"
    assert head.first(b"absent") is None
    assert (head.raw, head.rest) == (SIMPLE, b"more")


@given(st.integers(0, len(SIMPLE) - 1))
def test_half_a_head_is_none_yet(size: int) -> None:
    assert HeadParser().feed(SIMPLE[:size]) is None


@given(st.binary(max_size=200))
@example(b"\r\n\0")
@example(b"\r\n\r\n\0")
@example(b"\r\n" + SIMPLE)
def test_no_bytes_at_all_do_worse_than_being_no_request(data: bytes) -> None:
    head = HeadParser().feed(data)
    if head is not None:
        assert head.raw + head.rest == data.removeprefix(b"\r\n")  # one empty line is passed over


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_in_a_header_are_taken_or_left_to_the_http_server(
    name: bytes, value: bytes
) -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + name + b": " + value + b"\r\n\r\n"
    head = HeadParser().feed(data)
    if head is not None and head.method:
        assert head.method == "GET"
        assert all(isinstance(text, str) for key, _ in head.headers for text in head.all(key))


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xe9\r\nX-More: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"x" * limits.HEAD_BYTES,
    ],
)
def test_what_is_no_request_is_left_to_the_http_server(data: bytes) -> None:
    head = parsed(data)
    assert (head.method, head.raw) == ("", data)


@pytest.mark.parametrize("host", ["", "a", "a_b-c.d.", "a:80", "a:", "[::1]:8081", "%c3%a9.ch"])
def test_a_host_may_be_any_that_an_address_may_hold(host: str) -> None:
    for more in ("", "X: \xe9\r\n"):
        head = parsed(f"GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode("latin-1"))
        assert head.first(b"host") == host


@pytest.mark.parametrize("first", [b"\r\n", b"\r"])
def test_one_empty_line_before_a_request_is_passed_over_and_not_two(first: bytes) -> None:
    parser = HeadParser()
    assert parser.feed(first) is None
    head = parser.feed(b"\r\n"[len(first) :] + SIMPLE)
    assert head == parsed(SIMPLE)
    assert parsed(b"\r\n" + SIMPLE) == head
    assert parsed(b"\r\n\r\n" + SIMPLE).fault == 400


@pytest.mark.parametrize(
    ("upgrade", "connection", "does"),
    [
        ("websocket", "Upgrade", True),
        ("WebSocket", "keep-alive, upgrade", True),
        ("h2c, websocket", "upgrade", True),
        ("websocket", "keep-alive", False),
        ("h2c", "upgrade", False),
        ("websocket/13", "upgrade", False),
    ],
)
def test_an_upgrade_needs_both_headers(upgrade: str, connection: str, does: bool) -> None:  # noqa: FBT001 - a table
    lines = f"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: {upgrade}\r\nConnection: {connection}\r\n\r\n"
    assert parsed(lines.encode()).upgrades_to("websocket") is does


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("X: 1", 0),
        ("Content-Length: 0", 0),
        ("Content-Length: 12", 12),
        ("Transfer-Encoding: chunked", None),
    ],
)
def test_the_length_of_a_body_is_told(header: str, size: int | None) -> None:
    head = parsed(f"POST / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n".encode())
    assert head.body_bytes == size


def test_a_request_can_be_made_the_last_one_without_its_wish_for_another_protocol() -> None:
    data = (
        b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAM\r\nContent-Length: 2\r\n\r\n"
    )
    again = parsed(parsed(data).last_request())
    assert (again.method, again.target) == ("POST", "/x")
    assert dict(again.headers) == {
        b"host": b"a",
        b"content-length": b"2",
        b"connection": b"close",
    }


class Pieces:
    """A peer that sends its bytes in pieces, each after a while, and then leaves or waits."""

    def __init__(self, *pieces: bytes, every: float = 0.0, leaves: bool = True) -> None:
        self._pieces = list(pieces)
        self._every = every
        self._leaves = leaves

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        assert max_bytes
        await trio.sleep(self._every)
        if self._pieces:
            piece = self._pieces.pop(0)
            assert len(piece) <= max_bytes
            return piece
        if not self._leaves:
            await trio.sleep_forever()
        return b""


async def read(
    stream: Pieces, received: bytes = b"", idle_seconds: float = math.inf
) -> Head | None:
    """Read a head; None also where it took too long."""
    with trio.CancelScope() as scope:
        head = await read_head(stream, scope, received, idle_seconds=idle_seconds)
        assert head is None or scope.deadline == math.inf
        return head
    return None


@given(st.lists(st.integers(0, len(SIMPLE)), max_size=5).map(sorted), st.binary(max_size=5))
def test_a_head_is_the_same_however_it_is_cut(cuts: list[int], rest: bytes) -> None:
    edges = [0, *cuts, len(SIMPLE)]
    pieces = [SIMPLE[a:b] for a, b in pairwise(edges) if a < b]
    pieces[-1] += rest
    head = trio.run(read, Pieces(*pieces))
    assert head == HeadParser().feed(SIMPLE + rest)


async def test_a_peer_that_leaves_before_the_end_has_sent_none() -> None:
    assert await read(Pieces(SIMPLE[:20])) is None
    assert await read(Pieces()) is None


async def test_what_was_received_before_counts() -> None:
    head = await read(Pieces(), SIMPLE)
    assert head is not None
    assert head.raw == SIMPLE


async def test_a_dripped_head_is_given_up_five_seconds_after_its_first_byte(
    autojump_clock: MockClock,
) -> None:
    drip = Pieces(*(SIMPLE[i : i + 1] for i in range(20)), every=1.0)
    assert await read(drip) is None
    assert autojump_clock.current_time() == pytest.approx(1.0 + limits.HEAD_SECONDS)


async def test_silence_is_given_up_where_a_limit_was_given(autojump_clock: MockClock) -> None:
    assert await read(Pieces(leaves=False), idle_seconds=7) is None
    assert autojump_clock.current_time() == pytest.approx(7)


async def test_a_late_first_byte_still_leaves_time_for_the_rest(autojump_clock: MockClock) -> None:
    late = Pieces(SIMPLE[:9], SIMPLE[9:], every=limits.HEAD_SECONDS - 1)
    assert await read(late, idle_seconds=limits.HEAD_SECONDS) is not None
    assert autojump_clock.current_time() == pytest.approx(2 * (limits.HEAD_SECONDS - 1))


def by_h11(data: bytes) -> Head | None:
    """Parse without the short cut for plain requests."""
    parser = HeadParser()
    parser._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HEAD_BYTES)
    parser._received = b""
    return parser.feed(data)


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "Host",
                "host",
                "Upgrade",
                "Connection",
                "X-Long_Name",
                "Content-Length",
                "Expect",
                "a",
            ]
        ),
        st.text(st.characters(min_codepoint=9, max_codepoint=255), max_size=12),
    ),
    max_size=5,
)


@given(FIELDS, st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12))
def test_the_short_cut_for_plain_requests_sees_what_h11_sees(
    fields: list[tuple[str, str]], target: str
) -> None:
    lines = [f"GET /{target} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in fields)]
    data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    assert HeadParser().feed(data) == by_h11(data)


def test_a_usual_handshake_takes_the_short_cut() -> None:
    assert parse_plain(SIMPLE) == by_h11(SIMPLE)
