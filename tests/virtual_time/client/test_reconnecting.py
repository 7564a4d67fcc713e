"""What the client does when a connection ends, for each way it can end."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from ticker.client import (
    AuthenticationError,
    Client,
    Closing,
    Disconnected,
    ForbiddenError,
    Message,
    ProtocolError,
    Reconnected,
    State,
    Subscribed,
    Ticker,
    UnreachableError,
    Unsubscribed,
    Welcome,
)
from ticker.client.disconnects import ForeignAnswer, Retry
from ticker.client.requests import Subscribe, Unsubscribe

if TYPE_CHECKING:
    from tests.virtual_time.client.conftest import Peer, Script, Session

Upto = Callable[[Client, type[Message]], Awaitable[Message]]


async def steady(session: Session) -> None:
    await session.welcome()
    await session.serve()


def closing_with(code: int) -> Script:
    async def script(session: Session) -> None:
        await session.welcome()
        await session.close(code)

    return script


def rejecting_with(status: int, **headers: str) -> Script:
    async def script(session: Session) -> None:
        lines = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        await session.handshake.reject(status, extra_headers=lines, body=b'{"error":"no"}')

    return script


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011, 1012, 4101, 4199])
async def test_a_close_code_of_the_passing_classes_is_followed_by_a_new_connection(
    autojump_clock: MockClock, peer: Peer, upto: Upto, code: int
) -> None:
    peer.plan(closing_with(code), steady)
    async with peer.client() as client:
        await upto(client, Welcome)
        await upto(client, Welcome)
        assert str(code) in (client.statistics().last_fault or "")
    assert len(peer.sessions) == 2
    assert len(peer.keys) == 1, "a good token is used again"


@pytest.mark.parametrize("code", [4000, 4029, 4042])
async def test_a_terminal_close_code_is_raised_where_one_iterates(
    autojump_clock: MockClock, peer: Peer, code: int
) -> None:
    peer.plan(closing_with(code))
    async with peer.client() as client:
        with pytest.raises(ProtocolError) as caught:
            async for _ in client:
                pass
        assert caught.value.code == code
        assert client.state is State.CLOSED
        with pytest.raises(ProtocolError):
            await client.ping()
    assert len(peer.attempts) == 1


async def test_a_token_ended_by_the_server_is_replaced_once_where_there_is_a_key(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    peer.plan(closing_with(4001), steady)
    async with peer.client() as client:
        await upto(client, Welcome)
        await upto(client, Welcome)
    assert [session.token for session in peer.sessions] == ["token-1", "token-2"]


async def test_a_new_token_that_fares_no_better_ends_the_client(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.plan(closing_with(4001))
    async with peer.client() as client:
        with pytest.raises(AuthenticationError, match="newly issued"):
            async for _ in client:
                pass
    assert len(peer.keys) == 2


async def test_a_revoked_key_ends_the_client_at_the_exchange(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.plan(closing_with(4001))
    peer.exchanges.extend([3600.0, AuthenticationError("the key is revoked")])
    async with peer.client() as client:
        with pytest.raises(AuthenticationError, match="revoked"):
            async for _ in client:
                pass


async def test_a_token_without_a_key_cannot_be_replaced(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.plan(closing_with(4001))
    async with peer.client(token="given") as client:
        with pytest.raises(AuthenticationError, match="api_key") as caught:
            async for _ in client:
                pass
    assert "given" not in str(caught.value)
    assert peer.sessions[0].token == "given"


async def test_a_stable_stream_earns_another_new_token(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def revoked_later(session: Session) -> None:
        await session.welcome()
        await trio.sleep(20.5)  # not while a ping of the client is on its way
        await session.close(4001)

    peer.plan(closing_with(4001), revoked_later, steady)
    async with peer.client() as client:
        for _ in range(3):
            await upto(client, Welcome)
    assert len(peer.keys) == 3


async def test_a_handshake_refused_with_401_is_tried_again_with_a_new_token(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.plan(rejecting_with(401), steady)
    async with peer.client():
        pass
    assert [session.token for session in peer.sessions] == ["token-1", "token-2"]


async def test_a_forbidden_stream_raises_on_entering(autojump_clock: MockClock, peer: Peer) -> None:
    peer.plan(rejecting_with(403))
    with pytest.raises(ForbiddenError):
        async with peer.client():
            pytest.fail("there is no stream")


async def test_a_server_that_is_none_of_ours_raises_on_entering(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.plan(rejecting_with(404))
    with pytest.raises(ProtocolError, match="URL") as caught:
        async with peer.client():
            pytest.fail("there is no stream")
    assert caught.value.code == 404


@pytest.mark.parametrize("status", [200, 302, 404])
async def test_the_page_of_a_proxy_between_two_streams_is_no_end(
    autojump_clock: MockClock, peer: Peer, upto: Upto, status: int
) -> None:
    away = rejecting_with(status)
    peer.plan(closing_with(1012), *[away] * 5, steady)
    async with peer.client() as client:
        await upto(client, Welcome)
        await upto(client, Welcome)
        assert str(status) in (client.statistics().last_fault or "")


async def test_the_page_of_a_proxy_in_place_of_a_token_is_no_end_between_two_streams(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    peer.plan(closing_with(4001), steady)
    peer.exchanges.extend([3600.0, *[ForeignAnswer("holds no token", 200)] * 5, 3600.0])
    async with peer.client() as client:
        await upto(client, Welcome)
        await upto(client, Welcome)
    peer.exchanges.append(ForeignAnswer("holds no token", 200))
    with pytest.raises(ProtocolError, match="check the URL"):
        async with peer.client():
            pytest.fail("there is no stream")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_full_server_is_tried_again_no_sooner_than_it_asks(
    autojump_clock: MockClock, peer: Peer, status: int
) -> None:
    peer.plan(rejecting_with(status, Retry_After="7"), steady)
    async with peer.client():
        pass
    assert 7.0 <= peer.attempts[1] - peer.attempts[0] <= 7.5


async def test_a_restarting_server_is_left_alone_for_as_long_as_it_asks(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def restarting(session: Session) -> None:
        await session.welcome()
        await session.send(type="closing", code=1012, retry_after_ms=2734)
        await session.close(1012)

    peer.plan(restarting, steady)
    async with peer.client() as client:
        await upto(client, Welcome)
        await upto(client, Welcome)
    assert 2.734 <= peer.attempts[1] - peer.attempts[0] <= 3.234


async def test_a_server_that_is_away_is_asked_ever_more_rarely_until_it_is_back(
    autojump_clock: MockClock, peer: Peer, upto: Upto, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopping(session: Session) -> None:
        await session.welcome()
        peer.accepting = False

    monkeypatch.setattr("random.random", lambda: 0.5)
    peer.plan(stopping, steady)
    async with peer.client() as client:
        await upto(client, Welcome)
        await trio.sleep(100)
        assert client.state is State.WAITING
        peer.accepting = True
        await client.ping()
        assert client.statistics().state is State.OPEN
    gaps = [
        later - earlier for earlier, later in zip(peer.attempts, peer.attempts[1:], strict=False)
    ]
    assert gaps == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 15, 15, 15, 15, 15, 15])


async def test_a_connection_that_never_lasts_does_not_reset_the_backoff(
    autojump_clock: MockClock, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.5)
    peer.plan(closing_with(1011))
    async with peer.client():
        await trio.sleep(60)
    assert 6 <= len(peer.attempts) <= 9


async def test_a_stable_connection_resets_the_backoff(
    autojump_clock: MockClock, peer: Peer, upto: Upto, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lasting(session: Session) -> None:
        await session.welcome()
        await trio.sleep(11)

    monkeypatch.setattr("random.random", lambda: 0.5)
    peer.plan(*[closing_with(1011)] * 5, lasting, steady)
    async with peer.client() as client:
        for _ in range(7):
            await upto(client, Welcome)
    assert peer.attempts[6] - peer.attempts[5] == pytest.approx(11.25)


async def test_a_silent_path_is_given_up_and_replaced(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def half_open(session: Session) -> None:
        await session.welcome()
        await trio.sleep(7.3)
        session.fall_silent()
        await trio.sleep(3600)

    peer.plan(half_open, steady)
    async with peer.client() as client:
        await upto(client, Welcome)
        await trio.sleep(7.3)
        began = trio.current_time()
        lost = await upto(client, Disconnected)
        assert isinstance(lost, Disconnected)
        assert "nothing came" in lost.reason
        assert trio.current_time() - began <= 3
        await upto(client, Reconnected)


async def test_a_quiet_stream_that_answers_pings_is_kept(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def quiet(session: Session) -> None:
        await session.welcome()
        await session.serve()

    peer.plan(quiet)
    async with peer.client() as client:
        await trio.sleep(600)
        assert client.state is State.OPEN
    assert len(peer.attempts) == 1


async def test_a_loss_and_its_mending_are_told_between_the_messages_of_the_two_streams(
    autojump_clock: MockClock, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def restarting(session: Session) -> None:
        await session.welcome()
        await session.tick(1)
        await session.send(type="closing", code=1012, retry_after_ms=700)
        await session.close(1012, "restart")

    async def again(session: Session) -> None:
        await session.welcome()
        await session.tick(5)
        await session.serve()

    monkeypatch.setattr("random.random", lambda: 0.2)
    peer.plan(restarting, again)
    async with peer.client() as client:
        told = [await anext(client) for _ in range(7)]
    kinds = [Welcome, Ticker, Closing, Disconnected, Welcome, Reconnected, Ticker]
    assert [type(message) for message in told] == kinds
    lost = told[3]
    assert isinstance(lost, Disconnected)
    assert "1012" in lost.reason
    assert lost.retry_in == pytest.approx(0.7 + 0.2 * 0.5)
    assert peer.attempts[1] - peer.attempts[0] == pytest.approx(lost.retry_in)


async def test_a_stream_with_a_subscription_is_back_once_that_is_confirmed(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def going(session: Session) -> None:
        await session.welcome()
        await session.answer()
        await session.close(1011)

    async def again(session: Session) -> None:
        await session.welcome()
        await session.tick(5)  # of the default stream, which was not asked for
        await session.answer()
        await session.tick(6)
        await session.serve()

    peer.plan(going, again)
    async with peer.client(wanted=Subscribe(("BTC-USD",))) as client:
        told = [await anext(client) for _ in range(7)]
    kinds = [Welcome, Subscribed, Disconnected, Welcome, Subscribed, Reconnected, Ticker]
    assert [type(message) for message in told] == kinds
    ticker = told[-1]
    assert isinstance(ticker, Ticker)
    assert ticker.seq == 6


async def test_several_attempts_in_vain_are_one_loss(autojump_clock: MockClock, peer: Peer) -> None:
    async def going(session: Session) -> None:
        await session.welcome()
        await session.close(1011)

    peer.plan(going, rejecting_with(503), rejecting_with(429), steady)
    async with peer.client() as client:
        told = [await anext(client) for _ in range(4)]
    assert [type(message) for message in told] == [Welcome, Disconnected, Welcome, Reconnected]


async def test_a_connection_cut_within_the_handshake_is_noticed_at_once(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def cut(session: Session) -> None:
        await trio.aclose_forcefully(session.stream)

    peer.plan(cut, steady)
    async with peer.client():
        assert peer.attempts[1] - peer.attempts[0] <= 0.5


async def test_a_handshake_that_is_never_answered_is_given_up(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def mute(session: Session) -> None:
        await trio.sleep_forever()

    peer.plan(mute)
    with pytest.raises(UnreachableError, match="handshake"):
        async with peer.client(open_timeout=11):
            pytest.fail("there is no stream")


async def test_a_server_that_never_welcomes_is_none_of_ours(
    autojump_clock: MockClock, peer: Peer
) -> None:
    async def wordless(session: Session) -> None:
        session._websocket = await session.handshake.accept()
        await session.serve()

    peer.plan(wordless)
    with pytest.raises(ProtocolError, match="welcome"):
        async with peer.client(open_timeout=60):
            pytest.fail("there is no stream")


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"type":"ticker"}', '{"type":7}', b"\xff\x00"])
async def test_garbage_is_worth_another_try_but_not_for_ever(
    autojump_clock: MockClock, peer: Peer, garbage: str | bytes
) -> None:
    async def babbling(session: Session) -> None:
        await session.welcome()
        await session.websocket.send_message(garbage)
        await session.serve()

    peer.plan(babbling)
    async with peer.client() as client:
        with pytest.raises(ProtocolError, match="no Ticker server"):
            async for _ in client:
                pass
    assert len(peer.attempts) == 3


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x16\x03\x01\x00\xa5" * 400,
        b"HTTP/1.1 101 \r\n\r\n",
        b"HTTP/1.1 101 \r\nUpgrade: \xe9\r\nConnection: upgrade\r\n\r\n",
        (
            b"HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Accept: \xe9\r\nSec-WebSocket-Protocol: \xe9\r\n\r\n"
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\nhello",
    ],
)
async def test_bytes_that_are_no_http_are_not_tried_for_ever(
    autojump_clock: MockClock, peer: Peer, raw: bytes
) -> None:
    async def another_protocol(session: Session) -> None:
        await session.stream.send_all(raw)
        await trio.sleep(1)

    peer.plan(another_protocol)
    with pytest.raises((ProtocolError, UnreachableError)):
        async with peer.client(open_timeout=60):
            pytest.fail("there is no stream")


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff\xff", b"\x81\xfe\x00", b"\xc1\x05hello", b"\x88\x01a"]
)
async def test_bytes_that_are_no_frames_are_survived(
    autojump_clock: MockClock, peer: Peer, upto: Upto, raw: bytes
) -> None:
    async def breaking(session: Session) -> None:
        await session.welcome()
        await session.stream.send_all(raw)
        await trio.sleep(1)

    peer.plan(breaking, steady)
    async with peer.client() as client:
        await upto(client, Welcome)
        await upto(client, Welcome)


async def test_an_unknown_message_type_is_skipped(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def newer(session: Session) -> None:
        await session.welcome()
        await session.send(type="order_book", depth=[[1, 2]])
        await session.tick(1)
        await session.serve()

    peer.plan(newer)
    async with peer.client() as client:
        await upto(client, Ticker)
        assert client.statistics().unknown == 1
    assert len(peer.attempts) == 1


async def test_a_server_that_is_not_there_is_told_on_entering(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.accepting = False
    with pytest.raises(UnreachableError, match="connection refused"):
        async with peer.client(open_timeout=5):
            pytest.fail("there is no stream")
    assert trio.current_time() - peer.attempts[0] == pytest.approx(5)


async def test_an_exchange_that_fails_for_now_is_tried_again(
    autojump_clock: MockClock, peer: Peer
) -> None:
    peer.exchanges.append(Retry("the token endpoint is not available now (503)", 3))
    async with peer.client():
        assert 3 <= peer.attempts[0] <= 3.5


@pytest.mark.parametrize(
    ("wanted", "kind", "request_type"),
    [
        (Subscribe(("BTC-USD",), 100), Subscribed, "subscribe"),
        (Unsubscribe(), Unsubscribed, "unsubscribe"),
    ],
)
async def test_each_connection_subscribes_as_before(
    autojump_clock: MockClock,
    peer: Peer,
    upto: Upto,
    wanted: Subscribe | Unsubscribe,
    kind: type[Message],
    request_type: str,
) -> None:
    async def once(session: Session) -> None:
        await session.welcome()
        await session.answer()
        await session.close(1012)

    peer.plan(once, steady)
    async with peer.client(wanted=wanted) as client:
        await upto(client, kind)
        await upto(client, kind)
    first, second = (session.heard for session in peer.sessions)
    assert first == second
    assert [request["type"] for request in first] == [request_type]


async def test_a_subscription_made_on_the_way_is_the_one_that_is_restored(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def once(session: Session) -> None:
        await session.welcome()
        await session.answer()
        await session.close(1012)

    peer.plan(once, steady)
    async with peer.client() as client:
        await client.subscribe(["ETH-USD"], interval_ms=50)
        await upto(client, Subscribed)
        answer = await upto(client, Subscribed)
    assert isinstance(answer, Subscribed)
    assert (answer.symbols, answer.interval_ms) == (("ETH-USD",), 50)


async def test_prices_of_the_default_stream_are_not_shown_before_the_wanted_ones(
    autojump_clock: MockClock, peer: Peer, upto: Upto
) -> None:
    async def eager(session: Session) -> None:
        await session.welcome()
        await session.tick(1, 1)
        await session.answer()
        await session.tick(2, 2)
        await session.serve()

    peer.plan(eager)
    async with peer.client(wanted=Subscribe(("BTC-USD",))) as client:
        ticker = await upto(client, Ticker)
    assert isinstance(ticker, Ticker)
    assert ticker.seq == 2
