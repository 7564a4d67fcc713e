"""What `ticker.connect()` can raise: faults that connecting again does not mend.

Rules for this module: every text says what to do; none ever holds a key or a token.
"""

from __future__ import annotations


class TickerError(Exception):
    """The base of every error of the client."""


class AuthenticationError(TickerError):
    """The API key or token is not accepted, or no longer."""


class ForbiddenError(TickerError):
    """The key is good, but the server's policy denies what was asked."""


class ProtocolError(TickerError):
    """The peer does not behave as a Ticker server, or found that we do not as a client.

    Attributes:
        code: the WebSocket close code or the HTTP status that said so, if one did.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class UnreachableError(TickerError):
    """No connection was made while `connect()` was entered; the text has the last cause."""


class UntrustedServerError(TickerError):
    """The server's certificate was not accepted."""


class RequestError(TickerError):
    """A request on the open stream was refused; the stream goes on.

    Attributes:
        code: the server's error code, as in `unknown_symbol`, `forbidden`, `bad_message`;
            or ours: `timeout` (no answer came), `disconnected` (the connection went while
            waiting for the answer), `too_large` (above what a server accepts).
        message: the same for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
