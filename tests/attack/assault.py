"""Carrying attacks out against a running server, and saying what came of them.

One attack is one connection: an optional good handshake, the bytes, and one of three ways to
leave. An attacker that stays, or says politely that it is done, must be rid of in bounded
time; one that resets is gone by itself.
"""

from __future__ import annotations

import enum
import socket
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator

import attrs
import trio

from tests.attack.catalogue import Attack, upgrade
from tests.support.raw import RESET
from ticker import limits

#: How long a server may keep a connection on which nothing more will come: none of its
#: deadlines is longer than the silence after which a peer is taken for dead.
PATIENCE_SECONDS = limits.SILENT_SECONDS + 5
#: Attackers at once: enough to keep the server busy, few enough to leave its backlog free.
ATTACKERS = 24
_READ = 65_536
#: The record type of an alert (RFC 8446 §5.1): the answer to what is no TLS.
TLS_ALERT = 0x15


class Leave(enum.Enum):
    """How an attacker leaves after its last byte."""

    FIN = "fin"
    RST = "rst"
    STAY = "stay"


@attrs.frozen
class Try:
    """One attack cut short at a byte, and how the attacker leaves then."""

    attack: Attack
    leave: Leave
    cut: int | None = None

    @property
    def data(self) -> bytes:
        """What is sent."""
        return self.attack.raw[: self.cut]

    def __str__(self) -> str:
        return f"{self.attack.name} [:{self.cut}] {self.leave.value}: {self.data[:80]!r}"


@attrs.define
class Outcome:
    """What became of many attacks.

    Attributes:
        tries: how many were made.
        answers: by the first line's status, `stream` where only frames came, `none`.
        faults: what the server must not do, one line each.
        longest: the longest time until the server let go of a connection, in seconds, and which.
    """

    tries: int = 0
    answers: Counter[str] = attrs.field(factory=Counter)
    faults: list[str] = attrs.field(factory=list)
    longest: tuple[float, str] = (0.0, "")


def every_cut(attacks: Iterable[Attack], *, dense: int, step: int = 1) -> Iterator[Try]:
    """Yield each attack cut at every byte, with FIN and with RST.

    Args:
        attacks: what to cut.
        dense: from this byte on only about 16 cuts more, for what is long and monotonous.
        step: take only every so many of the cuts.
    """
    for number, attack in enumerate(attacks):
        size = len(attack.raw)
        cuts = [*range(min(size, dense)), *range(dense, size, max(1, size // 16)), size]
        for cut in cuts[number % step :: step]:
            yield Try(attack, Leave.FIN, cut)
            yield Try(attack, Leave.RST, cut)


async def assault(
    port: int,
    token: str,
    tries: Iterable[Try],
    attackers: int,
    context: ssl.SSLContext | None = None,
) -> Outcome:
    """Make every try, so many at a time, and collect what became of them.

    Args:
        port: where to.
        token: a good one.
        tries: what to do.
        attackers: how many at once.
        context: for TLS.
    """
    outcome = Outcome()
    waiting = iter(tries)
    good = upgrade(token)

    async def attacker() -> None:
        for each in waiting:
            outcome.tries += 1
            began = trio.current_time()
            answer = await _attempt(port, good, each, context)
            outcome.longest = max(outcome.longest, (trio.current_time() - began, str(each)))
            kind = _kind(answer)
            outcome.answers[kind] += 1
            if kind in {"hang", "500", "nonsense"}:
                outcome.faults.append(f"{kind} after {each}: {answer[:120]!r}")

    async with trio.open_nursery() as nursery:
        for _ in range(attackers):
            nursery.start_soon(attacker)
    return outcome


async def _attempt(port: int, good: bytes, each: Try, context: ssl.SSLContext | None) -> bytes:
    """Make one try; return what the server said, or `hang` where it held on for too long."""
    with trio.socket.socket() as raw, trio.move_on_after(PATIENCE_SECONDS) as patience:
        await raw.connect(("127.0.0.1", port))
        plain = trio.SocketStream(raw)
        stream = plain if context is None else trio.SSLStream(plain, context)
        try:
            if isinstance(stream, trio.SSLStream):
                await stream.do_handshake()
                # Of a whole crowd they take seconds, which no deadline of a stream's counts.
                patience.deadline = trio.current_time() + PATIENCE_SECONDS
            if each.attack.opened:
                await stream.send_all(good)
                heard = b""
                while b"\r\n\r\n" not in heard:
                    more = await stream.receive_some(_READ)
                    if not more:
                        return heard
                    heard += more
            return await _deliver(stream, plain, each)
        except (OSError, trio.BrokenResourceError):
            return b""  # the server reset the connection, which is an answer too
    return b"hang"


async def _deliver(
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
    plain: trio.SocketStream,
    each: Try,
) -> bytes:
    """Send the bytes and leave; return the first of what the server said."""
    heard = b""
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                await stream.send_all(each.data)
                if each.leave is Leave.FIN:
                    await plain.send_eof()
            except (OSError, trio.BrokenResourceError):
                return  # it had heard enough; what it said can still be read
            if each.leave is Leave.RST:
                nursery.cancel_scope.cancel()

        nursery.start_soon(send)
        try:
            while more := await stream.receive_some(_READ):
                heard = heard or bytes(more)
        except (OSError, trio.BrokenResourceError):
            pass
        nursery.cancel_scope.cancel()
    if each.leave is Leave.RST:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return heard


def _kind(answer: bytes) -> str:
    """Name what the server said first."""
    if answer == b"hang":
        return "hang"
    if not answer:
        return "none"
    if answer.startswith(b"HTTP/1.1 ") and answer[9:12].isdigit():
        return answer[9:12].decode()
    if answer[0] == TLS_ALERT:
        return "alert"
    # Server frames after the handshake: final, no reserved bits, text or control.
    return "stream" if answer[0] in {0x81, 0x88, 0x89, 0x8A} else "nonsense"
