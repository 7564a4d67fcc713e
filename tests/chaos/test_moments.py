"""What is right at any moment is right at a bad one: cut short, full, gone before the answer."""

from __future__ import annotations

import gc
import socket
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest
import trio

from tests.attack.catalogue import upgrade
from tests.chaos.inprocess import Running, serving
from tests.chaos.kills import Kill, Victim, subscriber
from tests.support.frames import CLOSE, TEXT, FrameParser, client_frame
from tests.support.raw import RESET
from tests.support.waiting import eventually
from ticker import limits
from ticker.http.head import Head
from ticker.streams import admit

CLOSING = client_frame(CLOSE, (1000).to_bytes(2, "big"))
#: Far less than one frame of `MANY`: the kernel makes of it the least it has.
SMALL = 1
MANY = {f"S{number}-USD": Decimal(10) for number in range(500)}


async def _requested(running: Running, *, room: int = 4 * 1024 * 1024) -> Victim:
    """Ask for a stream and read nothing."""
    connection = trio.socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    await connection.connect(("127.0.0.1", running.port))
    await connection.send(upgrade(running.token))
    return Victim(connection)


async def test_a_frame_that_was_cut_short_is_finished_without_another(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", symbols=MANY) as running:
        victim = await _requested(running, room=SMALL)
        connection, data = victim.connection, b""
        while b"\r\n\r\n" not in data:
            data += await connection.recv(4096)
        parser = FrameParser()
        kinds = [each.message["type"] for each in parser.feed(data.partition(b"\r\n\r\n")[2])]
        await connection.send(client_frame(TEXT, '{"type":"subscribe","interval_ms":4000}'))
        # The snapshot after the answer is larger than all the buffers between us.
        with trio.fail_after(2):
            while kinds[-2:] != ["subscribed", "ticker"]:
                kinds += [each.message["type"] for each in parser.feed(await connection.recv(4096))]
        await victim.kill(Kill.RST)


async def test_a_close_frame_is_answered_also_where_the_socket_is_full(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", symbols=MANY) as running:
        victims = [await _requested(running, room=SMALL) for _ in range(20)]
        await eventually(
            lambda: running.engine.statistics().hub.behind == len(victims), "all to be full"
        )
        for victim in victims:
            await victim.connection.send(CLOSING)
        # They do not read yet: ten ticks come by while the answers wait for room.
        ticks = running.engine.statistics().ticks
        await eventually(lambda: running.engine.statistics().ticks >= ticks + 10, "ten ticks")
        for victim in victims:
            heard = b""
            with trio.fail_after(5):
                while data := await victim.connection.recv(65_536):
                    heard = heard[-100:] + data
            assert heard.endswith(b"\x88\x02\x03\xe8")
            victim.connection.close()
        await eventually(lambda: not running.service.sessions, "the last to go")
        closed = [event for event in running.logged if event["event"] == "stream_closed"]
        assert [event["code"] for event in closed] == [1000] * len(victims)


async def test_a_reset_right_after_a_request_is_no_fault(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as running:
        for _ in range(20):
            connection = trio.socket.socket()
            await connection.connect(("127.0.0.1", running.port))
            await connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.close()
        await eventually(lambda: not running.engine.statistics().connections, "the last to go")
        assert "connection_crashed" not in {event["event"] for event in running.logged}


async def test_a_stream_does_not_hold_on_to_its_request(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as running:
        victims = [await subscriber(running.port, running.token) for _ in range(10)]
        # One that was used for HTTP before.
        later = Victim(trio.socket.socket())
        await later.connection.connect(("127.0.0.1", running.port))
        await later.connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        await later.take(100)
        await later.connection.send(upgrade(running.token))
        await eventually(lambda: len(running.service.sessions) == 11, "the streams")
        gc.collect()
        assert [each for each in gc.get_objects() if type(each) is Head] == []
        for victim in [*victims, later]:
            await victim.kill(Kill.RST)


async def test_refused_handshakes_count_as_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS", 10)
    monkeypatch.setattr(limits, "REFUSALS_AT_ONCE", 5)
    async with serving(tmp_path / "data") as running:
        refused = []
        for _ in range(100):
            connection = trio.socket.socket()
            await connection.connect(("127.0.0.1", running.port))
            await connection.send(upgrade("nonsense"))
            answer = await connection.recv(4096)
            assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 503 ")), answer
            # It leaves the rest to the server.
            refused.append(connection)
            assert running.engine.statistics().connections <= 10 + 5 + 2
        async with trio.open_nursery() as nursery:
            for connection in refused:
                nursery.start_soon(_ended, connection)


async def _ended(connection: trio.socket.SocketType) -> None:
    try:
        with trio.fail_after(2 * limits.CLOSE_SECONDS):
            while await connection.recv(4096):
                pass
    except ConnectionResetError:
        pass
    finally:
        connection.close()


async def test_a_log_that_cannot_be_written_costs_no_place(tmp_path: Path) -> None:
    def full(event: str, **_fields: object) -> None:
        if event == "stream_opened":
            raise OSError("no space left on device")

    async with serving(tmp_path / "data", max_streams=1) as running:
        with patch.object(admit, "log") as log:
            log.info = full
            victim = await _requested(running)
            await _ended(victim.connection)
        victim = await subscriber(running.port, running.token)
        await victim.kill(Kill.RST)
