"""What a feed asks over REST beside its connection: the catalogue, and whether prices stand.

One question at a time. Where there is no answer, it waits longer and longer; where the
exchange can say on the connection itself what it is subscribed to, that is asked instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from ticker.limits import (
    FEED_CATALOGUE_SECONDS,
    FEED_DETAIL_CHARACTERS,
    FEED_LISTINGS_AT_ONCE,
    FEED_LOOK_SECONDS,
    FEED_REST_RETRY_MAX_SECONDS,
    FEED_REST_RETRY_SECONDS,
    FEED_REST_THREAD_BYTES,
    FEED_STATUS_SECONDS,
)
from ticker.market.exchanges.connect_pauses import growing_pause, is_short
from ticker.market.exchanges.decoding import BadMessage
from ticker.market.exchanges.dialect import Dialect, Listing
from ticker.market.exchanges.feed_errors import FeedError, StatusError, is_wrong
from ticker.market.exchanges.feed_memory import FeedMemory
from ticker.market.exchanges.feed_state import FeedState

__all__ = ["Questions"]


class Questions:
    """The questions of one life of a feed."""

    def __init__(
        self,
        dialect: Dialect,
        state: FeedState,
        memory: FeedMemory,
        ask: Callable[[str], Awaitable[bytes]],
        check_holdings: Callable[[], Awaitable[None]],
        report: Callable[[str, str], None],
    ) -> None:
        """Prepare; `run` begins.

        Args:
            dialect: how the exchange is asked.
            state: what answers tell.
            memory: the symbols that its catalogue does not have.
            ask: asks a path and returns the body.
            check_holdings: asks on the connection what it is subscribed to.
            report: is told of `no_catalogue` and `no_rest_price`.
        """
        self._dialect: Final = dialect
        self._state: Final = state
        self._memory: Final = memory
        self._ask: Final = ask
        self._check_holdings: Final = check_holdings
        self._report: Final = report
        self._began = self._catalogue_due = 0.0
        self._failures = 0
        self._not_before = 0.0
        self._details_due = 0.0

    async def run(self) -> None:
        """Ask until cancelled.

        Raises:
            FeedError: the stream stands still while the market moves.
            SourceConfigError: the catalogue has none of the symbols.
        """
        self._began = self._catalogue_due = trio.current_time()
        while True:
            now = trio.current_time()
            if now >= self._not_before:
                if now >= self._catalogue_due or now >= self._memory.unlisted.next_try():
                    await self._read_catalogue()
                if doubtful := self._state.to_check(now):
                    await self._check(doubtful)
            if quiet := self._state.to_prove(trio.current_time()):
                await self._prove(quiet)
            await self._ask_details()
            self._state.tell_reasons()
            await trio.sleep(FEED_LOOK_SECONDS)

    # --- the catalogue

    async def _read_catalogue(self) -> None:
        """Read as much of the catalogue as it takes to know all of our symbols."""
        listings = self._dialect.rest.listings
        names = list(self._state.names)
        if listings(names) != listings(None):
            part = await self._listings(names)
            if part is None:
                return
            if self._state.covers(part):
                self._catalogue_due = trio.current_time() + FEED_CATALOGUE_SECONDS
                self._state.listed(part, whole=False)
                return
        await self._read_whole()

    async def _read_whole(self) -> None:
        known = self._memory.catalogue
        if known is not None and trio.current_time() - known[1] < FEED_STATUS_SECONDS:
            whole: Sequence[Listing] | None = known[0]  # of a life before, or of a moment ago
        else:
            whole = await self._listings(None)
        if whole is None:
            return
        self._catalogue_due = trio.current_time() + FEED_CATALOGUE_SECONDS
        if not whole:
            self._fail("no_catalogue", f"{self._dialect.name}: the catalogue is empty")
            return
        if known is None or whole is not known[0]:
            self._memory.catalogue = (whole, trio.current_time())
        self._state.listed(whole, whole=True)
        self._state.check_any_served()

    async def _check(self, names: Sequence[str]) -> None:
        """Ask the catalogue whether some symbols are still traded."""
        self._state.proofs.checking(names, trio.current_time())
        if len(names) > FEED_LISTINGS_AT_ONCE:
            await self._read_whole()
            return
        part = await self._listings(names)
        if part is None:
            return
        if {listing.name for listing in part}.issuperset(names):
            self._state.listed(part, whole=False)
        else:
            await self._read_whole()

    async def _listings(self, names: Sequence[str] | None) -> Sequence[Listing] | None:
        """Return what the catalogue says, of some symbols or of all; None without an answer."""
        rest = self._dialect.rest
        try:
            body = await self._ask(rest.listings(names))
            if len(body) > FEED_REST_THREAD_BYTES:
                found = await trio.to_thread.run_sync(rest.read_listings, body)
            else:
                found = rest.read_listings(body)
        except (StatusError, BadMessage) as error:
            if names is not None and is_wrong(error):
                return []  # it does not know one of them: the whole of it tells which
            self._fail("no_catalogue", str(error), error)
        except FeedError as error:
            self._fail("no_catalogue", str(error), error)
        else:
            self._succeed()
            return found
        return None

    # --- prices

    async def _prove(self, names: Sequence[str]) -> None:
        """Ask for the prices of symbols that have been quiet, and compare."""
        self._state.proofs.asking(names, trio.current_time())
        if trio.current_time() < self._not_before or not await self._compare(names):
            await self._check_holdings()

    async def _compare(self, names: Sequence[str]) -> bool:
        rest = self._dialect.rest
        known = self._state.listings
        asked = [known.get(name) or Listing(name, self._state.meant(name)) for name in names]
        answered = False
        for path, listings in rest.prices(asked):
            asked_at = trio.current_time()
            try:
                answers = rest.read_prices(await self._ask(path), listings)
            except (StatusError, BadMessage) as error:
                if is_wrong(error):
                    self._report("no_rest_price", str(error)[:FEED_DETAIL_CHARACTERS])
                    continue  # it has no price of this one
                self._fail("no_rest_price", str(error), error)
                return False
            except FeedError as error:
                self._fail("no_rest_price", str(error), error)
                return False
            answered = True
            self._succeed()
            doubt = self._state.asked(answers, asked_at)
            if doubt is not None:
                if not is_short(trio.current_time() - self._began):
                    self._memory.record.doubts = 0
                self._memory.record.doubts += 1
                wait = growing_pause(self._memory.record.doubts, 1.0, FEED_REST_RETRY_MAX_SECONDS)
                raise FeedError(
                    f"{self._dialect.name}: {doubt.symbol} stands at {doubt.streamed:f} in the "
                    f"stream and at {doubt.asked:f} in REST",
                    retry_after=wait,
                )
        return answered

    async def _ask_details(self) -> None:
        """Ask for all prices, where only REST tells what comes with them."""
        pause, now = self._dialect.rest.details_seconds, trio.current_time()
        if pause is None or now < max(self._details_due, self._not_before):
            return
        served = self._state.served()
        if served:
            self._details_due = now + pause
            await self._compare(served)

    # --- one question

    def _succeed(self) -> None:
        """Note that there was an answer that made sense."""
        self._failures = 0
        self._memory.record.rest_fault = None

    def _fail(self, kind: str, reason: str, error: Exception | None = None) -> None:
        """Note that there was no answer; the next question waits."""
        self._failures += 1
        wait = growing_pause(self._failures, FEED_REST_RETRY_SECONDS, FEED_REST_RETRY_MAX_SECONDS)
        if isinstance(error, FeedError):
            wait = max(wait, error.retry_after)
        self._not_before = trio.current_time() + wait
        if kind == "no_catalogue":
            self._catalogue_due = self._not_before
        self._memory.record.rest_fault = reason
        self._report(kind, reason[:FEED_DETAIL_CHARACTERS])
