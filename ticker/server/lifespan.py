"""What the application says to a server that is not its own: start it in another way.

The application runs only where `server/worker.py` has taken the place of Hypercorn's worker, which
starts and ends the service itself and sends no lifespan events. Every other server sends them
first of all.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, LifespanScope

from ticker import standard_streams

_HINT: Final = (
    "ticker: start it by `ticker serve`, or by `hypercorn --worker-class trio ticker.asgi:app`: "
    "it needs trio, and serves the stream itself"
)


class RefusingLifespan:
    """Ends the process of another server, with one line."""

    def __init__(self, _app: object, _scope: LifespanScope) -> None:
        """Take what Quart gives."""

    async def __call__(self, receive: ASGIReceiveCallable, _send: ASGISendCallable) -> None:
        """Refuse to start."""
        await receive()
        print(_HINT, file=sys.stderr, flush=True)  # noqa: T201 - for the person who started it
        standard_streams.drain()
        os._exit(2)  # an exception would be caught, or become a page of traceback
