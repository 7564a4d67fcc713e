"""A server that others can reach: whom it believes, and what it refuses to start with."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.raw import RawResponse, ask, handshake, opened
from tests.support.server import (
    LAUNCHES,
    Launch,
    Server,
    script,
    started,
    ticker,
)
from tests.support.waiting import eventually

LISTED: Final = "https://app.example,https://app.example:8443,http://[2001:db8::1]:8080"
#: Documentation addresses (RFC 5737, RFC 3849).
ADA, BOB, SIX, SIX_TOO = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that clients reach directly, with a list of origins."""
    directory = tmp_path_factory.mktemp("direct")
    env = {
        "TICKER_ALLOWED_ORIGINS": LISTED,
        "TICKER_TOKEN_FROM": "header,subprotocol,query,cookie",
        "TICKER_AUTH_RATE": "0",
    }
    with started("serve", directory / "data", env=env) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind one proxy that it trusts."""
    directory = tmp_path_factory.mktemp("proxied")
    env = {
        "TICKER_TRUSTED_HOPS": "1",
        "TICKER_AUTH_RATE": "3/hour",
        "TICKER_REFUSED_RATE": "3/hour",
        "TICKER_MAX_STREAMS_PER_ADDRESS": "1",
    }
    with started("serve", directory / "data", env=env) as server:
        yield server


async def status_of(server: Server, token: str, headers: Mapping[str, str | None]) -> int:
    return (await ask(server, handshake(server, token, headers=headers))).status


# --- origins ---


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("a.example", "http://a.example", 101),
        ("a.example:80", "http://a.example", 101),
        ("A.EXAMPLE", "http://a.example", 101),
        ("[::1]:8081", "http://[::1]:8081", 101),
        ("a.example", "https://app.example", 101),
        ("a.example", "https://app.example:443", 101),
        ("a.example", "https://app.example:8443", 101),
        ("a.example", "http://[2001:db8::1]:8080", 101),
        # scheme and port
        ("a.example", "https://a.example", 403),
        ("a.example", "http://a.example:81", 403),
        ("a.example", "http://app.example", 403),
        ("a.example", "https://app.example:8444", 403),
        ("a.example", "http://[2001:db8::1]:8081", 403),
        ("[::1]:8081", "http://[::2]:8081", 403),
        # suffixes, prefixes, parts
        ("a.example", "http://evil-a.example", 403),
        ("a.example", "http://x.a.example", 403),
        ("a.example", "http://a.example.evil.example", 403),
        ("a.example", "http://a.exampl", 403),
        ("a.example", "http://evil.example/?http://a.example", 403),
        ("a.example", "http://a.example@evil.example", 403),
        ("a.example", "https://app.example.", 403),
        ("a.example", "https://app.example, https://evil.example", 403),
        ("a.example", "https://app.example https://evil.example", 403),
        # no origin at all in a browser's words
        ("a.example", "null", 403),
        ("a.example", "NULL", 403),
        ("a.example", "", 403),
        ("a.example", "*", 403),
        ("a.example", "file://", 403),
    ],
)
async def test_only_exact_origins_may_connect(
    direct: Server, host: str, origin: str, status: int
) -> None:
    assert await status_of(direct, direct.token(), {"Host": host, "Origin": origin}) == status


async def test_what_a_client_says_of_proxies_is_not_believed_where_there_is_none(
    direct: Server,
) -> None:
    for headers in (
        {"X-Forwarded-Proto": "https", "Host": "a.example", "Origin": "https://a.example"},
        {"X-Forwarded-Host": "evil.example", "Origin": "http://evil.example"},
        {"Forwarded": "host=evil.example;proto=http", "Origin": "http://evil.example"},
    ):
        assert await status_of(direct, direct.token(), headers) == 403
    await ask(direct, handshake(direct, headers={"X-Forwarded-For": ADA}))
    assert ADA not in direct.output


async def test_two_tokens_are_refused_wherever_they_are(direct: Server) -> None:
    one, two = direct.token(), direct.new_token()
    more = {"Sec-WebSocket-Protocol": f"ticker.v1, bearer.{two}"}
    for path, headers in (
        ("/ws/ticker", more),
        ("/ws/ticker", {"Cookie": f"x-auth-token={two}"}),
        ("/ws/ticker", {"Cookie": f"x-auth-token={one}"}),
        (f"/ws/ticker?x-auth-token={two}", {}),
        (f"/ws/ticker?x-auth-token={two}&x-auth-token={two}", {"Authorization": None}),
        (f"/ws/ticker?x-auth-token={two}", {**more, "Authorization": None}),
    ):
        response = await ask(direct, handshake(direct, one, path=path, headers=headers))
        assert (response.status, response.error) == (400, "more than one token"), (path, headers)
        assert two not in repr(response.headers)


# --- behind a proxy ---


async def test_behind_a_proxy_the_page_is_where_the_proxy_says(proxied: Server) -> None:
    token = proxied.token()
    for proto, origin, status in (
        ("https", "https://a.example", 101),
        ("https", "http://a.example", 403),
        ("http", "http://a.example", 101),
        # The proxy adds its word at the end; what stands before may be made up.
        ("https, http", "https://a.example", 403),
        ("http, https", "https://a.example", 101),
    ):
        headers = {"Host": "a.example", "Origin": origin, "X-Forwarded-Proto": proto}
        # Another address each time, for refusals are counted.
        headers["X-Forwarded-For"] = f"198.51.100.{len(proto) + 50 * (status == 101)}"
        assert await status_of(proxied, token, headers) == status, headers


def ask_for_token(server: Server, forwarded: str) -> tuple[int, dict[str, str]]:
    body = json.dumps({"api_key": server.api_key})
    headers = {"X-Forwarded-For": forwarded}
    return server.request("POST", "/auth/token", body=body, headers=headers)[:2]


def test_token_requests_are_limited_by_the_address_that_the_proxy_saw(proxied: Server) -> None:
    proxied.token()
    assert [ask_for_token(proxied, ADA)[0] for _ in range(3)] == [200] * 3
    for forwarded in (ADA, f"{BOB}, {ADA}", f"x, {ADA}", f"{ADA},{ADA}"):
        status, headers = ask_for_token(proxied, forwarded)
        assert status == 429
        assert 0 < int(headers["retry-after"]) <= 1200
    assert ask_for_token(proxied, BOB)[0] == 200
    proxied.wait_event("token_issued", count=5)
    assert {event["address"] for event in proxied.events("token_issued")} == {
        "127.0.0.1",
        ADA,
        BOB,
    }
    # One customer has a whole network in IPv6.
    statuses = [ask_for_token(proxied, address)[0] for address in (SIX, SIX_TOO) * 2]
    assert statuses == [200, 200, 200, 429]


async def test_refused_handshakes_are_limited_by_address(proxied: Server) -> None:
    async def refused(address: str) -> RawResponse:
        return await ask(proxied, handshake(proxied, headers={"X-Forwarded-For": address}))

    crowd = "203.0.113.1"
    assert [(await refused(crowd)).status for _ in range(3)] == [401] * 3
    response = await refused(crowd)
    assert (response.status, response.error) == (429, "too many refused handshakes")
    assert 0 < int(response.headers["retry-after"]) <= 1200

    def reasons() -> list[object]:
        refusals = proxied.events("handshake_refused")
        return [event["reason"] for event in refusals if event["address"] == crowd]

    # The answer may overtake the line in the log.
    await eventually(lambda: len(reasons()) == 4, "the last line")
    assert reasons() == ["no_token"] * 3 + ["refused_rate"]
    # A good token is never shut out, and elsewhere it counts for nothing.
    headers = {"X-Forwarded-For": crowd}
    assert await status_of(proxied, proxied.token(), headers) == 101
    assert (await refused("203.0.113.2")).status == 401
    assert await status_of(proxied, proxied.token(), {"X-Forwarded-For": "203.0.113.3"}) == 101


async def test_streams_are_limited_by_address(proxied: Server) -> None:
    token = proxied.token()
    first = {"X-Forwarded-For": "203.0.113.10"}
    async with opened(proxied, token, headers=first):
        assert await status_of(proxied, token, {"X-Forwarded-For": "203.0.113.10"}) == 429
        spoofed = {"X-Forwarded-For": "203.0.113.11, 203.0.113.10"}
        assert await status_of(proxied, token, spoofed) == 429
        async with opened(proxied, token, headers={"X-Forwarded-For": "203.0.113.11"}):
            pass


# --- what is only good for development ---


def exposed(launch: Launch, address: str) -> list[str]:
    """Return the command that listens beyond this machine."""
    if launch == "serve":
        return [script("ticker"), "serve", "--host", address, "--port", "0"]
    bind = f"[{address}]:0" if ":" in address else f"{address}:0"
    return [script("hypercorn"), "--worker-class", "trio", "--bind", bind, "ticker.asgi:app"]


@pytest.mark.parametrize("launch", LAUNCHES)
@pytest.mark.parametrize("address", ["0.0.0.0", "::"])  # noqa: S104 - refused
def test_what_is_good_for_development_only_is_refused_where_others_reach_it(
    tmp_path: Path, launch: Launch, address: str
) -> None:
    command = exposed(launch, address)
    with started(launch, tmp_path / "data", command=command, listen=False) as server:
        server.wait(20)
    assert f"{address} can be reached from other machines" in server.output
    for mend in ("ticker keys create", "TICKER_TOKEN_KEY", "TICKER_ALLOW_INSECURE=true"):
        assert mend in server.output
    assert "demo_api_key" not in server.output


@pytest.mark.parametrize("launch", LAUNCHES)
def test_with_keys_of_its_own_it_starts_there(tmp_path: Path, launch: Launch) -> None:
    data = tmp_path / "data"
    made = ticker(data, "keys", "create", "ada")
    assert made.returncode == 0, made.stderr
    command = exposed(launch, "0.0.0.0")  # noqa: S104 - the subject
    short = {"TICKER_TOKEN_KEY": "short"}
    with started(launch, data, command=command, env=short, listen=False) as server:
        server.wait(20)
    assert "make TICKER_TOKEN_KEY 32 random bytes or longer" in server.output
    env = {"TICKER_TOKEN_KEY": secrets.token_hex(32)}
    with started(launch, data, command=command, env=env) as server:
        assert server.new_token(made.stdout.strip())


@pytest.mark.parametrize("launch", LAUNCHES)
def test_who_insists_gets_the_demo_key_there_too(tmp_path: Path, launch: Launch) -> None:
    command = exposed(launch, "0.0.0.0")  # noqa: S104 - the subject
    env = {"TICKER_ALLOW_INSECURE": "true"}
    with started(launch, tmp_path / "data", command=command, env=env) as server:
        assert server.new_token(server.api_key)
