"""Answers that are dear to make: one at a time, each kept for as long as it was dear.

An answer is given again for `limits.ANSWER_KEPT_TIMES` times as long as it took to make, at most
`limits.ANSWER_SECONDS`: however often it is asked for, it takes no more than that part of the loop,
and who asks now and then hears the newest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, cast

import trio
from quart import current_app

from ticker import limits

#: Where the application keeps the one cache there is, in Quart's `extensions`.
EXTENSION: Final = "ticker-answers"


class AnswerCache:
    """The bodies of answers that were made a moment ago, in a table of bounded size."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self._making = trio.CapacityLimiter(limits.ANSWERS_AT_ONCE)

    async def get(
        self, key: Hashable, make: Callable[[], bytes] | Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """Return the answer under a key, at most `limits.ANSWER_SECONDS` old.

        Args:
            key: all that the answer depends on: the path, its arguments, and the role where what
                it may see differs.
            make: makes the answer, a long one with turns for others in between. However many
                ask, the loop has turns for others between two of these.
        """
        kept = self._fresh(key)
        if kept is None:
            async with self._making:
                kept = self._fresh(key)
                if kept is None:
                    # A turn for everybody else, however many different answers are asked for.
                    await trio.lowlevel.checkpoint()
                    kept = await self._make(key, make)
        return kept

    def _fresh(self, key: Hashable) -> bytes | None:
        until, body = self._kept.get(key, (0.0, b""))
        return body if trio.current_time() < until else None

    async def _make(
        self, key: Hashable, make: Callable[[], bytes] | Callable[[], Awaitable[bytes]]
    ) -> bytes:
        began = time.perf_counter()
        made = make()
        body = made if isinstance(made, bytes) else await made
        dear = limits.ANSWER_KEPT_TIMES * (time.perf_counter() - began)
        self._kept[key] = (trio.current_time() + min(limits.ANSWER_SECONDS, dear), body)
        self._kept.move_to_end(key)
        if len(self._kept) > limits.ANSWERS_KEPT:
            self._kept.popitem(last=False)
        return body


async def costly(
    key: Hashable, make: Callable[[], bytes] | Callable[[], Awaitable[bytes]]
) -> bytes:
    """Return the body of an answer to this request from the application's cache; see there."""
    return await cast("AnswerCache", current_app.extensions[EXTENSION]).get(key, make)
