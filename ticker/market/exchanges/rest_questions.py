"""What a feed asks over REST beside its connection: the catalogue, and whether prices stand.

One question at a time. Where there is no answer, it waits longer and longer; where the
exchange can say on the connection itself what it is subscribed to, that is asked instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

import trio

from ticker.limits import (
    FEED_BACKFILL_QUESTIONS,
    FEED_CANDLES_THREAD_BYTES,
    FEED_CATALOGUE_SECONDS,
    FEED_DETAIL_CHARACTERS,
    FEED_LISTINGS_AT_ONCE,
    FEED_LOOK_SECONDS,
    FEED_REST_RETRY_MAX_SECONDS,
    FEED_REST_RETRY_SECONDS,
    FEED_REST_THREAD_BYTES,
    FEED_STATUS_SECONDS,
)
from ticker.market.backfill import Backfill, Span
from ticker.market.candles import ExactBar
from ticker.market.exchanges.connect_pauses import growing_pause, is_short
from ticker.market.exchanges.decoding import BadMessage, Unavailable
from ticker.market.exchanges.dialect import Dialect, Listing
from ticker.market.exchanges.feed_errors import FeedError, StatusError
from ticker.market.exchanges.feed_memory import FeedMemory
from ticker.market.exchanges.feed_state import FeedState

__all__ = ["Questions"]

#: Answers to a question that is wrong, rather than to one too many.
_WRONG: Final = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}


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
        backfill: Backfill | None = None,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            dialect: how the exchange is asked.
            state: what answers tell.
            memory: the symbols that its catalogue does not have.
            ask: asks a path and returns the body.
            check_holdings: asks on the connection what it is subscribed to.
            report: is told of `no_catalogue`, `no_rest_price` and `no_candles`.
            backfill: what of the past is to be filled; None for nothing.
        """
        self._dialect: Final = dialect
        self._state: Final = state
        self._memory: Final = memory
        self._ask_path: Final = ask
        self._check_holdings: Final = check_holdings
        self._report: Final = report
        self._backfill: Final = backfill
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
        if self._backfill is not None:
            self._backfill.begin([each for names in self._state.names.values() for each in names])
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
            await self._fill_gaps()
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
                return await trio.to_thread.run_sync(rest.read_listings, body)
            return rest.read_listings(body)
        except (StatusError, BadMessage) as error:
            if names is not None and _is_wrong(error):
                return []  # it does not know one of them: the whole of it tells which
            self._fail("no_catalogue", str(error), error)
        except FeedError as error:
            self._fail("no_catalogue", str(error), error)
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
                if _is_wrong(error):
                    self._report("no_rest_price", str(error)[:FEED_DETAIL_CHARACTERS])
                    continue  # it has no price of this one
                self._fail("no_rest_price", str(error), error)
                return False
            except FeedError as error:
                self._fail("no_rest_price", str(error), error)
                return False
            answered = True
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

    # --- the past

    async def _fill_gaps(self) -> None:
        """Ask for some of the candles that our own bars lack."""
        rest = self._dialect.rest
        if self._backfill is None or rest.candles is None:
            return
        for _ in range(FEED_BACKFILL_QUESTIONS):
            found = None if trio.current_time() < self._not_before else self._next_gap()
            if found is None:
                return
            listing, span = found
            path = rest.candles(listing, span.step.name, span.begin, span.end)
            bars: Sequence[ExactBar] = ()
            try:
                bars = await self._read_candles(await self._ask(path))
            except (StatusError, BadMessage) as error:
                if not _is_wrong(error):
                    self._fail("no_candles", str(error), error)
                    return
                # It has none of these, or none that make sense.
                self._report("no_candles", str(error)[:FEED_DETAIL_CHARACTERS])
            except FeedError as error:
                self._fail("no_candles", str(error), error)
                return
            await self._backfill.fill(span, bars)

    async def _read_candles(self, body: bytes) -> Sequence[ExactBar]:
        if len(body) > FEED_CANDLES_THREAD_BYTES:
            return await trio.to_thread.run_sync(self._dialect.rest.read_candles, body)
        return self._dialect.rest.read_candles(body)

    def _next_gap(self) -> tuple[Listing, Span] | None:
        """Return a span to ask about, and what the exchange calls its symbol."""
        assert self._backfill is not None  # noqa: S101 - the caller has looked
        rest, known = self._dialect.rest, self._state.listings
        for name in self._state.served():
            for symbol in self._state.names[name]:
                span = self._backfill.next(
                    self._dialect.name, symbol, rest.candles_at_once, rest.candles_reach
                )
                if span is not None:
                    return known.get(name) or Listing(name, self._state.meant(name)), span
        return None

    # --- one question

    async def _ask(self, path: str) -> bytes:
        body = await self._ask_path(path)
        self._failures = 0
        self._memory.record.rest_fault = None
        await trio.sleep(self._dialect.rest.seconds)
        return body

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


def _is_wrong(error: StatusError | BadMessage) -> bool:
    """Tell whether a question is wrong, rather than one too many or at a bad time."""
    if isinstance(error, StatusError):
        return error.status in _WRONG
    return not isinstance(error, Unavailable)
