"""What a feed asks over REST to fill the past: candles that our own bars lack.

One question at a time, in the turns of all questions to REST, and on a connection of its own.
Where there is no answer, the next question waits longer and longer, and is about another symbol
where there is one, so that one without an answer holds up no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn

import trio

from ticker.limits import (
    FEED_CANDLES_THREAD_BYTES,
    FEED_DETAIL_CHARACTERS,
    FEED_LOOK_SECONDS,
    FEED_REST_RETRY_MAX_SECONDS,
    FEED_REST_RETRY_SECONDS,
)
from ticker.market.backfill import Backfill, Span
from ticker.market.candles import ExactBar
from ticker.market.exchanges.connect_pauses import growing_pause
from ticker.market.exchanges.decoding import BadMessage
from ticker.market.exchanges.dialect import Dialect, Listing
from ticker.market.exchanges.feed_errors import FeedError, StatusError, is_wrong
from ticker.market.exchanges.feed_state import FeedState

__all__ = ["CandleQuestions"]


class CandleQuestions:
    """The questions about candles of one life of a feed."""

    def __init__(
        self,
        dialect: Dialect,
        state: FeedState,
        ask: Callable[[str], Awaitable[bytes]],
        report: Callable[[str, str], None],
        backfill: Backfill,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            dialect: how the exchange is asked.
            state: which symbols it serves.
            ask: asks a path and returns the body.
            report: is told of `no_candles`.
            backfill: what of the past is to be filled.
        """
        self._dialect: Final = dialect
        self._state: Final = state
        self._ask: Final = ask
        self._report: Final = report
        self._backfill: Final = backfill
        self._failed: Counter[str] = Counter()

    async def run(self) -> NoReturn:
        """Ask until cancelled."""
        self._backfill.begin([each for names in self._state.names.values() for each in names])
        failures = 0
        while True:
            found = self._next_gap()
            if found is None:
                await trio.sleep(FEED_LOOK_SECONDS)
                continue
            try:
                bars = await self._candles(*found)
            except FeedError as error:
                failures += 1
                self._failed[found[0].name] += 1
                self._note(error)
                wait = growing_pause(failures, FEED_REST_RETRY_SECONDS, FEED_REST_RETRY_MAX_SECONDS)
                await trio.sleep(max(wait, error.retry_after))
            else:
                failures = 0
                await self._backfill.fill(found[1], bars)

    async def _candles(self, listing: Listing, span: Span) -> Sequence[ExactBar]:
        """Return what the exchange says of a span; nothing where that makes no sense.

        Raises:
            FeedError: there is no answer, now.
        """
        rest = self._dialect.rest
        assert rest.candles is not None  # noqa: S101 - else there is no gap to ask about
        try:
            body = await self._ask(rest.candles(listing, span.step.name, span.begin, span.end))
            if len(body) > FEED_CANDLES_THREAD_BYTES:
                return await trio.to_thread.run_sync(rest.read_candles, body)
            return rest.read_candles(body)
        except (StatusError, BadMessage) as error:
            if is_wrong(error):
                self._note(error)
                return ()
            if isinstance(error, StatusError):
                raise
            raise FeedError(str(error)) from None

    def _next_gap(self) -> tuple[Listing, Span] | None:
        """Return a span to ask about, and what the exchange calls its symbol."""
        rest, known = self._dialect.rest, self._state.listings
        if rest.candles is None:
            return None
        # What the catalogue has not named yet is not asked about by a guess.
        served = (name for name in self._state.served() if name in known)
        for name in sorted(served, key=self._failed.__getitem__):
            for symbol in self._state.names[name]:
                span = self._backfill.next(
                    self._dialect.name, symbol, rest.candles_at_once, rest.candles_reach
                )
                if span is not None:
                    return known[name], span
        return None

    def _note(self, error: Exception) -> None:
        self._report("no_candles", str(error)[:FEED_DETAIL_CHARACTERS])
