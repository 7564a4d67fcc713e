"""Where a request carries its token, for handshakes and for HTTP alike.

Rules for this module: pure; whether the token is good is for `security/authority.py` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import parse_qs, unquote_plus

from ticker.http.head import Head
from ticker.http.refusal import NO_TOKEN, TWO_TOKENS, RefusedError, too_many_refusals
from ticker.protocol.paths import BEARER_PREFIX
from ticker.settings.readers import TokenPlace

#: What a token is called in a query or a cookie.
TOKEN_NAME: Final = "x-auth-token"  # noqa: S105 - the parameter's name


def find_token(head: Head, places: Sequence[TokenPlace]) -> str:
    """Return the one token of a request.

    Args:
        head: the request.
        places: where it may carry its token; what stands elsewhere is none.

    Raises:
        RefusedError: there is none, or more than one (RFC 6750 §2), be they the same.
    """
    tokens = [token for place in places for token in _FINDERS[place](head)]
    if len(tokens) > 1:
        raise RefusedError(TWO_TOKENS)
    if not tokens or not tokens[0]:
        raise RefusedError(NO_TOKEN)
    return tokens[0]


def carried_in_header(head: Head, places: Sequence[TokenPlace]) -> Head:
    """Return a request with its one token in `Authorization`, and in no other place.

    So it can be redacted and still be granted. It is as it was where there is no token or more
    than one, which is refused later.

    Args:
        head: the request.
        places: where it may carry its token.
    """
    try:
        token = find_token(head, places)
    except RefusedError:
        return head
    if any(_in_header(head)) or not (token.isascii() and token.isprintable()) or " " in token:
        return head
    path, _, query = head.target.partition("?")
    kept = [part for part in query.split("&") if unquote_plus(part.partition("=")[0]) != TOKEN_NAME]
    target = f"{path}?{'&'.join(kept)}" if any(kept) else path
    headers = [
        (name, _other_cookies(value) if name == b"cookie" else value)
        for name, value in head.headers
    ]
    headers.append((b"authorization", f"Bearer {token}".encode()))
    return head.rewritten(target, tuple(headers))


def _other_cookies(line: bytes) -> bytes:
    name = TOKEN_NAME.encode()
    return b";".join(pair for pair in line.split(b";") if pair.partition(b"=")[0].strip() != name)


def token_within_limit(
    head: Head, places: Sequence[TokenPlace], *, wait: float, known: Callable[[str], bool]
) -> str:
    """Return the one token of a request that is worth a look.

    Args:
        head: the request.
        places: where it may carry its token.
        wait: for how long its address is beyond the limit of refusals, in seconds.
        known: whether a token is known to be good; no other is looked at beyond the limit.

    Raises:
        RefusedError: there is none, more than one, or one that must wait.
    """
    token = find_token(head, places)
    if wait and not known(token):
        raise RefusedError(too_many_refusals(wait))
    return token


def _in_header(head: Head) -> Iterator[str]:
    for value in head.all(b"authorization"):
        scheme, _, credentials = value.partition(" ")
        if scheme.lower() == "bearer":
            yield credentials.strip()


def _in_subprotocol(head: Head) -> Iterator[str]:
    for word in head.tokens(b"sec-websocket-protocol"):
        if word.startswith(BEARER_PREFIX):
            yield word.removeprefix(BEARER_PREFIX)


def _in_query(head: Head) -> Iterator[str]:
    yield from parse_qs(head.query, keep_blank_values=True).get(TOKEN_NAME, [])


def _in_cookie(head: Head) -> Iterator[str]:
    """Take cookies apart as browsers put them together (RFC 6265 §5.4): only at `;` and `=`.

    Values of other cookies hold anything else, such as JSON with its quotes and commas.
    """
    for line in head.all(b"cookie"):
        for pair in line.split(";"):
            name, _, value = pair.partition("=")
            if name.strip() == TOKEN_NAME:
                yield value.strip().removeprefix('"').removesuffix('"')


_FINDERS: Final = {
    "header": _in_header,
    "subprotocol": _in_subprotocol,
    "query": _in_query,
    "cookie": _in_cookie,
}
