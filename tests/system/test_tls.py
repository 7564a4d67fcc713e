"""The stream over TLS: the same as over TCP."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme
import websockets.exceptions
import websockets.sync.client
from cryptography.hazmat.primitives import serialization
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


def _files(directory: Path, authority: trustme.CA) -> dict[str, str]:
    """Write a certificate, its key, another key, its key encrypted, and what is none of these."""
    certificate, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    pem = certificate.private_key_pem.bytes()
    key = serialization.load_pem_private_key(pem, None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    pkcs8 = serialization.PrivateFormat.PKCS8
    contents = {
        "certificate": certificate.cert_chain_pems[0].bytes(),
        "key": pem,
        "other": other.private_key_pem.bytes(),
        "encrypted": key.private_bytes(serialization.Encoding.PEM, pkcs8, encryption),
        "empty": b"",
    }
    for name, content in contents.items():
        (directory / f"{name}.pem").write_bytes(content)
    (directory / "directory.pem").mkdir()
    return {name: f"{name}.pem" for name in (*contents, "directory", "absent")}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ("--certfile {certificate}", "--certfile: TLS needs both --certfile and --keyfile"),
        ("--keyfile {key}", "--keyfile: TLS needs both --certfile and --keyfile"),
        ("--ca-certs {certificate}", "--ca-certs: TLS needs both"),
        ("--certfile {absent} --keyfile {key}", "absent.pem: No such file or directory"),
        ("--certfile {certificate} --keyfile {directory}", "directory.pem: Is a directory"),
        ("--certfile {certificate} --keyfile {empty}", "certificate.pem, empty.pem: not all"),
        ("--certfile {certificate} --keyfile {other}", "the key in other.pem is of another"),
        ("--certfile {certificate} --keyfile {encrypted}", "encrypted.pem is encrypted: give"),
        (
            "--certfile {certificate} --keyfile {encrypted} --keyfile-password wrong",
            "encrypted.pem is encrypted: give",
        ),
        ("--certfile {certificate} --keyfile {key} --ca-certs {absent}", "absent.pem: No such"),
        ("--certfile {certificate} --keyfile {key} --ciphers none", "No cipher can be selected"),
    ],
)
def test_tls_that_cannot_be_is_refused_with_what_is_wrong(
    tmp_path: Path, authority: trustme.CA, args: str, text: str
) -> None:
    options = args.format(**_files(tmp_path, authority)).split()
    with started("hypercorn", tmp_path / "data", args=options, listen=False) as server:
        assert server.wait(60) != 0
    assert text in server.wait_event("start_refused")["error"]
    assert not (tmp_path / "data").exists()


def test_a_certificate_that_has_run_out_is_warned_of(tmp_path: Path, authority: trustme.CA) -> None:
    names = _files(tmp_path, authority)
    past = datetime.now(UTC) - timedelta(days=1)
    old = authority.issue_cert("127.0.0.1", not_after=past)
    old.cert_chain_pems[0].write_to_path(tmp_path / "old.pem")
    old.private_key_pem.write_to_path(tmp_path / names["key"])
    args = ["--certfile", "old.pem", "--keyfile", names["key"]]
    with started("hypercorn", tmp_path / "data", args=args) as server:
        assert server.wait_event("certificate_not_valid")["path"] == "old.pem"
