"""What a slow consumer finds in the buffer."""

from __future__ import annotations

import trio

from ticker.client.latest_wins_buffer import LatestWinsBuffer
from ticker.client.messages import Ticker, Welcome
from ticker.client.statistics import ClientStatistics


def tick(seq: int, *, snapshot: bool = False) -> Ticker:
    return Ticker(data=(), seq=seq, time=1790000000123, snapshot=snapshot)


async def test_what_takes_the_place_of_a_snapshot_is_one() -> None:
    # A consumer that waits for the first message of a subscription finds its mark, however late.
    buffer = LatestWinsBuffer(ClientStatistics())
    buffer.put(Welcome(user_id="user:demo"))
    buffer.put(tick(1, snapshot=True))
    buffer.put(tick(2))
    buffer.put(tick(3))
    with trio.fail_after(1):
        taken = [await buffer.take(), await buffer.take()]
    assert taken == [Welcome(user_id="user:demo"), tick(3, snapshot=True)]


async def test_what_follows_a_snapshot_that_was_taken_is_none() -> None:
    buffer = LatestWinsBuffer(ClientStatistics())
    with trio.fail_after(1):
        buffer.put(tick(1, snapshot=True))
        assert await buffer.take() == tick(1, snapshot=True)
        buffer.put(tick(2))
        buffer.put(tick(3))
        assert await buffer.take() == tick(3)
