"""A request has one token, in a place where it may be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.heads import head_of
from ticker.http.bearer import find_token, token_within_limit
from ticker.http.head import Head
from ticker.http.refusal import NO_TOKEN, TWO_TOKENS, Refusal, RefusedError
from ticker.settings.readers import TokenPlace

EVERYWHERE: Sequence[TokenPlace] = ("header", "subprotocol", "query", "cookie")
DEFAULT: Sequence[TokenPlace] = ("header", "subprotocol")
NONE: dict[str, str | None] = {"Authorization": None}


def refusal(head: Head, places: Sequence[TokenPlace]) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        find_token(head, places)
    return caught.value.refusal


@pytest.mark.parametrize(
    ("changes", "query", "places", "token"),
    [
        ({"Authorization": "bearer  t0ken "}, "", DEFAULT, "t0ken"),
        ({"Authorization": "BEARER t0ken"}, "", DEFAULT, "t0ken"),
        ({**NONE, "Sec-WebSocket-Protocol": "bearer.ab"}, "", DEFAULT, "ab"),
        ({**NONE, "Sec-WebSocket-Protocol": "ticker.v1, bearer.ab"}, "", DEFAULT, "ab"),
        ({**NONE, "Cookie": "a=b; x-auth-token=ab"}, "", EVERYWHERE, "ab"),
        (NONE, "?x-auth-token=a%2Bb&y=1", EVERYWHERE, "a+b"),
        ({"Cookie": "x-auth-token=ab"}, "?x-auth-token=cd", DEFAULT, "t0ken"),
        ({"Authorization": "Bearer a", "Cookie": "x-auth-token=ab"}, "", ["cookie"], "ab"),
    ],
)
def test_a_token_is_found_where_it_may_be_and_nowhere_else(
    changes: dict[str, str | None], query: str, places: Sequence[TokenPlace], token: str
) -> None:
    assert find_token(head_of(changes, first=f"GET /a{query} HTTP/1.1"), places) == token


@pytest.mark.parametrize(
    ("changes", "query", "places"),
    [
        (NONE, "", EVERYWHERE),
        (NONE, "?x-auth-token=ab", DEFAULT),
        ({**NONE, "Cookie": "x-auth-token=ab"}, "", DEFAULT),
        ({"Authorization": "Basic dTpw"}, "", EVERYWHERE),
        ({"Authorization": "Bearer"}, "", EVERYWHERE),
        ({**NONE, "Sec-WebSocket-Protocol": "ticker.v1, bearer."}, "", EVERYWHERE),
        (NONE, "?x-auth-token=", EVERYWHERE),
        ({**NONE, "Cookie": "x-auth-token="}, "", EVERYWHERE),
        ({**NONE, "Cookie": "not-x-auth-token=ab; X-Auth-Token=ab"}, "", EVERYWHERE),
    ],
)
def test_a_token_that_is_absent_empty_or_elsewhere_is_none(
    changes: dict[str, str | None], query: str, places: Sequence[TokenPlace]
) -> None:
    assert refusal(head_of(changes, first=f"GET /a{query} HTTP/1.1"), places) is NO_TOKEN


@pytest.mark.parametrize(
    ("changes", "more", "query"),
    [
        ({}, ["Authorization: Bearer other"], ""),
        ({}, ["Authorization: Bearer t0ken"], ""),
        ({}, ["Authorization: Bearer"], ""),
        ({"Sec-WebSocket-Protocol": "ticker.v1, bearer.t0ken"}, [], ""),
        ({**NONE, "Sec-WebSocket-Protocol": "bearer.a, bearer.b"}, [], ""),
        ({"Cookie": "x-auth-token=t0ken"}, [], ""),
        ({**NONE, "Cookie": "x-auth-token=a; x-auth-token=a"}, [], ""),
        ({**NONE, "Cookie": "x-auth-token=a; b=c; x-auth-token=d"}, [], ""),
        ({**NONE, "Cookie": "x-auth-token=a"}, ["Cookie: x-auth-token=b"], ""),
        ({**NONE, "Cookie": "x-auth-token=a; x-auth-token="}, [], ""),
        (NONE, [], "?x-auth-token=a&x-auth-token=b"),
        ({}, [], "?x-auth-token=t0ken"),
    ],
)
def test_two_tokens_are_refused_be_they_the_same(
    changes: dict[str, str | None], more: list[str], query: str
) -> None:
    head = head_of(changes, *more, first=f"GET /a{query} HTTP/1.1")
    assert refusal(head, EVERYWHERE) is TWO_TOKENS


@pytest.mark.parametrize(
    "neighbour",
    [
        'prefs={"theme":"dark","list":[1,2]}',
        'a="b',
        'a="b\\"c"',
        "a",
        "=",
        "=b",
        "",
        "a=b=c",
        "a b=c",
        "a@b:c/d=<e>",
        "expires=Wed, 21 Oct 2026 07:28:00 GMT",
        "path=/; secure",
        "$Version=1",
        "a=\xe9\xff",
        "x-auth-token2=evil",
        "x-auth-token",
    ],
)
@pytest.mark.parametrize("order", ["{1}; {0}", "{0}; {1}", "{0};{1}", " {0} ;  {1} ;"])
@pytest.mark.parametrize("own", ["x-auth-token=ab.c-d_", 'x-auth-token="ab.c-d_"'])
def test_no_other_cookie_hides_the_token(neighbour: str, order: str, own: str) -> None:
    if neighbour == "x-auth-token":
        # A name without a value is the cookie too, an empty one.
        head = head_of({**NONE, "Cookie": order.format(own, neighbour)})
        assert refusal(head, EVERYWHERE) is TWO_TOKENS
        return
    head = head_of({**NONE, "Cookie": order.format(own, neighbour)})
    assert find_token(head, EVERYWHERE) == "ab.c-d_"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters=";\x7f")))
def test_whatever_another_cookie_holds_the_token_is_found(value: str) -> None:
    head = Head(
        b"", b"", "GET", "/", ((b"cookie", f"a={value}; x-auth-token=ab".encode("latin-1")),)
    )
    assert find_token(head, ["cookie"]) == "ab"


def test_beyond_the_limit_of_refusals_only_a_known_token_is_looked_at() -> None:
    head = head_of()
    assert token_within_limit(head, DEFAULT, wait=0.0, known=lambda _token: False) == "t0ken"
    assert token_within_limit(head, DEFAULT, wait=12.3, known=lambda _token: True) == "t0ken"
    with pytest.raises(RefusedError) as caught:
        token_within_limit(head, DEFAULT, wait=12.3, known=lambda _token: False)
    assert caught.value.refusal.headers == {"retry-after": "13"}
    with pytest.raises(RefusedError) as caught:
        token_within_limit(head_of(NONE), DEFAULT, wait=12.3, known=lambda _token: True)
    assert caught.value.refusal is NO_TOKEN
