"""Which symbols a connection asks for, which answer is awaited, and what was refused.

Rules: pure; times are arguments, in seconds. One request at a time: an answer that names no
request can then only be that one's. A refusal concerns its symbol: where the exchange does
not say which of a request it is, the request is halved until it is known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs

from ticker.limits import FEED_DETAIL_CHARACTERS
from ticker.market.exchanges.connect_pauses import refusal_pause
from ticker.market.exchanges.events import Refused, Subscribed

__all__ = ["Refusals", "Subscriptions"]


@attrs.frozen
class _Refusal:
    reason: str
    times: int
    at: float
    until: float


@attrs.define
class Refusals:
    """The symbols that the exchange does not serve, over all lives of a source."""

    _known: dict[str, _Refusal] = attrs.field(factory=dict)

    def add(self, name: str, reason: str, now: float) -> None:
        """Note a refusal; the symbol is not asked for again for a minute, up to an hour."""
        before = self._known.get(name)
        times = 1 if before is None else before.times + 1
        self._known[name] = _Refusal(reason, times, now, now + refusal_pause(times))

    def forget(self, name: str) -> None:
        """Learn that a symbol is served after all."""
        self._known.pop(name, None)

    def hasten(self, name: str) -> None:
        """Have a symbol asked for again as soon as after its first refusal."""
        refusal = self._known.get(name)
        if refusal is not None:
            self._known[name] = attrs.evolve(refusal, until=refusal.at + refusal_pause(1))

    def may_ask(self, name: str, now: float) -> bool:
        """Tell whether a symbol may be asked for: it was not refused, or long enough ago."""
        refusal = self._known.get(name)
        return refusal is None or now >= refusal.until

    def reason(self, name: str) -> str | None:
        """Return why a symbol is refused; None where it is not."""
        refusal = self._known.get(name)
        return None if refusal is None else refusal.reason

    def next_try(self) -> float:
        """Return when the first of them may be asked for again; infinity where there are none."""
        return min((refusal.until for refusal in self._known.values()), default=float("inf"))


class Subscriptions:
    """The subscriptions of one connection.

    Attributes:
        request: the number of the request that is under way, or was last.
        awaited: the symbols of it that are not answered yet.
        confirmed: the symbols that the exchange has confirmed.
    """

    def __init__(
        self,
        names: Iterable[str],
        refusals: Refusals,
        may_ask: Callable[[str, float], bool],
        batch: int,
        *,
        refuses_whole: bool,
    ) -> None:
        """Begin with nothing asked for.

        Args:
            names: the symbols to subscribe to.
            refusals: those that the exchange refused before.
            may_ask: whether a symbol may be asked for at a time.
            batch: how many symbols one request may have.
            refuses_whole: where one of a request is refused, none of it is subscribed to.
        """
        self._names = tuple(names)
        self._refusals = refusals
        self._may_ask = may_ask
        self._batch = batch
        self._refuses_whole = refuses_whole
        self._waiting: deque[tuple[str, ...]] = deque()
        self.request = 0
        self.awaited: set[str] = set()
        self.confirmed: set[str] = set()

    def gather(self, now: float) -> bool:
        """Line up what is not subscribed to and may be asked for; return whether there is any."""
        if not self._waiting and not self.awaited:
            missing = [
                name
                for name in self._names
                if name not in self.confirmed and self._may_ask(name, now)
            ]
            size = self._batch
            self._waiting.extend(
                tuple(missing[start : start + size]) for start in range(0, len(missing), size)
            )
        return bool(self._waiting)

    def next(self) -> Sequence[str]:
        """Begin the next request that `gather` lined up and return its symbols."""
        names = self._waiting.popleft()
        self.awaited = set(names)
        self.request += 1
        return names

    def confirm(self, event: Subscribed) -> None:
        """Take in an acknowledgement; one of another request is passed over."""
        if event.request is not None and event.request != self.request:
            return
        names = self.awaited if event.symbols is None else self.awaited & set(event.symbols)
        self.confirmed |= names
        self.awaited = self.awaited - names
        for name in names:
            self._refusals.forget(name)

    def refuse(self, event: Refused, now: float) -> Sequence[str] | None:
        """Take in a refusal.

        Returns:
            The symbols that it turned out to concern, maybe none yet; None where no request is
            under way, so that it concerns the connection as a whole.
        """
        if event.request is not None and event.request != self.request:
            return ()  # of a request that has been answered otherwise
        if not self.awaited:
            return None
        named = [name for name in event.symbols if name in self.awaited]
        named = named or _mentioned(event.reason, self.awaited)
        if not named and len(self.awaited) == 1:
            named = list(self.awaited)
        for name in named:
            self._refusals.add(name, event.reason[:FEED_DETAIL_CHARACTERS], now)
        rest = [name for name in self._names if name in self.awaited and name not in named]
        if named and not self._refuses_whole:
            self.awaited = set(rest)
        else:
            self.awaited = set()
            half = len(rest) if named else len(rest) // 2
            self._waiting.extendleft(tuple(part) for part in (rest[half:], rest[:half]) if part)
        return named

    def lose(self, names: Iterable[str]) -> None:
        """Learn that symbols are not subscribed to any more."""
        self.confirmed = self.confirmed.difference(names)


def _mentioned(reason: str, names: Iterable[str]) -> list[str]:
    """Return the symbols that a text mentions as words of their own."""
    words = {word.strip("\"'.,:;()[]") for word in reason.split()}
    return [name for name in names if name in words]
