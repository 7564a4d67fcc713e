"""What the server asks: an API key for a token, a token for what it opens.

Theory of operation. `exchange` checks a key in the database and stores the new token's record
there. `authenticate` checks the signature first, so a forgery costs microseconds and no read;
then it looks into a bounded cache of grants, and only then into the database.

The cache stays true because the database's list of revocations is read more than twice a second
(`ticker/security/revocations.py`). Between the reading of a grant and the opening of a stream a
revocation may pass by; `still_good`, asked once the stream is registered, without a checkpoint
between, closes that gap.

Database work is done in worker threads, few at once, each with a deadline. While the database
is unavailable, tokens in the cache go on working and streams go on; nothing new is issued.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog
import trio

from ticker import limits
from ticker.security.grants import Grant, GrantCache, Issued, RefusedTokens
from ticker.security.keys import MalformedKeyError, parse_key
from ticker.security.policy import PolicySet
from ticker.security.purge import purge_expired
from ticker.security.revocations import Ended, Revocations
from ticker.security.token_store import InvalidApiKeyError, TokenStore
from ticker.security.tokens import InvalidTokenError, TokenSigner, token_id
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.interface import Database
from ticker.storage.threads import in_thread

__all__ = [
    "Authority",
    "AuthorityStatistics",
    "DatabaseUnavailableError",
    "Grant",
    "InvalidApiKeyError",
    "InvalidTokenError",
    "Issued",
]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AuthorityStatistics:
    """What an operator or a test may want to know.

    Attributes:
        tokens_cached: grants known without a database read.
        tokens_issued: since the start.
        keys_refused: exchanges refused since the start, by reason.
        tokens_refused: tokens refused since the start, by reason.
        revocations_seen: the number of the last revocation that the watch has read.
        database_available: whether the watch could use the database the last time.
    """

    tokens_cached: int
    tokens_issued: int
    keys_refused: Mapping[str, int]
    tokens_refused: Mapping[str, int]
    revocations_seen: int
    database_available: bool


class Authority:
    """Keys, tokens and revocations of one server process.

    Args:
        database: migrated.
        signer: signs and verifies tokens.
        pepper: of the key hashes.
        token_ttl: seconds that a token lives; less where its key expires before.
        store: where token records are kept; `memory` loses them with the process.
        policies: names what is noted in each grant.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        *,
        database: Database,
        signer: TokenSigner,
        pepper: bytes,
        token_ttl: float,
        store: Literal["database", "memory"],
        policies: PolicySet,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._signer = signer
        self._in_memory = store == "memory"
        self._now = now
        self._store = TokenStore(database, pepper, token_ttl, not self._in_memory, policies, now)
        self._exchanges = trio.CapacityLimiter(limits.DATABASE_EXCHANGES)
        self._lookups = trio.CapacityLimiter(limits.DATABASE_LOOKUPS)
        self._cache = GrantCache(limits.TOKEN_CACHE_ENTRIES)
        self._refused = RefusedTokens(limits.TOKEN_REFUSED_SECONDS, limits.TOKEN_REFUSED_ENTRIES)
        self._asked: dict[str, trio.Event] = {}
        self._revocations = Revocations(self._store, self._cache)
        self._issued = 0
        self._keys_refused: Counter[str] = Counter()
        self._tokens_refused: Counter[str] = Counter()

    def statistics(self) -> AuthorityStatistics:
        """Tell what was done so far."""
        return AuthorityStatistics(
            tokens_cached=len(self._cache),
            tokens_issued=self._issued,
            keys_refused=dict(self._keys_refused),
            tokens_refused=dict(self._tokens_refused),
            revocations_seen=self._revocations.seen,
            database_available=self._revocations.database_available,
        )

    async def exchange(self, api_key: str, address: str) -> Issued:
        """Issue a token for an API key.

        Its record is durable on return (with the store `database`). Cancelled, it may have
        been stored all the same; the token then expires unused.

        Args:
            api_key: as the client gave it.
            address: the client's, for the record and the log.

        Raises:
            InvalidApiKeyError: the key is malformed, unknown, revoked or expired.
            DatabaseUnavailableError: it cannot be checked now.
        """
        key_id = None
        try:
            parsed = parse_key(api_key)
            key_id = parsed.key_id
            token, name = self._signer.issue()
            grant, first_use = await in_thread(
                self._exchanges, self._store.exchange, parsed, name, address
            )
            self._refuse_ended(grant, InvalidApiKeyError)
        except (MalformedKeyError, InvalidApiKeyError) as error:
            reason = error.reason if isinstance(error, InvalidApiKeyError) else "malformed"
            self._keys_refused[reason] += 1
            _log.warning("token_refused", reason=reason, address=address, key_id=key_id)
            raise InvalidApiKeyError(reason) from None
        self._cache.put(grant)
        self._issued += 1
        audit = _log.bind(key_id=grant.key_id, user_id=grant.user_id, address=address)
        if first_use:
            audit.info("api_key_first_used")
        audit.info("token_issued", token_id=name, role=grant.role, expires_at=grant.expires_at)
        return Issued(token, grant)

    async def authenticate(self, token: str) -> Grant:
        """Tell what a token opens.

        A token in the cache is answered without a checkpoint, and a forgery without asking
        the database. Ask `still_good` once more after anything was awaited.

        Raises:
            InvalidTokenError: it is malformed, forged, unknown, expired or revoked.
            DatabaseUnavailableError: it is not in the cache and cannot be looked up now.
        """
        try:
            name = token_id(self._signer.verify(token))
            grant = self._cache.get(name) or await self._look_up(name)
            self._refuse_expired(grant)
            self._refuse_ended(grant, InvalidTokenError)
        except InvalidTokenError as error:
            self._tokens_refused[error.reason] += 1
            raise
        self._cache.put(grant)
        return grant

    def knows(self, token: str) -> bool:
        """Tell whether a token is known to be good, without asking the database or counting."""
        try:
            grant = self._cache.get(token_id(self._signer.verify(token)))
        except InvalidTokenError:
            return False
        return grant is not None and self.still_good(grant)

    def signed(self, token: str) -> bool:
        """Tell whether this service signed a token; reads no database, counts nothing."""
        try:
            self._signer.verify(token)
        except InvalidTokenError:
            return False
        return True

    async def _look_up(self, name: str) -> Grant:
        """Ask the database, once for however many ask for the same token at the same time."""
        while name in self._asked:
            await self._asked[name].wait()
            grant = self._cache.get(name)
            if grant is not None:
                return grant
        reason = self._refused.reason(name, trio.current_time())
        if self._in_memory or reason is not None:
            raise InvalidTokenError(reason or "unknown")
        self._asked[name] = answered = trio.Event()
        try:
            return await in_thread(self._lookups, self._store.look_up, name)
        except InvalidTokenError as error:
            self._refused.put(name, error.reason, trio.current_time())
            raise
        finally:
            del self._asked[name]
            answered.set()

    def _refuse_expired(self, grant: Grant) -> None:
        if grant.expires_at <= self._now():
            self._cache.forget(grant.token_id)
            self._refused.put(grant.token_id, "expired", trio.current_time())
            raise InvalidTokenError("expired")

    def _refuse_ended(
        self, grant: Grant, error: type[InvalidTokenError | InvalidApiKeyError]
    ) -> None:
        """Refuse what was read from the database just before it was revoked there."""
        if self._revocations.covers(grant):
            raise error("revoked")

    def still_good(self, grant: Grant) -> bool:
        """Whether a grant that was good a moment ago is neither expired nor revoked since.

        To be asked after a stream is registered for the watch, with no checkpoint between:
        from then on `ended` is told.
        """
        return grant.expires_at > self._now() and not self._revocations.covers(grant)

    async def run(self, ended: Ended) -> None:
        """Watch for revocations and remove expired tokens until cancelled.

        Args:
            ended: called with token ids that opened something and no longer do, whichever
                process revoked them. The ids of revoked keys are among them, for streams that
                outlived their token's record.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._revocations.watch, ended)
            nursery.start_soon(purge_expired, self._store)
