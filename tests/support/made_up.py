"""What lies outside of the service and is made up in tests: a source of prices, an authority."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from decimal import Decimal

import trio

from ticker.market.quote import Quote
from ticker.market.sources import SourceContext
from ticker.security.authority import Grant, InvalidTokenError

#: The wall clock at the start of a test in virtual time.
WALL = 1_790_000_000.0
SYMBOLS = ("BTC-USD", "ETH-USD")


def quotes(*prices: float, source: str = "scripted") -> list[Quote]:
    """Make a quote of each symbol."""
    return [
        Quote(symbol, Decimal(str(price)), int(WALL * 1000), int(WALL * 1000), source)
        for symbol, price in zip(SYMBOLS, prices, strict=False)
    ]


class ScriptedSource:
    """A source that brings what a test puts in, and crashes when that is an exception.

    Attributes:
        begins: whether each life begins with one batch.
        lives: how often it was started.
        context: once it was loaded by a service; a source that counts needs it.
        crashes: how many lives of one that counts end before their next price.
        crash_after: after how many prices each life of one that counts ends; None for never.
    """

    def __init__(
        self,
        name: str = "scripted",
        symbols: Sequence[str] = SYMBOLS,
        *,
        begins: bool = True,
        counts: bool = False,
        strides: Sequence[int] = (),
        crash_after: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            name: the source's.
            symbols: what it quotes.
            begins: whether each life begins with one batch.
            counts: whether it counts the ticks by itself, with the count as every price, instead
                of bringing what is put in.
            strides: where it counts, after how many counts each symbol's price moves; always 1
                where there are none.
            crash_after: after how many prices each life of one that counts ends.
        """
        self.name = name
        self.symbols = symbols
        self.begins = begins
        self.put, self._script = trio.open_memory_channel[list[Quote] | Exception](math.inf)
        self.lives = 0
        self.context: SourceContext | None = None
        self.crashes = 0
        self.crash_after = crash_after
        self._counts = counts
        self._strides = strides or [1] * len(symbols)
        self._price = 0
        self._moved_at: dict[str, tuple[int, int]] = {}

    def load(self, _spec: object, context: SourceContext) -> ScriptedSource:
        """Be the source that a service loads."""
        self.context = context
        return self

    def batches(self) -> AsyncGenerator[Sequence[Quote], None]:
        """Bring what was put in, or count."""
        self.lives += 1
        return self._count() if self._counts else self._follow_script()

    async def _follow_script(self) -> AsyncGenerator[Sequence[Quote], None]:
        if self.begins:
            yield quotes(100 + self.lives, 10)
        while True:
            item = await self._script.receive()
            if isinstance(item, Exception):
                raise item
            yield item

    async def _count(self) -> AsyncGenerator[Sequence[Quote], None]:
        assert self.context is not None
        brought = 0
        while True:
            if self.crashes:
                self.crashes -= 1
                raise RuntimeError("injected into the source")
            if brought == self.crash_after:
                raise RuntimeError("injected into the source")
            self._price += 1
            brought += 1
            yield [self._counted(*each) for each in zip(self.symbols, self._strides, strict=True)]
            await self.context.next_tick()

    def _counted(self, symbol: str, stride: int) -> Quote:
        """The quote of a symbol, with the time of its last move."""
        assert self.context is not None
        now = self.context.wall_ms()
        count = self._price // stride * stride
        if stride > 1:
            moved_at = self._moved_at.get(symbol)
            if moved_at is None or moved_at[0] != count:
                self._moved_at[symbol] = (count, now)
            return Quote(symbol, Decimal(count + 1), self._moved_at[symbol][1], now, self.name)
        return Quote(symbol, Decimal(self._price), now, now, self.name)


class FakeAuthority:
    """Knows the tokens it is told of; a test may revoke them, or let every look-up fail."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self.grants: dict[str, Grant] = {}
        self.fault: Exception | None = None
        self.ended: Callable[[Collection[str]], None] = lambda _ids: None
        self._wall = wall
        self._revoked: set[str] = set()

    def issue(self, name: str, seconds: float) -> None:
        """Issue a token of this name that lasts so long."""
        now = self._wall()
        self.grants[name] = Grant(
            name, "key", "user:simulated", "user", (), "127.0.0.1", now, now + seconds
        )

    def revoke(self, name: str) -> None:
        """Revoke a token: its streams end."""
        self._revoked.add(name)
        self.ended([name])

    def knows(self, token: str) -> bool:
        """Whether a token is known without asking the database."""
        return token in self.grants

    async def authenticate(self, token: str) -> Grant:
        """Find a grant, or fail as a test asks."""
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        grant = self.grants.get(token)
        if grant is None or not self.still_good(grant):
            raise InvalidTokenError("unknown")
        return grant

    def still_good(self, grant: Grant) -> bool:
        """Say whether a grant may begin a stream."""
        return grant.token_id not in self._revoked and grant.expires_at > self._wall()

    async def run(self, ended: Callable[[Collection[str]], None]) -> None:
        """Keep whom to tell."""
        self.ended = ended
        await trio.sleep_forever()


def grant(token_id: str = "token", *, seconds: float = 3600, user: str = "ada") -> Grant:  # noqa: S107 - a name
    """Make a grant that lasts so long."""
    return Grant(token_id, "key", f"user:{user}", "user", (), "::1", WALL, WALL + seconds)
