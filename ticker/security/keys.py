"""What an API key is: made, read, hashed, compared.

Rules for this module: pure but for the operating system's random source; no store, no clock.

A key is `tk_<id>_<secret><checksum>`, always 63 ASCII characters:

- `id`, 10 characters of Crockford's base 32, is public: it names the key in lists and logs, and
  finds its row.
- `secret`, 43 characters of base 62, holds just over 256 bits from the operating system.
- `checksum`, the CRC-32 of all before it as 6 characters of base 62, tells a typo from an
  unknown key without a database read, and lets scanners recognise leaked keys.

The store holds the HMAC-SHA256 of the whole key under a server-side pepper, so a stolen
database alone can neither be used nor be tried against. The secret is random and long, so a
slow hash would cost every exchange and gain nothing.
"""

from __future__ import annotations

import re
import secrets
import zlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import constant_time, hashes, hmac

from ticker import limits

_ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARS: Final = 10
_SECRET_CHARS: Final = 43
_CHECKSUM_CHARS: Final = 6
_KEY: Final = re.compile(
    f"(tk_([{_ID_ALPHABET}]{{{_ID_CHARS}}})_[{_BASE62}]{{{_SECRET_CHARS}}})"
    f"([{_BASE62}]{{{_CHECKSUM_CHARS}}})"
)
KEY_CHARS: Final = len("tk__") + _ID_CHARS + _SECRET_CHARS + _CHECKSUM_CHARS


class MalformedKeyError(ValueError):
    """The text cannot be a key that Ticker made: a typo, a part of one, or something else."""


@dataclass(frozen=True, slots=True, eq=False)
class ParsedKey:
    """A key whose form is right; whether it is known is for the store to say.

    Attributes:
        key_id: the public id.
        text: the whole key, a secret.
    """

    key_id: str
    text: str = field(repr=False)


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode("ascii"))
    digits = []
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def new_key() -> ParsedKey:
    """Make a key from the operating system's random source."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARS))
    secret = "".join(secrets.choice(_BASE62) for _ in range(_SECRET_CHARS))
    body = f"tk_{key_id}_{secret}"
    return ParsedKey(key_id, body + _checksum(body))


def parse_key(text: str) -> ParsedKey:
    """Read a key as a client gave it; anything at all may be given, at bounded cost.

    Raises:
        MalformedKeyError: it is no key, or one with a typo. The text is not repeated.
    """
    match = _KEY.fullmatch(text) if len(text) == KEY_CHARS else None
    if match is None or _checksum(match[1]) != match[3]:
        raise MalformedKeyError("not an API key, or one with a typo")
    return ParsedKey(match[2], text)


def hash_key(key: ParsedKey, pepper: bytes) -> bytes:
    """Make the 32 bytes that the store holds for a key."""
    if len(pepper) < limits.PEPPER_BYTES:
        raise ValueError(f"a pepper has at least {limits.PEPPER_BYTES} bytes")
    mac = hmac.HMAC(pepper, hashes.SHA256())
    mac.update(key.text.encode("ascii"))
    return mac.finalize()


def same_hash(given: bytes, stored: bytes) -> bool:
    """Compare two hashes in a time that does not tell where they differ."""
    return constant_time.bytes_eq(given, stored)
