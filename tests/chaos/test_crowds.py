"""A crowd that asks for nothing keeps no client out, over TCP and over TLS."""

from __future__ import annotations

import re
import resource
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import pytest
import trio
import trustme

from tests.support.raw import handshake, read_response
from tests.support.server import Server, started
from tests.support.waiting import eventually, wait_until
from ticker import limits

#: More than may be open at once, as was seen to keep others out.
CROWD = limits.HTTP_CONNECTIONS + 300
GOOD = 18


@attrs.frozen
class Target:
    """A server with a plain listener and one for TLS."""

    server: Server
    secure_port: int
    context: ssl.SSLContext

    async def connect(self, source: str, *, secure: bool) -> trio.SocketStream:
        """Open a TCP connection from an address of this machine."""
        raw = trio.socket.socket()
        try:
            await raw.bind((source, 0))
            await raw.connect(("127.0.0.1", self.secure_port if secure else self.server.port))
        except BaseException:
            raw.close()
            raise
        return trio.SocketStream(raw)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, CROWD + 1000)), hard))
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    names = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(names[0])
    certificate.private_key_pem.write_to_path(names[1])
    context = ssl.create_default_context()
    authority.configure_trust(context)
    args = ["--certfile", str(names[0]), "--keyfile", str(names[1])]
    args += ["--insecure-bind", "127.0.0.1:0"]
    with started("hypercorn", tmp_path / "data", args=args) as server:
        found = wait_until(
            lambda: re.search(r"Running on https://127.0.0.1:(\d+)", server.output), "the listener"
        )
        yield Target(server, int(found[1]), context)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"], ids=["same", "other"])
async def test_half_said_requests_keep_no_client_out(
    target: Target, source: str, *, secure: bool
) -> None:
    server = target.server
    token = server.token()
    # Over TLS the first bytes of a handshake are as far as it gets.
    half = b"\x16\x03\x01\x02\x00" if secure else handshake(server, token)[:60]
    async with AsyncExitStack() as crowd, trio.open_nursery() as nursery:
        held: list[trio.SocketStream] = []

        async def crowd_in() -> None:
            # They come again as they are cut off, and faster than any is let go by a deadline.
            while True:
                stream = await target.connect("127.0.0.1", secure=secure)
                crowd.push_async_callback(trio.aclose_forcefully, stream)
                held.append(stream)
                await stream.send_all(half)
                if len(held) > CROWD:
                    await trio.aclose_forcefully(held.pop(0))
                    await trio.sleep(0.005)  # the pace of the crowd is the subject

        nursery.start_soon(crowd_in)
        await eventually(lambda: len(held) >= CROWD, "the crowd", seconds=60)
        answers = []
        for _ in range(GOOD):
            plain = await target.connect(source, secure=secure)
            stream = (
                trio.SSLStream(plain, target.context, server_hostname="127.0.0.1")
                if secure
                else plain
            )
            async with plain:
                with trio.fail_after(limits.HEAD_SECONDS):
                    await stream.send_all(handshake(server, token))
                    answers.append((await read_response(stream))[0].status)
        nursery.cancel_scope.cancel()
    assert answers == [101] * GOOD
