"""`changes` and `every`: a subscriber's book is the server's, whatever happens to either."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from contextlib import ExitStack
from decimal import Decimal
from typing import Any, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.frames import FrameParser
from tests.support.mirror import Mirror
from ticker import limits
from ticker.encodings.json import JSON
from ticker.market.book import Book
from ticker.market.hub import Hub
from ticker.market.missed_ticks import TicksLostError
from ticker.market.quote import Quote
from ticker.market.subscription import Subscription
from ticker.protocol.details import Mode
from ticker.streams.tick_queue import TickQueue

SYMBOLS = tuple(f"{letter * 3}-USD" for letter in "ABCDE")
WALL_MS = 1_790_000_000_000
TICK = 0.01


class Market:
    """A market of which it is known what each `seq` was."""

    def __init__(self, log_seconds: float = 1000.0) -> None:
        self.log_seconds = log_seconds
        self.start()

    def start(self) -> None:
        """Begin anew, as a server that restarts."""
        self.book = Book(SYMBOLS)
        self.hub = Hub(self.book, time_ms=WALL_MS, tick_seconds=TICK, log_seconds=self.log_seconds)
        self.history: list[dict[str, str]] = [{}]

    def restart(self, followers: list[Follower]) -> None:
        """Cut all off, and begin anew."""
        for follower in followers:
            follower.cut()
        self.start()

    def quote(self, symbol: str, price: int) -> None:
        self.book.apply([Quote(symbol, Decimal(price), WALL_MS, WALL_MS, "kraken")])

    async def tick(self) -> None:
        seq = self.hub.published.seq + 1
        self.history.append(
            {quote.symbol: f"{quote.price:f}" for quote in self.book.quotes if quote is not None}
        )
        await self.hub.publish(seq, WALL_MS + 10 * seq)

    def at(self, seq: int, symbols: tuple[str, ...]) -> dict[str, str]:
        return {symbol: price for symbol, price in self.history[seq].items() if symbol in symbols}


class Follower:
    """A subscriber that stalls, reads on, is cut off and comes back."""

    def __init__(
        self, market: Market, mode: Mode, symbols: tuple[str, ...], every: int = 1
    ) -> None:
        self.market = market
        self.mode: Mode = mode
        self.symbols = symbols
        self.every = every
        self.mirror = Mirror()
        self.epoch = market.hub.published.epoch
        self.full = False
        self.gave_up = False
        self.lost = 0
        self.subscription: Subscription | None = None
        self.subscribe(None)

    def subscribe(self, seq: int | None) -> None:
        """Subscribe anew."""
        self.gave_up = False
        self.waiting: list[bytes] = []
        self.subscription = self.market.hub.subscribe(
            self.symbols, self.every, JSON, self, self._fell_behind, mode=self.mode, seq=seq
        )
        if self.mode == "changes":
            self.subscription.resume()

    def send_nowait(self, frame: bytes, /) -> None:
        if self.mode == "every":
            if len(self.waiting) >= 8:
                raise trio.WouldBlock
            self.waiting.append(frame)
        elif self.full:
            raise trio.WouldBlock
        else:
            self._hear(frame)

    def _fell_behind(self, error: Exception | None) -> None:
        assert error is None
        if self.mode == "every":
            self.gave_up = True
            self.cut()

    def read(self) -> None:
        """Read all there is."""
        self.full = False
        if self.subscription is None:
            return
        if self.mode == "changes":
            assert self.subscription.resume()
            return
        while missed := self.subscription.replay():
            self._hear(missed)
        for frame in self.waiting:
            self._hear(frame)
        self.waiting.clear()

    def _hear(self, frames: bytes) -> None:
        for frame in FrameParser().feed(frames):
            self.mirror.apply(frame.message)
            self.check()

    def stall(self) -> None:
        """Read nothing for a while."""
        self.full = True

    def change_topic(self, symbols: int) -> None:
        """Subscribe to others of the symbols."""
        self.cut()
        self.mirror = Mirror()
        self.symbols = self.symbols[::-1][:symbols] or SYMBOLS
        self.come_back()

    def cut(self) -> None:
        """Lose the connection, and what was on its way."""
        if self.subscription is not None:
            self.subscription.end()
            self.subscription = None
            self.waiting = []

    def come_back(self) -> None:
        """Connect again and resume, or begin anew where that cannot be."""
        if self.subscription is not None:
            return
        hub, seq = self.market.hub, self.mirror.seq
        if seq is not None and hub.resumable(self.mode, self.epoch, seq):
            self.subscribe(seq)
        else:
            self.lost += seq is not None
            self.mirror = Mirror()
            self.epoch = hub.published.epoch
            self.subscribe(None)

    def check(self) -> None:
        """Compare what it holds with the server's book at that `seq`."""
        if self.epoch != self.market.hub.published.epoch:
            return
        assert self.mirror.seq is not None
        held = {symbol: str(entry["price"]) for symbol, entry in self.mirror.book.items()}
        assert held == self.market.at(self.mirror.seq, self.symbols)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), st.sampled_from(SYMBOLS), st.integers(1, 3)),
        st.tuples(st.sampled_from(["tick", "tick", "tick", "keep_alive"]), st.just(""), st.just(0)),
        st.tuples(
            st.sampled_from(["stall", "read", "cut", "come_back", "change_topic"]),
            st.just(""),
            st.integers(0, 4),
        ),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
    ),
    max_size=80,
)


async def run_history(steps: list[tuple[str, str, int]], log_seconds: float) -> int:
    """Carry one history out; return how often a resumption was refused."""
    market = Market(log_seconds)
    followers = [
        Follower(market, "changes", SYMBOLS),
        Follower(market, "changes", SYMBOLS),
        Follower(market, "changes", ("CCC-USD", "AAA-USD"), every=3),
        Follower(market, "every", SYMBOLS),
        Follower(market, "every", ("DDD-USD",)),
    ]
    for action, symbol, number in steps:
        follower = followers[number]
        if action == "quote":
            market.quote(symbol, number)
        elif action == "tick":
            await market.tick()
        elif action == "keep_alive":
            await market.hub.keep_alive(WALL_MS)
        elif action == "change_topic":
            follower.change_topic(number)
        elif action == "restart":
            market.restart(followers)
        else:
            getattr(follower, action)()
    for follower in followers:
        follower.come_back()
        follower.read()
    await finish(market, followers)
    assert market.hub.statistics().topics == market.hub.statistics().subscriptions == 0
    return sum(follower.lost for follower in followers)


async def finish(market: Market, followers: list[Follower]) -> None:
    """Let all see some more ticks, and go."""
    for _ in range(3):
        market.quote("AAA-USD", 9)
        market.quote("DDD-USD", market.hub.published.seq + 1)
        await market.tick()
        for follower in followers:
            follower.read()
            follower.check()
    for follower in followers:
        follower.cut()


@given(STEPS, st.sampled_from([1000.0, 0.0]))
@settings(max_examples=1000, deadline=None)
def test_a_client_that_applies_the_frames_holds_the_servers_book(
    steps: list[tuple[str, str, int]], log_seconds: float
) -> None:
    trio.run(run_history, steps, log_seconds)


async def test_every_holds_each_tick_that_changed_something_in_order() -> None:
    market = Market()
    follower = Follower(market, "every", SYMBOLS)
    follower.read()
    changed = []
    for number in range(50):
        if number % 3:
            market.quote(SYMBOLS[number % 2], number)
            changed.append(market.hub.published.seq + 1)
        await market.tick()
        if number == 20:
            follower.cut()
        if number == 30:
            follower.come_back()
        if number % 5 == 0:
            follower.read()
    follower.read()
    frames = follower.mirror.frames[1:]
    assert [frame["seq"] for frame in frames if frame["data"]] == changed
    follower.cut()


async def test_those_who_are_current_share_one_frame_and_who_was_behind_gets_one_of_its_own() -> (
    None
):
    market = Market()
    followers = [Follower(market, "changes", SYMBOLS) for _ in range(4)]
    await market.tick()
    followers[3].full = True
    encoded = market.hub.statistics().frames_encoded
    for price in (5, 6, 7):
        market.quote("AAA-USD", price)
        await market.tick()
    assert market.hub.statistics().frames_encoded == encoded + 3
    held = followers[3].mirror.seq
    followers[3].read()
    last = followers[3].mirror.frames[-1]
    assert (last["prev"], last["seq"]) == (held, market.hub.published.seq)
    assert [entry["price"] for entry in last["data"]] == [7]
    for follower in followers:
        follower.cut()


async def test_a_subscriber_of_every_that_is_too_far_behind_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market = Market()
    queue = TickQueue()
    gone: list[Exception | None] = []
    with market.hub.subscribe(SYMBOLS, 1, JSON, queue, gone.append, mode="every") as subscription:
        assert subscription.replay()
        assert not subscription.replay()
        for price in range(1, limits.EVERY_TICKS + 1):
            market.quote("AAA-USD", price)
            await market.tick()
        assert gone == []
        market.quote("AAA-USD", 1)
        await market.tick()
        assert gone == [None]
    monkeypatch.setattr(limits, "EVERY_BYTES", 100)
    queue = TickQueue()
    queue.send_nowait(b"x" * 100)
    with pytest.raises(trio.WouldBlock):
        queue.send_nowait(b"y")


async def test_ticks_that_the_log_has_lost_are_never_left_out_silently() -> None:
    market = Market()
    follower = Follower(market, "every", SYMBOLS)
    follower.read()
    seq = market.hub.published.seq
    assert market.hub.resumable("every", follower.epoch, seq)
    market.hub.log._seconds = -1.0
    market.quote("AAA-USD", 1)
    await market.tick()
    assert not market.hub.resumable("every", follower.epoch, seq)
    assert market.hub.resumable("changes", follower.epoch, seq)
    follower.cut()
    with (
        market.hub.subscribe(SYMBOLS, 1, JSON, follower, print, mode="every", seq=seq) as lost,
        pytest.raises(TicksLostError),
    ):
        lost.replay()


@pytest.mark.parametrize(
    ("mode", "epoch", "seq", "resumed"),
    [
        ("changes", None, 1, True),
        ("changes", None, 0, True),
        ("changes", None, 2, False),
        ("changes", None, -1, False),
        ("changes", "another", 1, False),
        ("every", None, 1, True),
        ("latest", None, 1, False),
    ],
)
async def test_only_a_tick_of_this_epoch_is_resumed_from(
    mode: Mode, epoch: str | None, seq: int, *, resumed: bool
) -> None:
    market = Market()
    await market.tick()
    hub = market.hub
    assert hub.resumable(mode, epoch or hub.published.epoch, seq) is resumed


@pytest.mark.parametrize("mode", ["changes", "every"])
@pytest.mark.parametrize("live", [True, False])
async def test_a_quiet_market_says_so_once_a_second(
    mode: Mode, autojump_clock: Any, *, live: bool
) -> None:
    market = Market()
    follower = Follower(market, mode, SYMBOLS)
    follower.read()
    began = trio.current_time()
    times: list[float] = []
    for _ in range(500):
        await trio.sleep(TICK)
        before = len(follower.mirror.frames)
        await (market.tick() if live else market.hub.keep_alive(WALL_MS))
        follower.read()
        times += [trio.current_time() - began] * (len(follower.mirror.frames) - before)
    assert len(times) == 5
    assert times == pytest.approx([1, 2, 3, 4, 5], abs=0.1)
    assert all(frame["data"] == [] for frame in follower.mirror.frames)
    follower.cut()


async def test_a_longer_interval_is_kept_also_while_quiet(autojump_clock: Any) -> None:
    market = Market()
    follower = Follower(market, "changes", SYMBOLS, every=200)
    for _ in range(1000):
        await trio.sleep(TICK)
        await market.tick()
    seqs = [frame["seq"] for frame in follower.mirror.frames]
    assert seqs == [0, 200, 400, 600, 800, 1000]
    follower.cut()


async def test_those_cut_off_together_share_what_they_missed() -> None:
    market = Market()
    followers = [Follower(market, "every", SYMBOLS) for _ in range(20)]
    for follower in followers:
        follower.read()
        follower.cut()
    for price in range(1, 300):
        market.quote("AAA-USD", price)
        await market.tick()
    encoded = 0
    entry = JSON.format.entry

    def counted(quote: Any, detail: Any) -> bytes:
        nonlocal encoded
        encoded += 1
        return entry(quote, detail)

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(type(cast("Any", JSON.format)), "entry", staticmethod(counted))
        for follower in followers:
            follower.come_back()
            stack.callback(follower.cut)
            follower.read()
            assert [frame["seq"] for frame in follower.mirror.frames[1:]] == list(range(1, 300))
    # The last piece, which may still grow, is made for each.
    assert encoded <= 299 + 20 * limits.MISSED_PIECE_TICKS
