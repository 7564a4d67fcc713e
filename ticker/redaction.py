"""Credentials in text where they do not belong, taken out before it is shown or logged.

Rules for this module: pure. A token in a target, a `Referer` or any other header than
`Authorization` is a mistake of the client's, and an access log would keep it for ever.
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
#: The part of a URL that may hold a user and a password, and fields of its query that may.
_URL_USER: Final = re.compile(r"(?<=//)[^\s'\"]*@")
_QUERY_SECRET: Final = re.compile(
    r"(?<=[?&])([^=&\s]*(?:pass|secret|token|key|auth|sign|credential)[^=&\s]*=)[^&#\s'\"]+",
    re.IGNORECASE,
)
_BEFORE_AT: Final = re.compile(r"^(['\"]?(?:\w+:)?//)?.*@", re.DOTALL)
#: A host, with a port only where it cannot be taken for a user with a password of digits.
_HOST_ALONE: Final = re.compile(
    r"((\[[^\]\s]*\]|localhost|[^\[\]:/?#@\s]*\.[^\[\]:/?#@\s]*)(:\d*)?|[^\[\]:/?#@\s]*)([/?#]|$)"
)


def redact(text: str) -> str:
    """Return a text without the secrets in it."""
    return _SECRET.sub(MASK, text)


def mask_credentials(text: str) -> str:
    """Return a text in which no URL shows a user, a password, or a secret in its query.

    A password may hold an unescaped `/` or `@`, so all up to the last `@` is masked, but for a
    URL that begins with a host and a port alone, as `wss://stream.example/ws/btcusdt@trade` does.
    """

    def mask(match: re.Match[str]) -> str:
        return match[0] if _HOST_ALONE.match(match[0]) else f"{MASK}@"

    return _QUERY_SECRET.sub(rf"\1{MASK}", _URL_USER.sub(mask, text))


def mask_before_at(text: str) -> str:
    """Do the same for a text that may be a URL gone wrong: nothing before an `@` is shown."""
    return _QUERY_SECRET.sub(rf"\1{MASK}", _BEFORE_AT.sub(rf"\1{MASK}@", text))
