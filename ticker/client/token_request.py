"""`POST /auth/token`: an API key for a token, over httpx on trio.

Rules for this module: one function. It follows no redirect and uses no proxy of the
environment, so that the key goes to the given server and nowhere else.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus

import httpx
import msgspec
import trio

from ticker.client.credentials import IssuedToken
from ticker.client.disconnects import ForeignAnswer, Retry, of_exchange
from ticker.client.errors import TickerError, UntrustedServerError
from ticker.client.limits import EXCHANGE_BYTES, EXCHANGE_SECONDS
from ticker.client.server_address import Address
from ticker.exception_groups import causes


class _Answer(msgspec.Struct):
    token: str
    expires_in: float


async def exchange_key(
    address: Address,
    ssl_context: ssl.SSLContext | None,
    api_key: str,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> IssuedToken:
    """Exchange the key.

    Args:
        address: the server.
        ssl_context: how to trust it; None where it is not spoken to over TLS.
        api_key: the key.
        transport: takes the network's place in tests.

    Raises:
        Retry: not now, or the answer was not that of a Ticker server.
        TickerError: the key, the server or its certificate is not good.
    """
    try:
        with trio.move_on_after(EXCHANGE_SECONDS):
            async with (
                httpx.AsyncClient(
                    verify=ssl_context or False,  # without a context there is no TLS
                    timeout=None,  # noqa: S113 - the scope around bounds the whole
                    trust_env=False,
                    transport=transport,
                ) as client,
                client.stream("POST", address.token_url, json={"api_key": api_key}) as response,
            ):
                if response.status_code != HTTPStatus.OK:
                    raise of_exchange(response.status_code, response.headers.get("Retry-After", ""))
                return _read(await _body(response))
    except httpx.HTTPError as error:
        raise connect_fault(address, error) from None
    raise Retry(f"the token endpoint gave no answer within {EXCHANGE_SECONDS:g} s")


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        # To the end, which the scope around bounds: httpx's iterators are not to be left early.
        if len(body) <= EXCHANGE_BYTES:
            body += chunk
    if len(body) > EXCHANGE_BYTES:
        raise ForeignAnswer("the token endpoint's answer is too long", HTTPStatus.OK)
    return bytes(body)


def _read(body: bytes) -> IssuedToken:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeError):
        raise ForeignAnswer("the token endpoint's answer holds no token", HTTPStatus.OK) from None
    if not (answer.token.isascii() and answer.token.isprintable()) or answer.expires_in <= 0:
        raise ForeignAnswer("the token endpoint's answer holds no usable token", HTTPStatus.OK)
    return IssuedToken(answer.token, answer.expires_in)


def connect_fault(address: Address, error: BaseException) -> Retry | TickerError:
    """Why no connection was made: the certificate is a lasting reason, all else is not."""
    reason = str(error) or type(error).__name__
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UntrustedServerError(
                f"the certificate of {address} is not trusted: {cause.verify_message}; "
                "pass an ssl_context that trusts its issuer"
            )
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror
    return Retry(f"cannot reach {address}: {reason}")
