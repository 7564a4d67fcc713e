"""Everything that can happen to Ticker, in any order, with what must hold after every step."""

from __future__ import annotations

from typing import Any, cast, get_args
from urllib.parse import urlencode

import hypothesis.strategies as st
import trio
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.simulation.simulation import SYMBOLS, TTL, Simulation
from tests.simulation.wire import CAPACITY, TICK, Client
from tests.support.frames import TEXT, client_frame
from ticker import limits
from ticker.protocol.details import Mode
from ticker.streams.session import Session

#: The most a peer's fault may take to be noticed: two looks of the engine's watch.
LOOK = 2 * limits.WATCH_SECONDS
#: Tasks of one connection: its own, one that catches up, and the writer of every tick.
CONNECTION_TASKS = 3
#: The longest frame that the simulation sends, and what a subscriber of `every` is sent at once.
FRAME_BYTES = 400
PIECE_BYTES = limits.MISSED_PIECE_BYTES + FRAME_BYTES

#: How far back the tick log reaches for sure.
LOG_SECONDS = 30.0 - 2 * TICK

modes = st.sampled_from(get_args(Mode))
pauses = st.sampled_from([TICK, TICK, 2 * TICK, 1.0, 3.0, 6.0, 11.0, 27.0, 45.0])


class Life(RuleBasedStateMachine):
    """One life of the service."""

    clients = Bundle("clients")

    @initialize()
    def begin(self) -> None:
        self.simulation = Simulation()
        self.number = 0

    def teardown(self) -> None:
        if hasattr(self, "simulation"):
            self.simulation.end()

    # What subscribers do.

    @precondition(lambda self: not self.simulation.drained.is_set())
    @rule(target=clients, seconds=st.sampled_from([TTL, 3600.0]), mode=modes)
    def connect(self, seconds: float, mode: Mode) -> Client:
        return self._connect(self._client("" if mode == "latest" else f"?mode={mode}"), seconds)

    def _client(self, query: str) -> Client:
        self.number += 1
        name, token = f"client {self.number}", f"token-{self.number}"
        return Client(name, token, self.simulation.now, self.simulation.books, query)

    def _connect(self, client: Client, seconds: float) -> Client:
        admitted = sum(each.response[9:12] == b"101" for each in self._live())
        full = admitted >= self.simulation.service.settings.max_streams
        self.simulation.do(lambda: self.simulation.connect(client, seconds))
        draining = self.simulation.drained_at is not None
        status = client.response[9:12]
        assert status == (b"503" if full or draining else b"101"), client.response
        if status != b"101":
            client.gone = True
        return client

    @precondition(lambda self: not self.simulation.drained.is_set())
    @rule(target=clients, old=consumes(clients), cut=st.booleans(), mode=modes)
    def come_back(self, old: Client, *, cut: bool, mode: Mode) -> Client:
        """Go on after what was held, maybe in another mode, maybe from another life."""
        if cut:
            self.simulation.do(old.reset)
            if self.simulation.drained.is_set():
                # It was the last that a drain waited for.
                return cast("Client", multiple())
        position = old.position
        if position is None:
            return self._connect(self._client(""), TTL)
        fields: dict[str, str] = {"mode": mode, "resume": f"{position[0]}:{position[1]}"}
        if old.symbols is not None:
            fields["symbols"] = ",".join(sorted(old.symbols))
        client = self._client("?" + urlencode(fields))
        client.held, client.position, client.symbols = old.held, position, old.symbols
        published = self.simulation.market.hub.published
        within = position[0] == published.epoch
        reached = within and self._tick_of(position) >= self.simulation.now() - LOG_SECONDS
        self._connect(client, TTL)
        if client.healthy:
            # Whether it holds the right thing is checked with each frame.
            if mode == "changes" or (mode == "every" and (reached or not within)):
                assert client.resumed is within, f"{client.name} was resumed: {client.resumed}"
            if not within or mode == "latest":
                assert client.resumed is False
        return client

    def _tick_of(self, position: tuple[str, int]) -> float:
        """When a tick of this epoch was published, at the latest."""
        ticks = self.simulation.market.hub.published.seq - position[1]
        return self.simulation.now() - ticks * TICK if ticks else self.simulation.now()

    @rule(
        client=clients,
        symbols=st.sets(st.sampled_from(SYMBOLS)),
        every=st.integers(1, 4),
        mode=modes,
        resume=st.booleans(),
    )
    def subscribe(
        self, client: Client, symbols: set[str], every: int, mode: Mode, *, resume: bool
    ) -> None:
        every = 1 if mode == "every" else every

        def ask() -> None:
            request: dict[str, Any] = {"type": "subscribe", "id": every, "mode": mode}
            if mode != "every":
                request["interval_ms"] = round(every * TICK * 1000)
            if resume and client.position is not None:
                epoch, seq = client.position
                request["resume"] = {"epoch": epoch, "seq": seq}
                if client.symbols is not None:
                    request["symbols"] = sorted(client.symbols)
            elif symbols:
                request["symbols"] = sorted(symbols)
            client.ask(request)

        self.simulation.do(ask)
        if client.healthy:
            assert client.wanted
            assert (client.mode, client.every) == (mode, every)

    @rule(client=clients)
    def unsubscribe(self, client: Client) -> None:
        self.simulation.do(lambda: client.ask({"type": "unsubscribe"}))
        assert not (client.healthy and client.wanted)

    @rule(client=clients)
    def renew(self, client: Client) -> None:
        if client.revoked_at is None and client.healthy:
            self.simulation.do(lambda: self._renew(client))

    def _renew(self, client: Client) -> None:
        name = client.token + "+"
        self.simulation.authority.issue(name, TTL)
        client.token = name
        client.expires_at = self.simulation.now() + TTL
        client.ask({"type": "auth", "token": name})

    @rule(client=clients)
    def send_nonsense(self, client: Client) -> None:
        client.bad_messages += 1
        if client.bad_messages < limits.BAD_MESSAGES:
            self.simulation.do(lambda: client.send(client_frame(TEXT, b"nonsense")))

    @rule(client=clients)
    def stall(self, client: Client) -> None:
        if client.reading:
            self.simulation.do(client.stall)

    @rule(client=clients)
    def resume(self, client: Client) -> None:
        if client.stalled_at is None or client.gone:
            return
        full_since, live = client.wire.full_since, self._alive(client)
        patience = limits.STALL_SECONDS - TICK
        cut_off = full_since is not None and self.simulation.now() > full_since + patience
        assert live or cut_off or self._may_be_gone(client), f"{client.name} was cut off early"
        self.simulation.do(client.resume)
        client.gone = not live

    @rule(client=clients)
    def fall_silent(self, client: Client) -> None:
        if client.silent_at is None:
            client.silent_at = self.simulation.now()

    @rule(client=consumes(clients))
    def reset(self, client: Client) -> None:
        self.simulation.do(client.reset)

    @rule(client=consumes(clients))
    def hang_up(self, client: Client) -> None:
        self.simulation.do(client.finish)

    # What else goes wrong.

    @rule(client=clients)
    def revoke(self, client: Client) -> None:
        if client.revoked_at is None:
            client.revoked_at = self.simulation.now()
            self.simulation.do(lambda: self.simulation.authority.revoke(client.token))

    @rule(client=clients)
    def crash_session(self, client: Client) -> None:
        """Let the next write to this one subscriber fail in a way that is not foreseen."""
        client.faulted = True
        client.wire.fault = RuntimeError("injected into a session")

    @rule(times=st.sampled_from([1, 2, 20]))
    def crash_source(self, times: int) -> None:
        self.simulation.source.crashes = times

    @rule(hours=st.sampled_from([-1.0, 1.0]))
    def jump_the_wall_clock(self, hours: float) -> None:
        self.simulation.wall_offset += hours * 3600

    @rule(seconds=pauses)
    def pass_time(self, seconds: float) -> None:
        lives = self.simulation.source.lives
        self.simulation.do(lambda: self.simulation.pass_time(seconds))
        # A source that crashes on every tick is restarted with growing pauses, never in a spin.
        assert self.simulation.source.lives - lives <= 2 + seconds

    @rule()
    def restart(self) -> None:
        """Kill the process and start another one: a new epoch begins."""
        if self.number > 2:
            self.simulation.do(self.simulation.restart)

    @precondition(lambda self: self.simulation.drained_at is None)
    @rule()
    def drain(self) -> None:
        if self.number > 3:
            self.simulation.do(self.simulation.drain)

    @rule()
    def lose_all_clients(self) -> None:
        """Let the network fail for all at once: then nothing at all may be left."""
        for client in self._live():
            self.simulation.do(client.reset)
        self.simulation.do(lambda: self.simulation.pass_time(limits.CLOSE_SECONDS + TICK))
        statistics = self.simulation.engine.statistics()
        assert (
            statistics.sessions
            == self.simulation.service.admission.taken
            == self.simulation.connections
            == 0
        )
        assert statistics.hub.subscriptions == statistics.hub.topics == statistics.hub.behind == 0

    # What must hold after every step.

    @invariant()
    def promises_hold(self) -> None:
        self._all_live_as_long_as_promised()
        self._subscriptions_equal_sessions_that_want_one()
        self._healthy_subscribers_have_the_newest_tick()
        self._subscribers_know_whether_prices_are_live()
        self._what_is_held_is_bounded()

    def _all_live_as_long_as_promised(self) -> None:
        for client in self._clients():
            live = self._alive(client)
            if client.healthy and self.simulation.drained_at is None:
                assert live, f"{client.name} was cut off"
            due = self._must_be_gone_at(client)
            if self.simulation.now() > due:
                assert not live, f"{client.name} is still there, due at {due}"

    def _subscriptions_equal_sessions_that_want_one(self) -> None:
        statistics = self.simulation.engine.statistics()
        registered = [cast("Session", session) for session in self.simulation.service.sessions]
        sessions = [session for session in registered if session.close_code is None]
        wanting = sum(bool(session._delivery.symbols) for session in sessions)
        assert statistics.hub.subscriptions == wanting
        assert statistics.hub.behind <= wanting
        readers = [client for client in self._clients() if client.healthy and self._alive(client)]
        assert sum(client.wanted for client in readers) <= wanting
        if not sessions:
            assert statistics.hub.topics == 0
        assert self.simulation.service.admission.taken <= len(self._live())

    def _healthy_subscribers_have_the_newest_tick(self) -> None:
        if self.simulation.drained_at is not None:
            return
        seq = self.simulation.market.hub.published.seq
        for client in self._clients():
            if not (client.healthy and client.wanted and seq):
                continue
            if client.mode == "latest":
                assert client.seq > seq - client.every, f"{client.name} has {client.seq}, not {seq}"
            else:
                quiet = self.simulation.now() - client.heard_at
                longest = max(limits.KEEP_ALIVE_SECONDS, client.every * TICK)
                assert quiet <= longest + TICK, f"{client.name} heard nothing for {quiet} s"
                shown = self.simulation.books[self.simulation.market.hub.published.epoch, seq]
                if client.every == 1:
                    held = {symbol: shown[symbol] for symbol in client.held}
                    assert client.held == held, f"{client.name} is behind {seq}"

    def _subscribers_know_whether_prices_are_live(self) -> None:
        for client in self._clients():
            if client.healthy and self.simulation.drained_at is None:
                state = self.simulation.market.status[0].state
                assert client.last_status.get("scripted", "live") == state, client.name

    def _what_is_held_is_bounded(self) -> None:
        for client in self._clients():
            assert len(client.wire.to_client) <= CAPACITY
            stream = client.wire.stream
            if stream is not None:
                most = PIECE_BYTES if client.mode == "every" else FRAME_BYTES
                assert len(stream._rest) <= most
        self.simulation.do(self._count_tasks)

    def _count_tasks(self) -> None:
        # One task is this operation's own, one the source's pause or life.
        room = self.simulation.idle_tasks + 3 + CONNECTION_TASKS * self.simulation.connections
        living = trio.lowlevel.current_statistics().tasks_living
        assert living <= room, f"{living} tasks for {self.simulation.connections} connections"

    def _clients(self) -> list[Client]:
        return self.simulation.clients

    def _live(self) -> list[Client]:
        return [client for client in self._clients() if self._alive(client)]

    @staticmethod
    def _alive(client: Client) -> bool:
        return client.wire.server_open

    def _may_be_gone(self, client: Client) -> bool:
        """Whether a stalled client may have been cut off for anything but its stalling."""
        return (
            client.faulted
            or client.revoked_at is not None
            or self.simulation.now() > client.expires_at
            or self.simulation.drained_at is not None
            or self.simulation.now() > self._heard_at(client) + limits.SILENT_SECONDS - LOOK
        )

    @staticmethod
    def _heard_at(client: Client) -> float:
        """Return since when a client may have answered nothing."""
        times = (time for time in (client.stalled_at, client.silent_at) if time is not None)
        # Its last sign of life is an answer to a ping, at most so long before.
        return min(times) - limits.PING_AFTER_SECONDS - LOOK

    def _must_be_gone_at(self, client: Client) -> float:
        """Return the time after which the server may hold nothing of a client."""
        closing = limits.CLOSE_SECONDS + limits.STALL_SECONDS
        dues = [client.expires_at + LOOK + closing]
        if client.revoked_at is not None:
            dues.append(client.revoked_at + closing)
        quiet = (time for time in (client.silent_at, client.stalled_at) if time is not None)
        dues.extend(time + limits.SILENT_SECONDS + closing for time in quiet)
        if client.wire.full_since is not None:
            dues.append(client.wire.full_since + limits.STALL_SECONDS + LOOK)
        if self.simulation.drained_at is not None:
            dues.append(
                self.simulation.drained_at + self.simulation.service.settings.graceful_timeout
            )
        return min(dues)
