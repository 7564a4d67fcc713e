"""Whom an address's limits shut out, and whom they must not, over IPv4 and IPv6."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.support.raw import ask, handshake, opened
from tests.support.server import Server, create_key, script, started
from tests.support.waiting import eventually

FOREIGN: Final = "https://evil.example"
FORGED: Final = "A" * 43 + "." + "A" * 43
ADA, BOB = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on both families of addresses, with tight limits."""
    command = [script("ticker"), "serve", "--host", "::", "--port", "0"]
    env = {"TICKER_ALLOW_INSECURE": "true", "TICKER_AUTH_RATE": "3/hour"}
    data = tmp_path_factory.mktemp("dual") / "data"
    with started("serve", data, command=command, env=env) as server:
        yield server


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Server]:
    """A server behind one proxy, that forgives an address three refusals and three exchanges."""
    env = {
        "TICKER_TRUSTED_HOPS": "1",
        "TICKER_AUTH_RATE": "3/hour",
        "TICKER_REFUSED_RATE": "3/hour",
    }
    with started("serve", tmp_path / "data", env=env) as server:
        yield server


def post(
    server: Server, host: str, headers: Mapping[str, str] | None = None, source: str | None = None
) -> int:
    """Ask for a token at an address, from an address; return the status."""
    connection = http.client.HTTPConnection(
        host, server.port, timeout=10, source_address=(source, 0) if source else None
    )
    try:
        body = json.dumps({"api_key": server.api_key})
        connection.request("POST", "/auth/token", body, {"Connection": "close", **(headers or {})})
        return connection.getresponse().status
    finally:
        connection.close()


def by(address: str, **more: str) -> dict[str, str]:
    """Make the headers of a request that a proxy passed on for an address."""
    return {"X-Forwarded-For": address, **more}


# --- addresses ---


def test_http_is_limited_by_address_over_both_families(dual: Server) -> None:
    assert [post(dual, "::1") for _ in range(4)] == [200] * 3 + [429]
    # One client over IPv4 locks out no other, though both come to an IPv6 socket.
    assert [post(dual, "127.0.0.1", source="127.0.0.2") for _ in range(4)] == [200] * 3 + [429]
    assert [post(dual, "127.0.0.1", source="127.0.0.3") for _ in range(4)] == [200] * 3 + [429]
    dual.wait_event("token_issued", count=9)
    assert {event["address"] for event in dual.events("token_issued")} == {
        "::1",
        "127.0.0.2",
        "127.0.0.3",
    }


async def test_a_stream_tells_the_address_of_either_family(dual: Server) -> None:
    token = json.loads(_post_body(dual, "127.0.0.9"))["token"]
    for host, address in (("::1", "::1"), ("127.0.0.1", "127.0.0.1")):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as connection:
            connection.connect((host, dual.port))
            connection.sendall(handshake(dual, token))
            assert b" 101 " in connection.recv(64)

        def told(address: str = address) -> bool:
            return any(e["address"] == address for e in dual.events("stream_opened"))

        await eventually(told, f"a stream from {address}")


def _post_body(server: Server, source: str) -> bytes:
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=10, source_address=(source, 0)
    )
    try:
        body = json.dumps({"api_key": server.api_key})
        connection.request("POST", "/auth/token", body, {"Connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "spellings",
    [
        [{"X-Forwarded-For": f"{ADA}:{port}"} for port in range(4)],
        [{"X-Forwarded-For": f"[2001:db8::{host}]:443"} for host in range(1, 5)],
        [{"X-Forwarded-For": f"::ffff:{ADA}"}, {"X-Forwarded-For": ADA}] * 2,
        [{"Forwarded": f'for="[2001:db8:0:0:{host}::]:80"'} for host in range(1, 5)],
        [{"Forwarded": f'For="{ADA}:{port}";proto=https, for=' + ADA} for port in range(4)],
        [{"Forwarded": f"for=10.0.0.{n}, for=_hidden{n}"} for n in range(4)],
        [{"X-Forwarded-For": ADA, "Forwarded": f"for=10.0.0.{n}"} for n in range(4)],
    ],
    ids=["ports", "v6", "mapped", "forwarded-v6", "forwarded-v4", "hidden", "disagree"],
)
def test_no_spelling_of_an_address_gets_past_its_limit(
    strict: Server, spellings: list[dict[str, str]]
) -> None:
    statuses = [post(strict, "127.0.0.1", headers) for headers in spellings]
    assert statuses == [200] * 3 + [429]
    assert post(strict, "127.0.0.1", by("203.0.113.77")) == 200


def test_with_two_trusted_hops_the_second_from_the_right_counts(tmp_path: Path) -> None:
    env = {"TICKER_TRUSTED_HOPS": "2", "TICKER_AUTH_RATE": "3/hour"}
    with started("serve", tmp_path / "data", env=env) as server:
        for made_up in range(3):
            headers = by(f"10.9.9.{made_up}, {ADA}, 10.0.0.{made_up}")
            assert post(server, "127.0.0.1", headers) == 200
        assert post(server, "127.0.0.1", by(f"{ADA}, 10.0.0.9")) == 429
        assert post(server, "127.0.0.1", by(f"{BOB}, 10.0.0.9")) == 200
        # One proxy was passed by: it is the peer that asks.
        assert post(server, "127.0.0.1", by(ADA)) == 200
        assert server.wait_event("token_issued", count=5)["address"] == "127.0.0.1"


# --- other pages, other clients of the same address ---


async def test_a_foreign_page_cannot_lock_its_visitors_out(strict: Server) -> None:
    visitor = by(ADA)
    for _ in range(4):
        assert post(strict, "127.0.0.1", by(ADA, Origin=FOREIGN)) == 403
        assert post(strict, "127.0.0.1", by(ADA, Origin="null")) == 403

    async def open_from_elsewhere(token: str | None) -> None:
        headers = by(ADA, Origin=FOREIGN)
        response = await ask(strict, handshake(strict, token, headers=headers))
        assert response.status == (403 if token else 401)

    async with trio.open_nursery() as nursery:
        for number in range(101):
            nursery.start_soon(open_from_elsewhere, FORGED if number % 2 else None)
    # What a page may have fetched without asking: no upgrade, no origin, no token.
    for path, status in (("/ws/ticker", 426), ("/prices", 401)):
        for _ in range(5):
            assert strict.request("GET", path, headers=visitor)[0] == status
    # Its own page: a token, one mistake, a stream.
    assert post(strict, "127.0.0.1", visitor) == 200
    assert (await ask(strict, handshake(strict, FORGED, headers=visitor))).status == 401
    async with opened(strict, strict.token(), headers=visitor) as stream:
        assert (await stream.message())["type"] == "welcome"


async def test_bad_tokens_over_http_and_in_handshakes_count_together(strict: Server) -> None:
    good, bad = f"Bearer {strict.token()}", f"Bearer {FORGED}"
    for path in ("/prices", "/prices/BTC-USD"):
        status, headers, _ = strict.request("GET", path, headers=by(ADA, Authorization=bad))
        assert (status, headers["www-authenticate"]) == (
            401,
            'Bearer realm="ticker", error="invalid_token"',
        )
    assert (await ask(strict, handshake(strict, FORGED, headers=by(ADA)))).status == 401
    assert (await ask(strict, handshake(strict, FORGED, headers=by(ADA)))).status == 429
    status, headers, _ = strict.request("GET", "/prices", headers=by(ADA, Authorization=bad))
    assert status == 429
    assert 0 < int(headers["retry-after"]) <= 1200
    assert strict.request("GET", "/prices", headers=by(ADA, Authorization=good))[0] == 200
    assert strict.request("GET", "/prices", headers=by(BOB, Authorization=bad))[0] == 401
    strict.wait_metric('ticker_requests_refused_total{reason="invalid_token"}', 3)
    strict.wait_metric('ticker_requests_refused_total{reason="refused_rate"}', 1)

    def reasons() -> list[object]:
        return [e["reason"] for e in strict.events("request_refused") if e["address"] == ADA]

    await eventually(lambda: len(reasons()) == 3, "the last line")
    assert reasons() == ["invalid_token"] * 2 + ["refused_rate"]


def test_two_tokens_over_http_are_refused(strict: Server) -> None:
    with socket.create_connection(("127.0.0.1", strict.port)) as connection:
        line = f"Authorization: Bearer {strict.token()}\r\n"
        request = f"GET /prices HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}{line}\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"more than one token" in answer


# --- one key from many addresses ---


async def test_one_key_from_ten_networks_takes_no_more_than_its_share(tmp_path: Path) -> None:
    env = {
        "TICKER_TRUSTED_HOPS": "1",
        "TICKER_MAX_STREAMS": "40",
        "TICKER_MAX_STREAMS_PER_KEY": "20",
        "TICKER_MAX_STREAMS_PER_TOKEN": "3",
        "TICKER_AUTH_RATE": "0",
    }
    with started("serve", tmp_path / "data", env=env) as server:
        bob = create_key(server, "bob")
        greedy = create_key(server, "eve")
        statuses: list[int] = []
        async with AsyncExitStack() as held:
            for network in range(10):
                token = server.new_token(greedy)
                headers = by(f"2001:db8:0:{network}::1")
                for _ in range(3):
                    request = handshake(server, token, headers=headers)
                    if len(statuses) < 20:
                        await held.enter_async_context(opened(server, token, headers=headers))
                        statuses.append(101)
                    else:
                        response = await ask(server, request)
                        statuses.append(response.status)
                        assert response.headers["retry-after"]
            assert statuses == [101] * 20 + [429] * 10
            await held.enter_async_context(opened(server, server.new_token(bob)))
