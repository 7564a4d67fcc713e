"""The real Python client across cuts, stalls and restarts of the real server, in virtual time.

Whatever happens, what a program holds that applies each `Ticker` is the server's book at that
`seq`, and so is `client.latest`; in `every` no tick is missing, unless it was told so.
"""

from __future__ import annotations

import math
import random

import pytest
import trio

from tests.simulation.simulation import SYMBOLS, TTL, Simulation
from tests.simulation.wire import TICK, Held, Wire
from ticker.client.client import Client
from ticker.client.credentials import Credentials, IssuedToken
from ticker.client.entry import running
from ticker.client.messages import Epoch, Message, Reconnected, Subscribed, Ticker
from ticker.client.requests import subscription
from ticker.client.server_address import parse_address
from ticker.protocol.details import Mode

HISTORIES = 25
SLOW_HISTORIES = 1000
STEPS = 25
TOKEN = "token"


class WireStream(trio.abc.Stream):
    """The client's end of a wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._data = bytearray()
        wire.deliver = self._deliver

    def _deliver(self, data: bytes) -> None:
        self._data += data
        self.wire.changed()

    def stall(self) -> None:
        """Let nothing through, as where the path is full."""
        self.wire.deliver = None

    def flow(self) -> None:
        """Let everything through again."""
        if self.wire.deliver is None:
            self.wire.deliver = self._deliver
            self._deliver(bytes(self.wire.to_client))
            self.wire.to_client.clear()

    def cut(self) -> None:
        """Reset the connection; what was on its way is lost."""
        self.wire.client_reset = True
        self.wire.to_server.clear()
        self._data.clear()
        self.wire.changed()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._data:
            if self.wire.client_reset:
                raise trio.BrokenResourceError
            if not self.wire.server_open or self.wire.client_done:
                return b""
            await self.wire._changed.park()
        data = bytes(self._data[: max_bytes or len(self._data)])
        del self._data[: len(data)]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self.wire.client_reset or not self.wire.server_open:
            raise trio.BrokenResourceError
        self.wire.to_server += data
        self.wire.changed()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.wire.client_done = True
        self.wire.changed()


class Program:
    """A program that applies what the client gives it."""

    def __init__(self, simulation: Simulation, mode: Mode, symbols: list[str] | None) -> None:
        self.simulation = simulation
        self.mode = mode
        self.streams: list[WireStream] = []
        self.client = Client(
            parse_address("http://ticker.test"),
            Credentials(None, self._no_exchange, TOKEN),
            self._dial,
            subscription(symbols, None, mode),
        )
        self.held: Held = {}
        self.seq: int | None = None
        self.symbols: frozenset[str] = frozenset()
        self.epoch = ""
        self.restarts = self.resumptions = self.frames = 0
        self.gaps = 0

    @staticmethod
    async def _no_exchange(_key: str) -> IssuedToken:
        raise AssertionError("there is a token")

    async def _dial(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        stream = WireStream(Wire(self.simulation.now))
        self.streams.append(stream)
        self.simulation.accept(stream.wire)
        return stream

    async def run(self) -> None:
        async with running(self.client, math.inf):
            async for message in self.client:
                self.take(message)

    def take(self, message: Message) -> None:
        match message:
            case Subscribed(symbols=symbols, epoch=epoch):
                self.symbols, self.epoch = frozenset(symbols), epoch or ""
            case Epoch(epoch=epoch):
                self.epoch = epoch
            case Reconnected(resumed=resumed):
                self.resumptions += resumed
                self.gaps += not resumed
            case Ticker():
                self.apply(message)

    def apply(self, frame: Ticker) -> None:
        entries = {each.symbol: (str(each.price), each.timestamp) for each in frame.data}
        if frame.snapshot or frame.prev is None:
            self.held = entries
        else:
            assert self.seq is not None
            assert frame.prev <= self.seq, "a gap that was not told"
            for missed in range(self.seq + 1, frame.seq) if self.mode == "every" else ():
                assert self.held == self.book(missed), f"no tick {missed}"
            self.held = self.held | entries
        self.seq = frame.seq
        self.frames += 1
        assert self.held == self.book(frame.seq), f"not the market of {frame.seq}"

    def book(self, seq: int) -> Held:
        found = self.simulation.books[self.epoch, seq] if seq else {}
        return {symbol: found[symbol] for symbol in found if symbol in self.symbols}

    def check(self) -> None:
        """Compare what the client itself keeps current."""
        position = self.client.position
        if position is not None and position.seq and self.symbols:
            latest = {
                symbol: (str(price.price), price.timestamp)
                for symbol, price in self.client.latest.items()
            }
            found = self.simulation.books[position.epoch, position.seq]
            assert latest == {each: found[each] for each in found if each in self.symbols}


def live(seed: int) -> Program:
    """Live through one history."""
    chance = random.Random(seed)
    simulation = Simulation()
    mode: Mode = chance.choice(["latest", "changes", "every"])
    symbols = None if chance.random() < 0.5 else chance.sample(SYMBOLS, 2)
    program = Program(simulation, mode, symbols)

    try:
        simulation.authority.issue(TOKEN, 100 * TTL * STEPS)
        simulation.do(lambda: simulation.outside.start_soon(program.run))
        for _ in range(STEPS):
            _act(simulation, program, chance)
        if program.streams:
            simulation.do(program.streams[-1].flow)
        # The longest wait before a further try, and then some.
        simulation.do(lambda: simulation.pass_time(70.0))
        simulation.do(program.check)
        seq = simulation.market.hub.published.seq
        assert program.seq is not None
        assert program.seq >= seq - 1 / TICK - 1, f"{program.seq} is held, {seq} published"
        if mode == "changes":  # a tick of `every` may be too old for the log
            assert program.gaps <= program.restarts, "a gap without a restart"
    finally:
        simulation.end()
    return program


def _act(simulation: Simulation, program: Program, chance: random.Random) -> None:
    """Let one thing happen, by chance."""
    stream = program.streams[-1] if program.streams else None
    match chance.choice(["cut", "stall", "flow", "restart", "wait", "wait", "wait", "crash"]):
        case "cut" if stream is not None:
            simulation.do(stream.cut)
        case "stall" if stream is not None:
            simulation.do(stream.stall)
        case "flow" if stream is not None:
            simulation.do(stream.flow)
        case "restart" if chance.random() < 0.5:
            program.restarts += 1
            for each in program.streams:
                simulation.do(each.cut)
            simulation.do(simulation.restart)
        case "crash":
            simulation.source.crashes = 1
        case _:
            seconds = chance.choice([TICK, TICK, 1.0, 3.0, 10.0])
            simulation.do(lambda: simulation.pass_time(seconds))
    simulation.do(program.check)


def test_a_program_holds_the_servers_book_whatever_happens() -> None:
    programs = [live(seed) for seed in range(HISTORIES)]
    assert sum(program.resumptions for program in programs) > HISTORIES / 2
    assert sum(program.gaps for program in programs if program.mode != "latest") > 0
    assert sum(program.frames for program in programs) > 100 * HISTORIES


@pytest.mark.slow
def test_a_program_holds_the_servers_book_in_a_thousand_histories() -> None:
    programs = [live(seed) for seed in range(SLOW_HISTORIES)]
    assert sum(program.resumptions for program in programs) > SLOW_HISTORIES / 2
