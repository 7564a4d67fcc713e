"""What the server asks: an API key for a token, a token for what it opens.

Theory of operation. `exchange` checks a key in the database and stores the new token's record
there. `authenticate` checks the signature first, so a forgery costs microseconds and asks
nobody; then it looks into a bounded cache of grants, and only then into the database.

The cache stays true because `watch_revocations` reads the database's list of revocations more
than twice a second, whichever process wrote them. Between the reading of a grant and the opening
of a stream a revocation may pass by; `still_good`, asked once the stream is registered, without
a checkpoint between, closes that gap.

Database work is done in worker threads, few at once, each with a deadline. While the database
is unavailable, tokens in the cache go on working and streams go on; nothing new is issued.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, TypeVarTuple

import structlog
import trio

from ticker import limits
from ticker.security.grants import Grant, GrantCache, Issued, RecentlyEnded
from ticker.security.keys import MalformedKeyError, parse_key
from ticker.security.policy import PolicySet
from ticker.security.token_store import InvalidApiKeyError, TokenStore
from ticker.security.tokens import InvalidTokenError, TokenSigner, token_id
from ticker.storage.database import Database, DatabaseUnavailableError

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
_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")


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
        self._ledger = TokenStore(database, pepper, token_ttl, not self._in_memory, policies, now)
        self._exchanges = trio.CapacityLimiter(limits.DATABASE_EXCHANGES)
        self._lookups = trio.CapacityLimiter(limits.DATABASE_LOOKUPS)
        self._watches = trio.CapacityLimiter(limits.DATABASE_WATCHES)
        self._cache = GrantCache(limits.TOKEN_CACHE_ENTRIES)
        self._ended = RecentlyEnded(limits.REVOCATION_REMEMBERED_SECONDS)
        self._seen = 0
        self._next_purge = 0.0
        self._available = True
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
            revocations_seen=self._seen,
            database_available=self._available,
        )

    async def exchange(self, api_key: str, address: str) -> Issued:
        """Issue a token for an API key.

        Its record is durable on return (with the store `database`). Cancelled, it may have
        been stored all the same; nobody then has the token, and it expires unused.

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
            grant, first_use = await self._in_thread(
                self._exchanges, self._ledger.exchange, parsed, name, address
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

    async def accepts(self, api_key: str) -> bool:
        """Tell whether a key could be exchanged now; nothing is issued, counted or logged.

        Raises:
            DatabaseUnavailableError: it cannot be checked now.
        """
        try:
            await self._in_thread(self._lookups, self._ledger.check, parse_key(api_key))
        except (MalformedKeyError, InvalidApiKeyError):
            return False
        return True

    async def authenticate(self, token: str) -> Grant:
        """Tell what a token opens.

        A token in the cache is answered without a checkpoint, and a forgery without asking
        anybody. Ask `still_good` once more after anything was awaited.

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

    async def _look_up(self, name: str) -> Grant:
        if self._in_memory:
            raise InvalidTokenError("unknown")
        return await self._in_thread(self._lookups, self._ledger.look_up, name)

    def _refuse_expired(self, grant: Grant) -> None:
        if grant.expires_at <= self._now():
            self._cache.forget(grant.token_id)
            raise InvalidTokenError("expired")

    def _refuse_ended(
        self, grant: Grant, error: type[InvalidTokenError | InvalidApiKeyError]
    ) -> None:
        """Refuse what was read from the database just before it was revoked there."""
        if self._ended.covers(grant):
            raise error("revoked")

    def still_good(self, grant: Grant) -> bool:
        """Whether a grant that was good a moment ago is neither expired nor revoked since.

        To be asked after a stream is registered for the watch, with no checkpoint between:
        from then on `ended` is told.
        """
        return grant.expires_at > self._now() and not self._ended.covers(grant)

    async def watch_revocations(self, ended: Callable[[Collection[str]], None]) -> None:
        """Tell of every revocation, whichever process it came from; runs until cancelled.

        It also removes expired tokens from the database. While the database is unavailable it
        keeps trying, and catches up afterwards.

        Args:
            ended: called with token ids that opened something and no longer do. The ids of
                revoked keys are among them, for streams that outlived their token's record.
        """
        while True:
            try:
                more = await self._look_for_revocations(ended)
                await self._purge()
            except DatabaseUnavailableError as error:
                if self._available:
                    _log.error("database_unavailable", reason=error.reason, error=str(error))
                self._available = more = False
            else:
                if not self._available:
                    _log.info("database_available")
                self._available = True
            if not more:
                await trio.sleep(limits.REVOCATION_POLL_SECONDS)

    async def _look_for_revocations(self, ended: Callable[[Collection[str]], None]) -> bool:
        """Look once; tell whether there may be more to read at once."""
        last, ids = await self._in_thread(self._watches, self._ledger.revoked_after, self._seen)
        if last < self._seen:
            # Another database took the place of the one we knew: believe nothing of it.
            _log.warning("database_replaced")
            self._cache.clear()
            self._seen = 0
            return last > 0
        self._seen = last
        if ids:
            self._ended.add(ids, trio.current_time())
            ended({*ids, *self._cache.discard(ids)})
        return bool(ids)

    async def _purge(self) -> None:
        """Remove a batch of what has expired, when it is time."""
        if trio.current_time() < self._next_purge:
            return
        # Before the try: where it fails for lack of a write lock, the watch must not wait again.
        self._next_purge = trio.current_time() + limits.TOKEN_PURGE_SECONDS
        removed = await self._in_thread(self._watches, self._ledger.purge)
        if removed >= limits.TOKEN_PURGE_BATCH:
            self._next_purge = trio.current_time()

    async def _in_thread(
        self,
        limiter: trio.CapacityLimiter,
        work: Callable[[*_Args], _Result],
        *args: *_Args,
    ) -> _Result:
        """Run database work in a thread; give up on it, not undo it, after the deadline."""
        with trio.move_on_after(limits.DATABASE_DEADLINE_SECONDS):
            return await trio.to_thread.run_sync(
                work, *args, abandon_on_cancel=True, limiter=limiter
            )
        raise DatabaseUnavailableError("slow", "the database does not answer in time")
