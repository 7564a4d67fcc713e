"""However often a costly answer is asked for, it takes a small part of the loop."""

from __future__ import annotations

import gzip
import time
from functools import partial

import pytest
import trio

from ticker import limits
from ticker.web.answer_cache import AnswerCache

COST = 0.01


class Maker:
    """Makes answers that cost ten milliseconds each, by the clock that the cache asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self._now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self._now)

    def make(self) -> bytes:
        self.made += 1
        self._now += COST
        return b"answer %d" % self.made


async def test_an_answer_is_given_again_for_twenty_times_as_long_as_it_took(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    cache, maker = AnswerCache(), Maker(monkeypatch)
    kept = limits.ANSWER_KEPT_TIMES * COST
    assert (await cache.get("key", maker.make)).body == b"answer 1"
    autojump_clock.jump(kept - 0.001)
    assert (await cache.get("key", maker.make)).body == b"answer 1"
    autojump_clock.jump(0.002)
    assert (await cache.get("key", maker.make)).body == b"answer 2"


async def test_no_answer_is_older_than_a_second(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(f"{__name__}.COST", 10.0)
    cache, maker = AnswerCache(), Maker(monkeypatch)
    await cache.get("key", maker.make)
    autojump_clock.jump(limits.ANSWER_SECONDS)
    assert (await cache.get("key", maker.make)).body == b"answer 2"


async def test_those_who_ask_at_once_share_one_answer(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    cache, maker = AnswerCache(), Maker(monkeypatch)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(partial(cache.get, "key", maker.make))
    assert maker.made == 1


async def test_between_two_different_answers_every_other_task_has_a_turn(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    cache, maker = AnswerCache(), Maker(monkeypatch)
    turns = 0

    async def neighbour() -> None:
        nonlocal turns
        while maker.made < 50:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(neighbour)
        for number in range(50):
            nursery.start_soon(partial(cache.get, number, maker.make))
    assert turns >= 50


async def test_the_table_is_bounded(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    cache, maker = AnswerCache(), Maker(monkeypatch)
    for number in range(limits.ANSWERS_KEPT + 10):
        await cache.get(number, maker.make)
    assert len(cache._kept) == limits.ANSWERS_KEPT


async def test_who_has_an_answer_is_content_with_it_for_a_second(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    cache, maker = AnswerCache(), Maker(monkeypatch)
    first = await cache.get("key", maker.make)
    autojump_clock.jump(limits.ANSWER_SECONDS - 0.01)
    assert await cache.get("key", maker.make, lambda tag: tag == first.tag) is first
    assert (await cache.get("key", maker.make)).body == b"answer 2"
    second = await cache.get("key", maker.make, lambda tag: tag == first.tag)
    assert second.tag != first.tag
    autojump_clock.jump(limits.ANSWER_SECONDS)
    assert await cache.get("key", maker.make, lambda tag: tag == second.tag) is not second


@pytest.mark.parametrize("size", [10, limits.ANSWER_THREAD_BYTES * 2])
async def test_an_answer_is_compressed_once_and_named_by_its_content(size: int) -> None:
    cache = AnswerCache()
    body = b"x" * size
    answers = [await cache.get(number, lambda: body) for number in range(2)]
    assert answers[0].tag == answers[1].tag
    packed = [await answers[0].gzipped() for _ in range(2)]
    assert packed[0] is packed[1]
    assert gzip.decompress(packed[0]) == body
