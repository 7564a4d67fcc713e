"""What a token is: issued, verified, named.

Rules for this module: pure but for the operating system's random source; no store, no clock.

A token is 32 random bytes and the HMAC-SHA256 over them, each base64url without padding (43
characters), joined by a dot. It says nothing: who holds it, what they may do and until when
is in the record behind it, which the store finds by the token's id. The signature is there so
that a forgery is refused before any store is asked.

There is exactly one spelling of every token: padding, other alphabets and spare bits that
base64 decoders tend to forgive are refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives import constant_time, hashes, hmac

from ticker import limits

_NONCE_BYTES: Final = 32
_PART_CHARS: Final = 43
TOKEN_CHARS: Final = 2 * _PART_CHARS + 1
# 43 characters hold 258 bits: the last one must leave its two spare bits zero.
_PART: Final = rf"[A-Za-z0-9_-]{{{_PART_CHARS - 1}}}[AEIMQUYcgkosw048]"
_TOKEN: Final = re.compile(rf"({_PART})\.({_PART})")
_ID_CHARS: Final = 32
_URLSAFE: Final = str.maketrans("-_", "+/")


class InvalidTokenError(Exception):
    """The token opens nothing.

    Attributes:
        reason: `malformed`, `forged`, `unknown`, `expired` or `revoked`; for the log and the
            metrics only, a client is told no more than that it is invalid.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("invalid token")
        self.reason = reason


def _encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode("ascii")


def _decode(part: str) -> bytes:
    # As `base64.urlsafe_b64decode`, in a third of its time.
    return binascii.a2b_base64(part.translate(_URLSAFE) + "=")


def token_id(nonce: bytes) -> str:
    """Name the token of these 32 random bytes: 32 hex digits, from which nothing follows back.

    A plain hash is enough, since 256 random bits cannot be tried.
    """
    return hashlib.sha256(nonce).hexdigest()[:_ID_CHARS]


class TokenSigner:
    """Signs tokens with its first key, and verifies them with all.

    To rotate, put a new key first and keep the old one until its last token has expired.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not 1 <= len(keys) <= limits.TOKEN_KEYS or not all(keys):
            raise ValueError(f"expected 1 to {limits.TOKEN_KEYS} token keys, none empty")
        self._macs = [hmac.HMAC(key, hashes.SHA256()) for key in keys]

    def __repr__(self) -> str:
        return f"<TokenSigner with {len(self._macs)} keys>"

    @staticmethod
    def _sign(keyed: hmac.HMAC, nonce: bytes) -> bytes:
        mac = keyed.copy()
        mac.update(nonce)
        return mac.finalize()

    def issue(self) -> tuple[str, str]:
        """Make a new token; return it and its id."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        token = f"{_encode(nonce)}.{_encode(self._sign(self._macs[0], nonce))}"
        return token, token_id(nonce)

    def verify(self, token: str) -> bytes:
        """Return the 32 random bytes of a token that was signed with one of the keys.

        Every key is tried, in constant time each, whichever fits.

        Raises:
            InvalidTokenError: `malformed` or `forged`.
        """
        match = _TOKEN.fullmatch(token) if len(token) == TOKEN_CHARS else None
        if match is None:
            raise InvalidTokenError("malformed")
        nonce, signature = _decode(match[1]), _decode(match[2])
        fits = [constant_time.bytes_eq(self._sign(mac, nonce), signature) for mac in self._macs]
        if not any(fits):
            raise InvalidTokenError("forged")
        return nonce
