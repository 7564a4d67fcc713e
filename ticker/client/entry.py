"""`connect()`: checks its arguments and runs a client beside the block.

Rules for this module: it owns the one nursery that everything of a client runs in.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from ticker.client.client import Client
from ticker.client.connection import dial
from ticker.client.credentials import Credentials
from ticker.client.limits import OPEN_SECONDS
from ticker.client.requests import Resume, Subscribe, subscription
from ticker.client.server_address import parse_address
from ticker.client.token_request import exchange_key
from ticker.protocol.details import Detail, Mode


@asynccontextmanager
async def connect(
    url: str,
    *,
    api_key: str | None = None,
    token: str | None = None,
    symbols: Sequence[str] | None = None,
    interval_ms: int | None = None,
    mode: Mode | None = None,
    detail: Detail | None = None,
    resume: Resume | None = None,
    ssl_context: ssl.SSLContext | None = None,
    open_timeout: float = OPEN_SECONDS,
) -> AsyncGenerator[Client, None]:
    """Open a stream of prices that stays open.

        async with ticker.connect("http://127.0.0.1:8081", api_key=key) as client:
            async for message in client:
                match message:
                    case Ticker(data=prices):
                        ...

    Entering waits for the first connection. From then on the client reconnects by itself,
    with exponential backoff and full jitter, subscribes as before, and renews its token
    ahead of time where it has the key. A lost stream is told as `Disconnected`, within a second
    of a reset and three of silence, its return as `Reconnected`; `client.latest` has the newest
    price of each symbol throughout, `client.is_live` says which may be acted on.

    In the modes `changes` and `every` it goes on after its last frame, and `Reconnected.resumed`
    says whether that was possible: if not, a snapshot follows.

    A slow consumer gets fewer messages, not older ones: what waits to be taken is merged into one
    `Ticker`, so that nothing of the present is lost. In the mode `every` each is kept in order;
    where too much waits, the stream pauses, and goes on where it was. Other messages are kept in
    order.

    Leaving makes the closing handshake, for at most a second; no task outlives the block.

    Args:
        url: the server, `http(s)://host:port` or `ws(s)://host:port/ws/ticker`.
        api_key: is exchanged for tokens as needed.
        token: instead of a key: a token, which the client cannot renew.
        symbols: what to subscribe to; None for all that the key may see.
        interval_ms: the fastest pace of prices wanted, in milliseconds; None for the
            server's own.
        mode: `latest` (every symbol in each frame; the default), `changes` (what has changed
            since the frame before) or `every` (what each tick changed, none missing).
        detail: `price` (the default) or `full`.
        resume: go on after this frame, which a program has from an earlier life; `client.latest`
            then holds what has come since, until there is a snapshot.
        ssl_context: how to trust an https server; None for the system's authorities.
        open_timeout: how many seconds to try for the first connection.

    Raises:
        RuntimeError: this is no task of trio's.
        ValueError: the arguments do not fit together.
        UnreachableError: there was no connection within `open_timeout`.
        TickerError: connecting failed, or, while iterating or asking, went on to fail,
            in a way that connecting again does not mend; the subclass says which.
    """
    if not trio.lowlevel.in_trio_task():
        raise RuntimeError(
            "this client runs under trio, not asyncio: start the program with `trio.run(main)`"
        )
    address = parse_address(url)
    if (api_key is None) == (token is None):
        raise ValueError("pass either api_key or token")
    secret = api_key or token or ""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("the api_key or token is empty, or not visible ASCII")
    if ssl_context is not None and not address.secure:
        raise ValueError("an ssl_context needs an https:// or wss:// URL")
    if address.secure and ssl_context is None:
        ssl_context = ssl.create_default_context()
    wanted = subscription(symbols, interval_ms, mode, detail, resume)
    client = Client(
        address,
        Credentials(api_key, partial(exchange_key, address, ssl_context), token),
        partial(dial, address, ssl_context),
        None if wanted == Subscribe() else wanted,
    )
    async with running(client, open_timeout):
        yield client


@asynccontextmanager
async def running(client: Client, open_timeout: float) -> AsyncGenerator[None, None]:
    """Run a client beside the block, once it is open."""
    # The block's own exception goes around the nursery, which would wrap it in a group.
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        try:
            await client.opened(open_timeout)
            yield
            await client.close()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
