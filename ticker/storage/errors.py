"""What can be wrong with a database, told in words."""

from __future__ import annotations


class DatabaseUnavailableError(Exception):
    """The database cannot be used now; the text is one line without a secret.

    Attributes:
        reason: one word: `busy`, `missing`, `unsafe`, `unreachable`, `denied`, `readonly`, `full`,
            `io`, `corrupted`, `lost`, `schema`, `foreign`, `slow` or `failed`.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
