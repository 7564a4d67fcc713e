"""The pepper of a database: from the settings or the data directory, and known to be the right one.

Rules for this module: a database remembers a mark of the pepper it was first used with, from
which the pepper does not follow. Another pepper would make keys that no server accepts, and
refuse every key there is; it is refused itself, before it can.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, hmac

from ticker import limits
from ticker.security import secrets_file
from ticker.security.keys import same_hash
from ticker.security.secrets_file import SecretFileError
from ticker.storage import keys
from ticker.storage.interface import Database

_LABEL: Final = b"ticker: the pepper of this database"


def open_pepper(database: Database, data_dir: Path, given: bytes = b"") -> bytes:
    """Return the pepper that belongs to a database; make it where both are new.

    Args:
        database: migrated.
        data_dir: where the pepper is kept.
        given: one from the settings, used instead; empty for none.

    Raises:
        SecretFileError: the pepper is of another database, or cannot be read or made.
        DatabaseUnavailableError: something is wrong with the database.
    """
    if given:
        pepper = given if len(given) >= limits.PEPPER_BYTES else _stretched(given)
        if _claim(database, pepper):
            return pepper
        raise SecretFileError(
            f"TICKER_KEY_PEPPER is not the pepper of the keys in {database.place}: set the one "
            f"that the machines of this database share"
        )
    stored = secrets_file.pepper(data_dir)
    if _claim(database, stored.value):
        return stored.value
    if stored.made:
        stored.path.unlink(missing_ok=True)
    raise SecretFileError(
        f"{stored.path} is not the pepper of the keys in {database.place}: set the data directory "
        f"that belongs to this database, or restore the file from a backup"
    )


def _stretched(given: bytes) -> bytes:
    """Make a pepper of full length from a short secret, which is as easy to guess as before."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(given)
    return digest.finalize()


def _claim(database: Database, pepper: bytes) -> bool:
    """Tell whether a pepper is the database's; the first one is."""
    mac = hmac.HMAC(pepper, hashes.SHA256())
    mac.update(_LABEL)
    mark = mac.finalize()
    with database.write() as connection:
        return same_hash(keys.claim_pepper(connection, mark), mark)
