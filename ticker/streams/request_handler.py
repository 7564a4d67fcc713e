"""The answers to a subscriber's requests.

Rules for this module: it decides and answers, one message after the other; when the session ends,
and how, is the session's business, which is told of it where a message calls for it.
"""

from __future__ import annotations

from typing import Protocol

import trio

from ticker import limits
from ticker.encodings.encoding import Encoding
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.messages import (
    Authenticated,
    Error,
    Message,
    Pong,
    Unsubscribed,
)
from ticker.protocol.requests import Auth, BadMessageError, Ping, Request, Subscribe, Unsubscribe
from ticker.rate_limit import Bucket, Budget, Rate
from ticker.redaction import redact
from ticker.security.authority import InvalidTokenError
from ticker.storage.errors import DatabaseUnavailableError
from ticker.streams.context import StreamContext
from ticker.streams.delivery import Delivery
from ticker.streams.subscribing import (
    SubscriptionRefusedError,
    charge,
    grant_subscription,
    price,
)
from ticker.streams.terms import Terms


class AnswerStream(Protocol):
    """Where answers go."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write whole frames."""


class RequestHandler:
    """Answers the requests of one subscriber."""

    __slots__ = (
        "_bad_at",
        "_context",
        "_delivery",
        "_encoding",
        "_messages",
        "_stream",
        "_terms",
        "_work",
    )

    def __init__(
        self,
        context: StreamContext,
        stream: AnswerStream,
        encoding: Encoding,
        terms: Terms,
        delivery: Delivery,
    ) -> None:
        """Begin without a word.

        Args:
            context: the market and the authority.
            stream: where answers go.
            encoding: how they are written, and requests are read.
            terms: what the subscriber may do.
            delivery: what is subscribed.
        """
        self._context = context
        self._stream = stream
        self._encoding = encoding
        self._terms = terms
        self._delivery = delivery
        self._bad_at: list[float] = []
        per_second = terms.limits.messages_per_second or limits.MESSAGES_PER_SECOND
        burst = max(1, round(limits.MESSAGES_BURST * per_second / limits.MESSAGES_PER_SECOND))
        self._work = Budget(limits.SUBSCRIBED_PER_SECOND, limits.SUBSCRIBED_AT_ONCE)
        self._messages = Bucket(Rate(burst, burst / per_second))

    async def receive(self, message: str | bytes) -> CloseCode | None:
        """Answer one message.

        Returns:
            Why the session is to end, if it is.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the peer has gone.
        """
        now = trio.current_time()
        if not self._messages.admit(now):
            return CloseCode.TOO_MANY_MESSAGES
        try:
            await self._answer(self._encoding.format.request(message))
        except BadMessageError as error:
            # Its text may quote a token in a wrong place.
            text = redact(str(error))[: limits.ERROR_TEXT_CHARS]
            await self.say(Error(id=error.id, code="bad_message", message=text))
            self._bad_at = [at for at in self._bad_at if now - at < limits.BAD_MESSAGES_SECONDS]
            self._bad_at.append(now)
            if len(self._bad_at) >= limits.BAD_MESSAGES:
                return CloseCode.BAD_MESSAGES
        return None

    async def say(self, message: Message) -> None:
        """Send one message."""
        await self._stream.send_all(self._encoding.message(message))

    async def _answer(self, request: Request) -> None:
        match request:
            case Ping():
                await self.say(Pong(id=request.id))
            case Subscribe():
                await self._answer_subscribe(request)
            case Unsubscribe():
                self._delivery.unsubscribe()
                await self.say(Unsubscribed(id=request.id))
            case Auth():
                await self._answer_auth(request)

    async def _answer_subscribe(self, request: Subscribe) -> None:
        try:
            wanted = grant_subscription(request, self._terms, self._context.market)
        except SubscriptionRefusedError as refused:
            await self.say(Error(id=request.id, code=refused.code, message=str(refused)))
            return
        wait = self._work.spend(price(request, wanted), trio.current_time())
        if wait:
            # The old subscription goes on meanwhile, and the client's next messages wait as well.
            await trio.sleep(wait)
            wanted = grant_subscription(request, self._terms, self._context.market)
        # No tick of the old subscription may follow the answer, nor one of the new precede it.
        self._delivery.unsubscribe()
        wanted = charge(wanted, self._terms, self._context.own_sets)
        await self.say(wanted.in_force(self._context.market, request.id))
        self._delivery.subscribe(wanted)

    async def _answer_auth(self, request: Auth) -> None:
        try:
            grant = await self._context.authority.authenticate(request.token)
        except InvalidTokenError:
            await self.say(Error(id=request.id, code="invalid_token", message="invalid token"))
            return
        except DatabaseUnavailableError:
            text = "tokens cannot be checked now; try again"
            await self.say(Error(id=request.id, code="unavailable", message=text))
            return
        old = self._terms.grant
        if (grant.user_id, grant.role) != (old.user_id, old.role):
            # What the stream may do and was counted as was decided when it began.
            text = "the token belongs to another user or role; open a stream of its own"
            await self.say(Error(id=request.id, code="forbidden", message=text))
            return
        self._terms.accept(grant)
        await self.say(Authenticated(id=request.id, expires_in=self._terms.expires_in))
