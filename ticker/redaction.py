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


def redact(text: str) -> str:
    """Return a text without the secrets in it."""
    return _SECRET.sub(MASK, text)
