"""What a start finds in, or makes for, the data directory, and what it refuses to be reached with.

The secrets that were made up here and the demo key are good for development only: a service that
other machines can reach does not start with them, unless it is told to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import attrs
import structlog

from ticker.addresses import is_loopback
from ticker.security import secrets_file
from ticker.security.authority import Authority
from ticker.security.demo import ensure_demo_key
from ticker.security.pepper import open_pepper
from ticker.security.tokens import TokenSigner
from ticker.server import process
from ticker.server.process import ServiceError
from ticker.settings.model import STRONG_KEY_BYTES, Settings
from ticker.storage.interface import Database

log = structlog.get_logger()


@attrs.frozen
class Opened:
    """What was found in, or made for, the data directory.

    Attributes:
        authority: keys and tokens.
        demo_key: the demo key, while there is one.
        made_up: the file of the token key, where no setting gives one.
        weak: whether a token key is shorter than it should be.
    """

    authority: Authority
    demo_key: str | None = attrs.field(repr=False)
    made_up: Path | None
    weak: bool


def open_authority(settings: Settings, database: Database) -> Opened:
    """Open the database and the secrets; for a thread, since it waits for the disk.

    Raises:
        ServiceError: other machines can reach what is only good for development.
        DatabaseUnavailableError, SecretFileError: it cannot be read or written.
    """
    database.migrate()
    pepper = open_pepper(database, settings.data_dir, settings.key_pepper)
    made_up = None
    token_keys = settings.token_key
    if not token_keys:
        stored = secrets_file.token_key(settings.data_dir)
        made_up, token_keys = stored.path, (stored.value,)
    weak = min(map(len, token_keys)) < STRONG_KEY_BYTES
    demo_key = ensure_demo_key(
        database, settings.data_dir, pepper=pepper, enabled=settings.makes_demo_key
    )
    exposed = _exposed(settings)
    if exposed and not settings.allow_insecure:
        _refuse_exposed(
            exposed,
            demo=demo_key is not None,
            made_up=made_up is not None,
            weak=weak,
            weak_pepper=_weak_pepper(settings),
        )
    authority = Authority(
        database=database,
        signer=TokenSigner(token_keys),
        pepper=pepper,
        token_ttl=settings.token_ttl,
        store=cast("Literal['database', 'memory']", settings.token_store),
        policies=settings.policies,
    )
    return Opened(authority, demo_key, made_up, weak)


def warn(settings: Settings, opened: Opened) -> None:
    """Log what an operator should know of the settings and secrets at every start."""
    for name in settings.ignored:
        log.warning("setting_unknown", name=name, hint="`ticker config` lists the settings")
    if opened.made_up is not None:
        log.warning("token_key_made_up", path=str(opened.made_up), hint="set TICKER_TOKEN_KEY")
    if opened.weak:
        log.warning("token_key_weak", hint=f"use {STRONG_KEY_BYTES} random bytes or more")
    if _weak_pepper(settings):
        log.warning("key_pepper_weak", hint=f"use {STRONG_KEY_BYTES} random bytes or more")
    if opened.demo_key is not None:
        hint = "for development: it stops working when `ticker keys create` makes a key"
        log.warning("demo_api_key", api_key=opened.demo_key, hint=hint)


def _weak_pepper(settings: Settings) -> bool:
    return 0 < len(settings.key_pepper) < STRONG_KEY_BYTES


def _refuse_exposed(
    address: str, *, demo: bool, made_up: bool, weak: bool, weak_pepper: bool
) -> None:
    """Refuse to be reached from elsewhere with what is only good for development."""
    mends = []
    if demo:
        mends.append("create a key with `ticker keys create USER`")
    if made_up:
        mends.append("set TICKER_TOKEN_KEY to 32 random bytes or more")
    elif weak:
        mends.append("make TICKER_TOKEN_KEY 32 random bytes or longer")
    if weak_pepper:
        mends.append("make TICKER_KEY_PEPPER 32 random bytes or longer")
    if mends:
        raise ServiceError(
            f"{address} can be reached from other machines: {' and '.join(mends)}, "
            f"or set TICKER_ALLOW_INSECURE=true",
            settings=True,
        )


def _exposed(settings: Settings) -> str | None:
    """Return an address we listen on, or will, that other machines can reach."""
    if not settings.loopback:
        return settings.host
    listening = process.listening_addresses()
    return next((address for address in listening if not is_loopback(address)), None)
