"""What crashes, a session or a source, takes nothing else with it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import trio

from tests.attack.catalogue import upgrade
from tests.chaos.inprocess import Running, serving
from tests.support.frames import CLOSE
from tests.support.made_up import ScriptedSource
from tests.support.raw import RawStream, read_response
from tests.support.waiting import eventually
from ticker import service
from ticker.encodings.json import JsonFormat
from ticker.protocol.requests import Request

STREAMS = 100
MESSAGES = 30
#: One message in so many meets a fault of the server.
ONE_IN = 1000


async def _stream(running: Running) -> RawStream:
    """Open a stream in this loop."""
    stream = trio.SocketStream(trio.socket.socket())
    await stream.socket.connect(("127.0.0.1", running.port))
    await stream.send_all(upgrade(running.token))
    response, rest = await read_response(stream)
    assert response.status == 101
    return RawStream(stream, response, rest)


async def test_one_session_in_a_thousand_crashes_alone(tmp_path: Path) -> None:
    decoded = 0
    original = JsonFormat.request

    def decode(self: JsonFormat, message: str | bytes) -> Request:
        nonlocal decoded
        decoded += 1
        if decoded % ONE_IN == 0:
            raise RuntimeError("injected")
        return original(self, message)

    codes: list[int] = []
    answered = 0

    async def converse(stream: RawStream) -> None:
        nonlocal answered
        for number in range(MESSAGES):
            await stream.send({"type": "ping", "id": number})
            while True:
                frame = await stream.frame()
                assert frame is not None
                if frame.opcode == CLOSE:
                    codes.append(frame.code)
                    await stream.stream.aclose()
                    return
                if frame.message.get("id") == number:
                    answered += 1
                    break
            await trio.sleep(0.05)  # below the limit of messages a second
        await stream.until("ticker")
        await stream.stream.aclose()

    async with serving(tmp_path / "data") as running:
        with patch.object(JsonFormat, "request", decode):
            async with trio.open_nursery() as nursery:
                for _ in range(STREAMS):
                    nursery.start_soon(converse, await _stream(running))
        await eventually(lambda: not running.service.sessions, "all to go")
        logged = [event for event in running.logged if event["event"] == "session_crashed"]
    crashes = decoded // ONE_IN
    assert crashes > 0
    assert answered == decoded - crashes
    assert codes == [1011] * crashes
    assert len(logged) == crashes
    assert all(isinstance(event["exc_info"], RuntimeError) for event in logged)


async def test_a_source_that_crashes_on_every_tick_does_not_spin(tmp_path: Path) -> None:
    source = ScriptedSource(symbols=["AAA-USD"], counts=True, crash_after=1)
    paced: dict[str, Any] = {"restart_initial": 0.1, "restart_factor": 2.0, "restart_jitter": 0.0}
    with patch.object(service, "make_service", partial(service.make_service, load=source.load)):
        async with serving(tmp_path / "data", **paced) as running:
            streams = [await _stream(running) for _ in range(20)]
            began = trio.current_time()
            for life in range(2, 6):
                for stream in streams:
                    await stream.until("status", state="stale")
                    await stream.until("status", state="live")
                    tick = await stream.until("ticker")
                    assert tick["data"][0]["price"] >= life - 1
            # Pauses of 0.1, 0.2, 0.4 and 0.8 s: five lives take 1.5 s, and not one more fits.
            assert source.lives <= 6
            assert trio.current_time() - began > 1.0
            assert len(running.service.sessions) == len(streams)
            for stream in streams:
                await stream.stream.aclose()
