"""The HTTP side, row by row as the contract has it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.support.raw import RawStream, ask, connect, handshake, read_response
from tests.support.server import Server, create_key, key_id, started, ticker
from tests.support.waiting import wait_until
from ticker import limits
from ticker.security.keys import new_key

ERROR_TYPE = "application/json"


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """An HTTP client of the module's server."""
    with httpx.Client(base_url=server.url) as client:
        yield client


def exchanged(client: httpx.Client, api_key: str) -> httpx.Response:
    return client.post("/auth/token", json={"api_key": api_key})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# --- POST /auth/token ---


def test_a_key_is_exchanged_for_a_token(client: httpx.Client, server: Server) -> None:
    response = exchanged(client, server.api_key)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert set(answer) == {"token", "user_id", "role", "expires_in"}
    assert (answer["user_id"], answer["role"], answer["expires_in"]) == ("user:demo", "user", 3600)
    assert client.get("/prices", headers=bearer(answer["token"])).status_code == 200


def test_every_exchange_makes_another_token(server: Server) -> None:
    assert len({server.new_token() for _ in range(5)}) == 5


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"7", b"\xff\xfe", b'{"api_key":"x"', b"[" * 4000]
)
def test_what_is_no_json_object_is_invalid_json(client: httpx.Client, body: bytes) -> None:
    response = client.post("/auth/token", content=body)
    assert (response.status_code, response.json()) == (400, {"error": "invalid JSON"})


@pytest.mark.parametrize(
    "body", [{}, {"key": "x"}, {"api_key": ""}, {"api_key": None}, {"api_key": 7}, {"api_key": []}]
)
def test_an_object_without_a_key_asks_for_one(client: httpx.Client, body: dict[str, Any]) -> None:
    response = client.post("/auth/token", json=body)
    assert (response.status_code, response.json()) == (400, {"error": "api_key required"})


def test_the_content_type_does_not_matter(client: httpx.Client, server: Server) -> None:
    body = json.dumps({"api_key": server.api_key})
    for kind in (
        "text/plain",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
    ):
        response = client.post("/auth/token", content=body, headers={"Content-Type": kind})
        assert response.status_code == 200, kind


def test_unknown_revoked_and_expired_keys_are_refused_alike(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server, httpx.Client(base_url=server.url) as client:
        revoked, short = create_key(server, "ada"), create_key(server, "bob", "--expires", "1s")
        expired_at = time.monotonic() + 1
        assert exchanged(client, revoked).status_code == 200
        assert ticker(server.data_dir, "keys", "revoke", key_id(revoked)).returncode == 0
        wait_until(lambda: time.monotonic() > expired_at, "the key to expire")
        answers = set()
        for key in (new_key().text, revoked, short, "nonsense", short[:-1] + "!", "\u00e9" * 50):
            began = time.monotonic()
            response = exchanged(client, key)
            assert time.monotonic() - began >= limits.REFUSED_EXCHANGE_SECONDS
            answers.add((response.status_code, response.text))
        assert answers == {(401, '{"error":"invalid API key"}')}
        assert revoked not in server.output
        # The demo key has ended with the first real one.
        assert not (server.data_dir / "demo-api-key").exists()


def test_without_its_database_the_server_lives_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started("serve", data) as server, httpx.Client(base_url=server.url) as client:
        token, key = server.token(), server.api_key
        (data / "auth.db").rename(data / "away.db")
        response = exchanged(client, key)
        assert (response.status_code, response.json()) == (503, {"error": "database unavailable"})
        assert int(response.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200
        assert client.get("/prices", headers=bearer(token)).status_code == 200
        (data / "away.db").rename(data / "auth.db")
        assert exchanged(client, key).status_code == 200
        server.wait_metric('ticker_token_requests_refused_total{reason="database"}', 1)


def test_too_many_tries_are_told_when_to_come_back(tmp_path: Path) -> None:
    env = {"TICKER_AUTH_RATE": "3/minute"}
    with (
        started("serve", tmp_path / "data", env=env) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert [exchanged(client, server.api_key).status_code for _ in range(3)] == [200] * 3
        response = exchanged(client, server.api_key)
        assert response.status_code == 429
        assert set(response.json()) == {"error"}
        assert 1 <= int(response.headers["retry-after"]) <= 20
        assert client.get("/healthz").status_code == 200


def test_a_body_over_4_kib_is_too_large(client: httpx.Client) -> None:
    body = json.dumps({"api_key": "x" * limits.BODY_BYTES})
    response = client.post("/auth/token", content=body)
    assert response.status_code == 413
    assert set(response.json()) == {"error"}
    largest = json.dumps({"api_key": ""}).ljust(limits.BODY_BYTES)
    assert client.post("/auth/token", content=largest).json() == {"error": "api_key required"}


async def test_a_chunked_body_is_bounded_as_well(server: Server) -> None:
    body = json.dumps({"api_key": server.api_key}).encode()
    head = b"POST /auth/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    head += b"Connection: close\r\n\r\n"
    good = await ask(server, head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert good.status == 200
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    large = await ask(server, head + chunk * 5 + b"0\r\n\r\n")
    assert large.status == 413


def test_other_methods_are_not_allowed(client: httpx.Client) -> None:
    for method, path, allowed in (("GET", "/auth/token", "POST"), ("POST", "/prices", "GET")):
        response = client.request(method, path)
        assert (response.status_code, response.json()) == (405, {"error": "method not allowed"})
        assert allowed in response.headers["allow"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "BREW"])
def test_the_token_endpoint_says_what_it_allows(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/auth/token")
    assert response.status_code == (200 if method == "OPTIONS" else 405)
    assert set(response.headers["allow"].split(", ")) == {"OPTIONS", "POST"}


# --- the demo key ---


@pytest.mark.parametrize("path", ["/auth/demo", "/auth", "/auth/token", "/demo-api-key", "/"])
def test_no_path_gives_the_demo_key_away(client: httpx.Client, server: Server, path: str) -> None:
    response = client.get(path)
    assert server.api_key not in f"{response.headers} {response.text}"
    assert response.headers["content-type"].partition(";")[0] != "application/json" or (
        "api_key" not in response.text
    )


# --- prices ---


def test_the_latest_quotes_are_answered(client: httpx.Client, server: Server) -> None:
    answer = client.get("/prices", headers=bearer(server.token())).json()
    assert [quote["symbol"] for quote in answer["data"]] == ["BTC-USD", "ETH-USD", "SOL-USD"]
    quote = client.get("/prices/ETH-USD", headers=bearer(server.token())).json()
    assert quote["symbol"] == "ETH-USD"
    assert quote["price"] == pytest.approx(2500, rel=0.5)
    assert quote["timestamp"] == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("path", ["/prices", "/prices/BTC-USD", "/prices/BTC-USD/history"])
@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, "authentication required"),
        ({"Authorization": "Basic dTpw"}, "authentication required"),
        ({"Authorization": "Bearer"}, "authentication required"),
        ({"Authorization": "Bearer nonsense"}, "invalid token"),
        ({"Authorization": "Bearer " + "A" * 43 + "." + "A" * 43}, "invalid token"),
    ],
)
def test_prices_need_a_token(
    client: httpx.Client, path: str, headers: dict[str, str], error: str
) -> None:
    response = client.get(path, headers=headers)
    assert (response.status_code, response.json()) == (401, {"error": error})
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/prices/DOGE-USD", "/prices/DOGE-USD/history"])
def test_an_unknown_symbol_is_not_found(client: httpx.Client, server: Server, path: str) -> None:
    response = client.get(path, headers=bearer(server.token()))
    assert response.status_code == 404
    assert set(response.json()) == {"error"}


def test_history_is_one_second_bars_newest_last(client: httpx.Client, server: Server) -> None:
    def bars() -> list[list[float]] | None:
        path = "/prices/BTC-USD/history"
        answer = client.get(path, headers=bearer(server.token())).json()
        assert (answer["symbol"], answer["step_ms"]) == ("BTC-USD", 1000)
        found: list[list[float]] = answer["bars"]
        return found if len(found) >= 3 else None

    found = wait_until(bars, "three bars")
    times = [bar[0] for bar in found]
    assert times == sorted(set(times))
    assert all(time_ % 1000 == 0 for time_ in times)
    for _, opening, high, low, closing, volume in found:
        assert volume is None
        assert low <= min(opening, closing) <= max(opening, closing) <= high
    assert times[-1] == pytest.approx(time.time() * 1000, abs=3000)


def test_history_answers_for_many_symbols_at_any_step(client: httpx.Client, server: Server) -> None:
    def minutes() -> dict[str, Any] | None:
        asked = {"symbols": "ETH-USD,BTC-USD", "step": "1m", "limit": "60"}
        answer = client.get("/history", params=asked, headers=bearer(server.token())).json()
        assert answer["step_ms"] == 60_000
        found: dict[str, Any] = answer["bars"]
        return found if all(found.values()) else None

    found = wait_until(minutes, "a minute's bar of each")
    assert list(found) == ["ETH-USD", "BTC-USD"]
    begin = found["BTC-USD"][-1][0]
    asked = {"step": "1s", "from": str(begin), "to": str(begin + 60_000)}
    path = "/prices/BTC-USD/history"
    seconds = client.get(path, params=asked, headers=bearer(server.token())).json()["bars"]
    assert all(begin <= bar[0] < begin + 60_000 for bar in seconds)
    one = client.get(path, params=asked | {"limit": "1"}, headers=bearer(server.token())).json()
    assert len(one["bars"]) == 1


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("step=5s", "step must be one of 1s, 1m, 1h"),
        ("limit=0", "limit must be 1 or more"),
        ("limit=-1", "limit must be a whole number"),
        ("from=yesterday", "from must be a whole number of milliseconds"),
        ("to=1e3", "to must be a whole number of milliseconds"),
        ("step=1s&step=1m", "step is given 2 times"),
    ],
)
def test_a_history_that_cannot_be_is_a_bad_request(
    client: httpx.Client, server: Server, query: str, problem: str
) -> None:
    for path in (f"/prices/BTC-USD/history?{query}", f"/history?symbols=BTC-USD&{query}"):
        answer = client.get(path, headers=bearer(server.token()))
        assert (answer.status_code, answer.json()) == (400, {"error": problem})


@pytest.mark.parametrize(
    ("symbols", "status"),
    [
        ("", 400),
        ("BTC-USD,", 400),
        ("DOGE-USD", 404),
        (",".join(f"S{i}-USD" for i in range(501)), 400),
    ],
)
def test_histories_are_asked_for_by_symbols_that_there_are(
    client: httpx.Client, server: Server, symbols: str, status: int
) -> None:
    asked = {"symbols": symbols}
    answer = client.get("/history", params=asked, headers=bearer(server.token()))
    assert answer.status_code == status


def test_a_history_that_has_not_changed_is_not_sent_again(
    client: httpx.Client, server: Server
) -> None:
    path, headers = "/prices/BTC-USD/history", bearer(server.token())
    found = wait_until(
        lambda: bars if len(bars := client.get(path, headers=headers).json()["bars"]) > 3 else None,
        "some bars",
    )
    asked = {"from": str(found[0][0]), "to": str(found[-1][0])}
    first = client.get(path, params=asked, headers=headers)
    assert first.headers["Cache-Control"] == "private, no-cache"
    tag = first.headers["ETag"]
    again = client.get(path, params=asked, headers=headers | {"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == tag
    other = client.get(path, params=asked, headers=headers | {"If-None-Match": '"other"'})
    assert (other.status_code, other.json()) == (200, first.json())
    many = client.get("/history?symbols=BTC-USD&step=1h", headers=headers)
    reloaded = client.get(
        "/history?symbols=BTC-USD&step=1h",
        headers=headers | {"If-None-Match": many.headers["ETag"]},
    )
    assert reloaded.status_code == 304  # within a second, also where the last bar grows


@pytest.mark.parametrize(
    ("takes", "packed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("identity", False), ("gzip;q=0", False)],
)
def test_a_long_history_is_compressed_for_who_takes_it(
    client: httpx.Client, server: Server, takes: str, *, packed: bool
) -> None:
    asked = {"symbols": "BTC-USD,ETH-USD,SOL-USD"}
    headers = bearer(server.token()) | {"Accept-Encoding": takes}

    def long() -> httpx.Response | None:
        answer = client.get("/history", params=asked, headers=headers)
        return answer if len(answer.content) > 2000 else None

    answer = wait_until(long, "a long answer", seconds=60)
    assert (answer.headers.get("Content-Encoding") == "gzip") == packed
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert set(answer.json()["bars"]) == {"BTC-USD", "ETH-USD", "SOL-USD"}
    if packed:
        assert int(answer.headers["Content-Length"]) < len(answer.content) / 2


def test_what_the_policy_denies_is_forbidden(tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").write_text(
        """
        [policies.bitcoin]
        effect = "allow"
        actions = ["connect", "subscribe", "read"]
        resources = ["symbol:BTC-*"]
        [policies.nothing]
        effect = "deny"
        actions = ["*"]
        resources = ["*"]
        [roles.guest]
        policies = ["bitcoin"]
        [roles.barred]
        policies = ["nothing"]
        """
    )
    with started("serve", tmp_path / "data") as server, httpx.Client(base_url=server.url) as client:
        guest = server.new_token(create_key(server, "ada", "--role", "guest"))
        barred = server.new_token(create_key(server, "bob", "--role", "barred"))
        seen = client.get("/prices", headers=bearer(guest)).json()["data"]
        assert [quote["symbol"] for quote in seen] == ["BTC-USD"]
        assert client.get("/prices/BTC-USD", headers=bearer(guest)).status_code == 200
        for path, token in (
            ("/prices/ETH-USD", guest),
            ("/prices/ETH-USD/history", guest),
            ("/prices", barred),
            ("/prices/BTC-USD", barred),
        ):
            response = client.get(path, headers=bearer(token))
            assert (response.status_code, response.json()) == (403, {"error": "forbidden"}), path


# --- the page ---


@pytest.mark.parametrize("path", ["/", "/prices-of-today", "/deep/er", "/%2e%2e/x", "/index.html"])
def test_the_page_is_at_the_root_and_at_every_path_that_names_no_file(
    client: httpx.Client, path: str
) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "<html" in response.text


@pytest.mark.parametrize(
    "path",
    [
        "/absent.js",
        "/../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/..%2fpyproject.toml",
        "//etc/hosts.conf",
        "/x%00.js",
        "/a/b/c.png",
    ],
)
async def test_an_unknown_file_is_not_found(server: Server, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    response = await ask(server, request.encode())
    assert response.status == 404
    assert response.error == "not found"


def test_the_pages_files_come_with_their_types(client: httpx.Client) -> None:
    script = client.get("/main.js")
    assert script.status_code == 200
    assert "javascript" in script.headers["content-type"]
    again = client.get("/main.js", headers={"If-None-Match": script.headers["etag"]})
    assert again.status_code == 304
    assert client.get("/style.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("path", ["/", "/main.js", "/absent.js", "/healthz", "/prices", "/metrics"])
def test_security_headers_are_on_everything(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe" not in policy
    assert {word for word in policy.replace(";", " ").split() if word.startswith("'")} == {
        "'none'",
        "'self'",
    }
    assert "*" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


# --- operations ---


def test_health_readiness_and_metrics_are_open_to_all(client: httpx.Client, server: Server) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    found = server.metrics()
    for name in (
        "ticker_streams_open",
        "ticker_subscriptions",
        "ticker_streams_behind",
        "ticker_frames_sent_total",
        "ticker_frames_skipped_total",
        "ticker_ticks_total",
        "ticker_ticks_skipped_total",
        "ticker_fanout_seconds_count",
        "ticker_tokens_issued_total",
        'ticker_source_up{source="simulated"}',
        'ticker_source_restarts_total{source="simulated"}',
        'ticker_price_age_seconds{symbol="BTC-USD"}',
        "process_open_fds",
        "process_resident_memory_bytes",
    ):
        assert name in found, name
    for name in ("streams_closed", "handshakes_refused", "token_requests_refused"):
        assert f"# TYPE ticker_{name}_total counter" in response.text, name
    assert found['ticker_source_up{source="simulated"}'] == 1


def test_what_is_counted_is_counted(client: httpx.Client, server: Server) -> None:
    before = server.metrics()
    server.new_token()
    exchanged(client, "nonsense")
    after = server.metrics()
    assert after["ticker_tokens_issued_total"] - before["ticker_tokens_issued_total"] == 1
    name = 'ticker_token_requests_refused_total{reason="malformed"}'
    assert after[name] - before.get(name, 0) == 1
    assert after["ticker_ticks_total"] > before["ticker_ticks_total"]


# --- CORS ---


def test_no_other_origin_is_allowed_by_default(client: httpx.Client) -> None:
    response = client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers


def test_listed_origins_may_ask_for_tokens_and_prices(tmp_path: Path) -> None:
    origin = "https://app.example"
    env = {"TICKER_ALLOWED_ORIGINS": f"{origin},https://other.example"}
    with (
        started("serve", tmp_path / "data", env=env) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        for method, path in (("POST", "/auth/token"), ("GET", "/prices")):
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization,content-type,last-event-id",
            }
            response = client.options(path, headers=asked)
            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == origin
            assert method in response.headers["access-control-allow-methods"]
            allowed = response.headers["access-control-allow-headers"].lower()
            names = {"authorization", "content-type", "last-event-id"}
            assert names <= set(allowed.replace(" ", "").split(","))
        for asks, may in ((origin, True), ("https://evil.example", False)):
            response = client.get("/prices", headers={"Origin": asks, **bearer(server.token())})
            assert (response.headers.get("access-control-allow-origin") == asks) is may
            assert (response.headers.get("access-control-expose-headers") == "retry-after") is may


# --- connections ---


def test_a_connection_is_kept_for_many_requests(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(5):
            assert client.get("/healthz").status_code == 200
        server.wait_metric("ticker_connections_open", 2)


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    request = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = b""
    async with await connect(server) as stream:
        await stream.send_all(request % b"healthz" + request % b"absent.js" + last)
        with trio.fail_after(5):
            while more := await stream.receive_some():
                answers += more
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"404", b"200"]


async def test_a_stream_may_follow_on_a_connection_that_was_used_before(server: Server) -> None:
    async with await connect(server) as stream:
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        response, _ = await read_response(stream)
        assert response.status == 200
        await stream.send_all(handshake(server, server.token()))
        response, rest = await read_response(stream)
        assert response.status == 101
        opened = RawStream(stream, response, rest)
        assert (await opened.message())["type"] == "welcome"
        for _ in range(5):
            await opened.until("ticker")
