"""Credentials in text where they do not belong, taken out before it is shown or logged.

Rules for this module: pure. A token in a target, a `Referer` or any other header than
`Authorization` is a mistake of the client's, and an access log would keep it for ever.

Of an address only what is known to be harmless is shown: a list of what is secret would lack the
spelling of the next one.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
#: An API key, a token, and whatever is given as one by name.
_SECRET: Final = re.compile(
    r"tk_[0-9a-z]{10}_[0-9A-Za-z]{49}|[0-9A-Za-z_-]{43}\.[0-9A-Za-z_-]{43}|"
    r"(?<=x-auth-token=)[^&;#,\s]+",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\](?::\d{1,5})?|[\w.-]+(?::\d{1,5})?|)"
#: All of an address after its user and password, as far as it may be shown.
_PLACE: Final = re.compile(
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?P<path>/[^?#;]*)?"
    r"(?P<parameters>;[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.DOTALL,
)
#: A file's path is no place for a credential, unlike that of a service on the network.
_FILE: Final = re.compile(r"sqlite(?:\+\w+)?:///", re.ASCII)
#: Some services take their key as a part of the path; names are shorter, or hold no digit.
_KEY_IN_PATH: Final = re.compile(r"(?<=/)(?=[^/]*\d)[^/]{20,}")
#: Parameters of libpq that say where a database is and how to reach it, and what such a value is.
_HARMLESS: Final = frozenset(
    [
        "host",
        "hostaddr",
        "port",
        "dbname",
        "sslmode",
        "target_session_attrs",
        "load_balance_hosts",
        "connect_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
    ]
)
_PAIR: Final = re.compile(r"(?P<name>[A-Za-z_]+)=(?P<value>[^=].*)", re.DOTALL)
_PLAIN_VALUE: Final = re.compile(r"[\w.,:/-]+", re.ASCII)
#: A host, with a port only where it cannot be taken for a user with a password of digits.
_HOST_ALONE: Final = re.compile(
    r"((\[[^\]\s]*\]|localhost|[^\[\]:/?#@\s]*\.[^\[\]:/?#@\s]*)(:\d*)?|[^\[\]:/?#@\s]*)([/?#]|$)"
)
#: Where a path may hold an `@`, as in `wss://stream.example:9443/ws/btcusdt@trade`.
_FEEDS: Final = frozenset({"ws://", "wss://"})
#: An address within a text, whose password may hold a space, without a mark at its end.
_IN_TEXT: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)?//(?:(?:(?!://).)*@)?\S*?"
    r"(?=['\"):,.;\]}]*(?:\s|$|[a-z][a-z0-9+.-]*://))",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_NAMED: Final = re.compile(
    r"((?:user|pass|pwd|secret|token|key|auth|sign|credential)\w*\s*=).*",
    re.IGNORECASE | re.DOTALL,
)


def redact(text: str) -> str:
    """Return a text without the secrets in it."""
    return _SECRET.sub(MASK, text)


def is_ambiguous(address: str) -> bool:
    """Whether an `@` after the host may be the end of a password that holds a `/`, `?` or `#`.

    An address like that must not be used: errors and logs would name a part of the password as
    the host.
    """
    scheme = _SCHEME.match(address)
    rest = address[scheme.end() :] if scheme else address
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return "@" in rest[len(authority) :] and not _HOST_ALONE.match(rest)


def shown_address(address: str) -> str:
    """Return what may be shown of an address: its hosts, path and harmless parameters.

    A user and a password are masked however they are given: before the hosts, in the query, the
    path or the fragment. Of what is no address nothing is shown.
    """
    scheme = _SCHEME.match(address)
    if scheme is None:
        return MASK if address else ""
    rest = address[scheme.end() :]
    file = _FILE.match(address)
    user = ""
    feed = scheme[0].lower() in _FEEDS and _HOST_ALONE.match(rest)
    if "@" in rest and not file and not feed:
        # A password may hold an unescaped `/` or `@`. After a `?` it may also stand in the query.
        before, _, rest = rest.rpartition("@")
        if "?" in before or "#" in before:
            return f"{scheme[0]}{MASK}"
        user = f"{MASK}@"
    place = _PLACE.fullmatch(rest)
    if place is None or place["hosts"].startswith(":"):
        return f"{scheme[0]}{user}{MASK}"
    path = place["path"] or ""
    return "".join(
        (
            scheme[0],
            user,
            place["hosts"],
            path if file else _KEY_IN_PATH.sub(MASK, path),
            f";{MASK}" if place["parameters"] else "",
            f"?{_shown_query(place['query'][1:])}" if place["query"] else "",
            f"#{MASK}" if place["fragment"] else "",
        )
    )


def _shown_query(query: str) -> str:
    return "&".join(_shown_pair(pair) for pair in query.split("&"))


def _shown_pair(pair: str) -> str:
    found = _PAIR.fullmatch(pair)
    if found is None:
        return MASK if pair else ""
    if found["name"] in _HARMLESS and _PLAIN_VALUE.fullmatch(found["value"]):
        return pair
    return f"{found['name']}={MASK}"


def mask_credentials(text: str) -> str:
    """Return a text in which each address is shown as `shown_address` shows it."""
    return _IN_TEXT.sub(lambda found: shown_address(found[0]), text)


def mask_wrong_value(text: str) -> str:
    """Return what may be shown of a value that is no address, and may hold one by mistake.

    Nothing is shown before an `@`, and nothing after the name of a credential, as in
    `user=joe password=...`.
    """
    shown = mask_credentials(_NAMED.sub(rf"\1{MASK}", text))
    _, at, rest = shown.rpartition("@")
    return f"{MASK}@{rest}" if at else shown
