"""Answers that are dear to make: one at a time, each kept for as long as it was dear.

An answer is given again for `limits.ANSWER_KEPT_TIMES` times as long as it took to make, at most
`limits.ANSWER_SECONDS`: however often it is asked for, it takes no more than that part of the loop,
and who asks now and then hears the newest. Who has an answer already, and asks whether it still is
the one, is content with one of the last second.
"""

from __future__ import annotations

import gzip
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from hashlib import blake2b
from typing import Final, cast

import trio
from quart import current_app

from ticker import limits

#: Where the application keeps the one cache there is, in Quart's `extensions`.
EXTENSION: Final = "ticker-answers"
#: Bytes of a hash that tells one answer from another.
_TAG_BYTES: Final = 16


class Answer:
    """The body of an answer, and what is made of it once, when it is asked for first.

    Attributes:
        body: as it is.
        tag: tells it from others (RFC 9110 §8.8.3), without quotes.
    """

    __slots__ = ("_compressing", "_gzipped", "body", "tag")

    def __init__(self, body: bytes, tag: str) -> None:
        self.body = body
        self.tag = tag
        self._gzipped: bytes | None = None
        self._compressing = trio.Lock()

    async def gzipped(self) -> bytes:
        """Return the body compressed (RFC 1952)."""
        async with self._compressing:
            if self._gzipped is None:
                self._gzipped = await _beside(self.body, _compress)
        return self._gzipped


async def _beside(body: bytes, work: Callable[[bytes], bytes]) -> bytes:
    """Work on a body, in a thread where that takes longer than the way there."""
    if len(body) < limits.ANSWER_THREAD_BYTES:
        return work(body)
    return await trio.to_thread.run_sync(work, body)


def _compress(body: bytes) -> bytes:
    return gzip.compress(body, limits.ANSWER_GZIP_LEVEL, mtime=0)


def _hash(body: bytes) -> bytes:
    return blake2b(body, digest_size=_TAG_BYTES).digest()


class AnswerCache:
    """Answers that were made a moment ago, in a table of bounded size."""

    def __init__(self) -> None:
        # When each was made, until when it is given to every client, and itself.
        self._kept: OrderedDict[Hashable, tuple[float, float, Answer]] = OrderedDict()
        self._making = trio.CapacityLimiter(limits.ANSWERS_AT_ONCE)

    async def get(
        self,
        key: Hashable,
        make: Callable[[], bytes] | Callable[[], Awaitable[bytes]],
        has: Callable[[str], bool] = lambda _tag: False,
    ) -> Answer:
        """Return the answer under a key, at most `limits.ANSWER_SECONDS` old.

        Args:
            key: all that the answer depends on: the path, its arguments, and the role where what
                it may see differs.
            make: makes the answer, a long one with turns for others in between. However many
                ask, the loop has turns for others between two of these.
            has: whether who asks has the answer of a tag already.
        """
        kept = self._fresh(key, has)
        if kept is None:
            async with self._making:
                kept = self._fresh(key, has)
                if kept is None:
                    # A turn for all other tasks, however many different answers are asked for.
                    await trio.lowlevel.checkpoint()
                    kept = await self._make(key, make)
        return kept

    def _fresh(self, key: Hashable, has: Callable[[str], bool]) -> Answer | None:
        found = self._kept.get(key)
        if found is None:
            return None
        made, until, answer = found
        now = trio.current_time()
        if now < until or (now < made + limits.ANSWER_SECONDS and has(answer.tag)):
            return answer
        return None

    async def _make(
        self, key: Hashable, make: Callable[[], bytes] | Callable[[], Awaitable[bytes]]
    ) -> Answer:
        began = time.perf_counter()
        made = make()
        body = made if isinstance(made, bytes) else await made
        dear = limits.ANSWER_KEPT_TIMES * (time.perf_counter() - began)
        answer = Answer(body, (await _beside(body, _hash)).hex())
        now = trio.current_time()
        self._kept[key] = (now, now + min(limits.ANSWER_SECONDS, dear), answer)
        self._kept.move_to_end(key)
        if len(self._kept) > limits.ANSWERS_KEPT:
            self._kept.popitem(last=False)
        return answer


async def costly(
    key: Hashable,
    make: Callable[[], bytes] | Callable[[], Awaitable[bytes]],
    has: Callable[[str], bool] = lambda _tag: False,
) -> Answer:
    """Return an answer to this request from the application's cache; see there."""
    return await cast("AnswerCache", current_app.extensions[EXTENSION]).get(key, make, has)
