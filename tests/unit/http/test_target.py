"""Whatever spelling a target comes in, one path is what everything decides by."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ticker.http.head import Head, HeadParser
from ticker.http.target import with_plain_target


def placed(target: str, method: str = "GET") -> Head:
    return with_plain_target(Head(b"", b"", method, target, ((b"host", b"b"),), "1.1"))


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        ("/ws/ticker", "/ws/ticker"),
        ("/ws/ticker?a=b?c", "/ws/ticker?a=b?c"),
        ("http://a.example/ws/ticker", "/ws/ticker"),
        ("HTTPS://a.example:8081/ws/ticker?a=b", "/ws/ticker?a=b"),
        ("ws://[::1]:8081/ws/ticker", "/ws/ticker"),
        ("http://a.example", "/"),
        ("http://a.example?a=/b", "/?a=/b"),
        ("http://a.example//stream", "/stream"),
        ("//stream", "/stream"),
        ("///stream?a=//b", "/stream?a=//b"),
        ("/%73tream", "/stream"),
        ("/%2Fstream", "/stream"),
        ("/prices%2FBTC-USD", "/prices/BTC-USD"),
        ("/%2573tream", "/%2573tream"),
        ("/%3Fa", "/%3Fa"),
        ("/%ff%20%", "/%FF%20%25"),
        ("/a%0d%0ab", "/a%EF%BF%BD%EF%BF%BDb"),
        ("/%1b%22%c2%84?%0a", "/%EF%BF%BD%EF%BF%BD%EF%BF%BD?%0a"),
        ("/a?b=%73", "/a?b=%73"),
        ("/http://a.example/ws/ticker", "/http://a.example/ws/ticker"),
    ],
)
def test_a_target_has_one_spelling(target: str, plain: str) -> None:
    head = placed(target)
    assert head.target == plain
    assert head.target_readable
    assert (head.path, head.query) == (plain.partition("?")[0], plain.partition("?")[2])


@pytest.mark.parametrize(
    "target",
    [
        "stream",
        "a:80",
        "*",
        "ftp://a/stream",
        "http:///stream",
        "http://[::1/stream",
        "http://a\\b/stream",
        "http:/stream",
        "?",
        "/stream#a",
    ],
)
def test_what_is_no_target_of_an_origin_server_is_unreadable(target: str) -> None:
    assert not placed(target).target_readable


def test_a_userinfo_before_the_host_is_a_fault() -> None:
    assert not placed("http://user:password@a/prices").target_readable


def test_only_options_may_mean_the_server_as_a_whole() -> None:
    assert placed("*", "OPTIONS").target_readable


def test_the_host_of_a_target_goes_before_the_header() -> None:
    head = placed("http://a.example:81/prices")
    assert head.all(b"host") == ["a.example:81"]
    again = HeadParser().feed(head.raw)
    assert again is not None
    assert (again.target, again.all(b"host")) == ("/prices", ["a.example:81"])


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30))
@example('%0a"')
@example('"')
def test_the_path_is_what_quart_makes_of_it(text: str) -> None:
    target = f"/{text}"
    head = placed(target)
    quart = "/" + unquote(target.partition("?")[0]).lstrip("/")
    shown = [each if each.isprintable() and each != '"' else "\ufffd" for each in quart]
    assert unquote(head.path) == "".join(shown)
    assert with_plain_target(head) is head


def test_a_plain_target_costs_nothing() -> None:
    head = Head(b"", b"", "GET", "/ws/ticker?symbols=A%2FB", ((b"host", b"b"),), "1.1")
    assert with_plain_target(head) is head
