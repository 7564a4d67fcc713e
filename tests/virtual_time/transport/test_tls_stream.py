"""What TLS adds to a stream; what it shares with a plain one is in `test_socket_stream.py`."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.support.connected import contexts, pair
from ticker import limits
from ticker.transport.tls_stream import TlsStream

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")


def accept(listener: socket.socket) -> TlsStream:
    raw, _address = listener.accept()
    raw.settimeout(0)
    return TlsStream(raw, contexts(ssl.TLSVersion.TLSv1_3)[0])


@asynccontextmanager
async def accepted() -> AsyncIterator[tuple[TlsStream, trio.SocketStream]]:
    """Connect a stream before its handshake with a client that speaks no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = await trio.open_tcp_stream(*listener.getsockname())
        stream = accept(listener)
        try:
            async with client:
                yield stream, client
        finally:
            stream.abort()


async def test_both_sides_agree_on_a_protocol() -> None:
    async with pair("tls") as (stream, _client):
        assert isinstance(stream, TlsStream)
        assert stream.selected_alpn_protocol() == "http/1.1"
        assert stream.secure


@pytest.mark.parametrize(
    "nonsense",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 60, b"\x00" * 100, b""],
    ids=["http", "record", "zeros", "eof"],
)
async def test_nonsense_for_a_handshake_is_the_peers_end(nonsense: bytes) -> None:
    async with accepted() as (stream, client):
        await client.send_all(nonsense)
        await client.send_eof()
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError, match="no TLS handshake"):
            await stream.handshake()


async def test_a_handshake_that_is_cancelled_leaves_nothing_waiting() -> None:
    async with accepted() as (stream, _client):
        with trio.move_on_after(0.05) as scope:
            await stream.handshake()
        assert scope.cancelled_caught
        stream.abort()
        assert stream.fileno() == -1


async def test_a_frame_for_which_there_is_no_room_is_not_encrypted() -> None:
    async with pair("tls") as (stream, client):
        sent = full = 0
        while full < 3:  # there may be room once more, where an acknowledgement comes late
            try:
                stream.send_nowait(b"%06d" % sent)
            except trio.WouldBlock:
                full += 1
            else:
                sent, full = sent + 1, 0
        assert not stream._rest
        received = b""
        while len(received) < 6 * sent:
            received += await client.receive_some()
        await stream.wait_ready()
        stream.send_nowait(b"next")
        # A record that was made and not sent would break the numbers of all that follow.
        assert await client.receive_some() == b"next"
        assert received == b"".join(b"%06d" % number for number in range(sent))


async def test_a_peer_that_hangs_up_without_a_word_of_tls_is_at_its_end() -> None:
    async with pair("tls") as (stream, client):
        await client.send_all(b"last")
        await client.send_eof()
        assert await stream.receive_some() == b"last"
        assert await stream.receive_some() == b""


async def test_a_receive_that_is_cancelled_loses_nothing() -> None:
    async with pair("tls") as (stream, client):
        await client.send_all(b"one two")
        assert await stream.receive_some(4) == b"one "
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive_some()
        assert scope.cancelled_caught
        assert await stream.receive_some() == b"two"


async def read_until(stream: trio.abc.ReceiveStream, end: bytes) -> None:
    received = b""
    while end not in received:
        received += await stream.receive_some()


@needs_openssl
async def test_a_key_update_is_answered_in_line_with_the_frames() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        process = await trio.lowlevel.open_process(
            ["openssl", "s_client", "-brief", "-connect", f"{host}:{port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        await trio.lowlevel.wait_readable(listener)
        stream = accept(listener)
        try:
            with trio.fail_after(10):
                await stream.handshake()
                for number in range(3):
                    # OpenSSL's own client asks for an update with what it writes next.
                    await process.stdin.send_all(b"K\n")
                    await read_until(process.stderr, b"KEYUPDATE")
                    await process.stdin.send_all(b"heard\n")
                    assert await stream.receive_some() == b"heard\n"
                    stream.send_nowait(b"frame %d\n" % number)
                    await read_until(process.stdout, b"frame %d\n" % number)
        finally:
            stream.abort()
            process.kill()
            await process.wait()


async def test_a_peer_that_asks_for_answers_and_reads_none_is_cut_off() -> None:
    async with pair("tls") as (stream, _client):
        assert isinstance(stream, TlsStream)
        stream.send_nowait(b"x" * 400_000)
        waiting = len(stream._rest)
        # The record layer's answers are made by OpenSSL; here they are made by hand.
        for _ in range(limits.TLS_ANSWER_BYTES // 1000):
            stream._outgoing.write(b"a" * 1000)
            stream._answer_records()
        assert len(stream._rest) <= waiting + limits.TLS_ANSWER_BYTES
        stream._outgoing.write(b"a" * 1000)
        with pytest.raises(trio.BrokenResourceError):
            stream._answer_records()
        assert stream.fileno() == -1
