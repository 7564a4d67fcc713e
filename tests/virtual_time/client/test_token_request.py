"""Exchanging an API key, and dialling, against peers that answer in every way."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
import trio
import trustme
from trio.testing import MockClock

from ticker.client import AuthenticationError, Client, UntrustedServerError, connect
from ticker.client.connection import dial
from ticker.client.credentials import IssuedToken
from ticker.client.disconnects import ForeignAnswer, Retry
from ticker.client.limits import EXCHANGE_BYTES, EXCHANGE_SECONDS
from ticker.client.server_address import parse_address
from ticker.client.token_request import exchange_key

ADDRESS = parse_address("http://ticker.test:8081")
GOOD = {"token": "abc.def", "user_id": "user:demo", "role": "user", "expires_in": 3600}


async def exchange(response: httpx.Response) -> IssuedToken:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://ticker.test:8081/auth/token"
        assert json.loads(request.content) == {"api_key": "tk_canary"}
        return response

    return await exchange_key(ADDRESS, None, "tk_canary", transport=httpx.MockTransport(answer))


async def test_a_key_is_exchanged_for_a_token() -> None:
    issued = await exchange(httpx.Response(200, json=GOOD))
    assert (issued.value, issued.expires_in) == ("abc.def", 3600)
    assert "abc" not in repr(issued)


async def test_a_key_that_is_not_accepted_says_what_to_do_and_not_the_key() -> None:
    with pytest.raises(AuthenticationError, match="ticker keys create") as caught:
        await exchange(httpx.Response(401, json={"error": "invalid API key"}))
    assert "canary" not in str(caught.value)


async def test_a_busy_server_says_for_how_long() -> None:
    with pytest.raises(Retry) as caught:
        await exchange(httpx.Response(429, headers={"Retry-After": "12"}))
    assert caught.value.after_seconds == 12


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    with pytest.raises(ForeignAnswer):
        await exchange(httpx.Response(307, headers={"Location": "http://elsewhere.test/"}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff",
        b"{}",
        b'{"token":"a","expires_in":0}',
        b'{"token":"a\\r\\nX: y","expires_in":9}',
        b"[" * 50_000,
        b" " * (EXCHANGE_BYTES + 1),
    ],
)
async def test_an_answer_that_holds_no_token_is_that_of_another_server(body: bytes) -> None:
    with pytest.raises(ForeignAnswer):
        await exchange(httpx.Response(200, content=body))


async def test_an_exchange_that_takes_too_long_is_given_up(autojump_clock: MockClock) -> None:
    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await trio.sleep(1)
                yield b" "

    began = autojump_clock.current_time()
    with pytest.raises(Retry, match="no answer"):
        await exchange(httpx.Response(200, stream=Dripping()))
    assert autojump_clock.current_time() - began == pytest.approx(EXCHANGE_SECONDS)


@pytest.fixture
async def tls_port(nursery: trio.Nursery) -> int:
    """A server that speaks TLS with a certificate of an unknown authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def greet(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError:
            await trio.aclose_forcefully(stream)

    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, greet, listeners)
    listener = listeners[0].transport_listener
    assert isinstance(listener, trio.SocketListener)
    return int(listener.socket.getsockname()[1])


async def test_an_untrusted_certificate_is_no_passing_fault(tls_port: int) -> None:
    url = f"https://127.0.0.1:{tls_port}"
    with trio.fail_after(10):
        with pytest.raises(UntrustedServerError, match="ssl_context"):
            async with connect(url, api_key="tk_a_key"):
                pytest.fail("it must not be trusted")
        with pytest.raises(UntrustedServerError):
            await dial(parse_address(url), ssl.create_default_context())


async def test_a_refused_connection_is_tried_again() -> None:
    with pytest.raises(Retry, match="refused"):
        await dial(parse_address("http://127.0.0.1:1"), None)


@pytest.mark.parametrize(
    "stream",
    [
        lambda: connect("http://h"),
        lambda: connect("http://h", api_key="a", token="b"),
        lambda: connect("http://h", api_key=""),
        lambda: connect("http://h", token="two\r\nlines"),
        lambda: connect("http://h", api_key="a", ssl_context=ssl.create_default_context()),
        lambda: connect("gopher://h", api_key="a"),
    ],
)
async def test_arguments_that_make_no_sense_are_refused(
    stream: Callable[[], AbstractAsyncContextManager[Client]],
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        async with stream():
            pytest.fail("there is nothing to connect to")
