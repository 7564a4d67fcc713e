"""The stream over TLS: the same as over TCP."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
import websockets.exceptions
import websockets.sync.client
from websockets.sync.client import ClientConnection

from tests.support.raw import handshake
from tests.support.server import Server, started
from tests.support.waiting import wait_until
from ticker import limits


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(tmp_path: Path, authority: trustme.CA) -> Iterator[Server]:
    """A server that speaks TLS."""
    certificate = authority.issue_cert("127.0.0.1")
    names = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(names[0])
    certificate.private_key_pem.write_to_path(names[1])
    args = ["--certfile", str(names[0]), "--keyfile", str(names[1])]
    with started("hypercorn", tmp_path / "data", args=args) as server:
        yield server


@pytest.fixture
def stream(secure: Server, authority: trustme.CA) -> Iterator[ClientConnection]:
    """A stream of the `websockets` library's."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with httpx.Client(base_url=secure.url, verify=context) as client:
        token = client.post("/auth/token", json={"api_key": secure.api_key}).json()["token"]
    url = f"wss://127.0.0.1:{secure.port}/ws/ticker"
    headers = {"Authorization": f"Bearer {token}"}
    with websockets.sync.client.connect(url, ssl=context, additional_headers=headers) as stream:
        yield stream


def test_a_client_is_given_no_session_ticket_and_connects_again_all_the_same(
    secure: Server, authority: trustme.CA
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", secure.port), 5) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as stream,
        ):
            stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert stream.recv(1000).startswith(b"HTTP/1.1 200")
            assert stream.version() == "TLSv1.3"
            # What a ticket would have brought by now.
            assert stream.session is not None
            assert not stream.session.has_ticket


def test_nothing_of_a_subscription_follows_its_end(stream: ClientConnection) -> None:
    assert json.loads(stream.recv(5))["type"] == "welcome"
    for _ in range(limits.MESSAGES_BURST // 2 - 1):
        stream.send('{"type":"unsubscribe"}')
        while (kind := json.loads(stream.recv(5))["type"]) != "unsubscribed":
            assert kind == "ticker"
        stream.send('{"type":"subscribe"}')
        assert json.loads(stream.recv(5))["type"] == "subscribed"
        assert json.loads(stream.recv(5))["snapshot"] is True


def test_a_drain_says_closing(secure: Server, stream: ClientConnection) -> None:
    stream.recv(5)
    secure.send_signal(signal.SIGTERM)
    messages: list[str | bytes] = []
    with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
        messages.extend(stream)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012
    assert json.loads(messages[-1])["type"] == "closing"
    assert secure.wait() == 0


def test_a_reader_that_has_stalled_is_reset(secure: Server, authority: trustme.CA) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with httpx.Client(base_url=secure.url, verify=context) as client:
        token = client.post("/auth/token", json={"api_key": secure.api_key}).json()["token"]

        def stalled() -> bool:
            return "ticker_streams_stalled_total 1.0" in client.get("/metrics").text

        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            raw.settimeout(10)
            raw.connect(("127.0.0.1", secure.port))
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as stream:
                stream.sendall(handshake(secure, token))
                assert stream.recv(12) == b"HTTP/1.1 101"
                wait_until(stalled, "the end", seconds=limits.STALL_SECONDS + 20)
