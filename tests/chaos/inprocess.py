"""The whole service in this very event loop, over real sockets, so that moments can be compared.

What a metric polled from outside cannot show, as how many milliseconds lie between a kill and
the end of a subscription, is seen here by one clock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import attrs
import structlog
import structlog.testing
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from tests.support.leaks import descriptors
from ticker.encodings.encoding import Encoding
from ticker.engine import Engine
from ticker.market.subscription import Subscription
from ticker.rate_limit import Rate
from ticker.server import hypercorn_seam as seam
from ticker.service import Service
from ticker.settings.model import Settings
from ticker.transport.socket_stream import SocketStream
from ticker.web.app import create_app
from ticker.web.responses import EXTENSION


@attrs.frozen(kw_only=True)
class Held:
    """What the process holds at one moment."""

    sessions: int
    streams: int
    subscriptions: int
    topics: int
    behind: int
    connections: int
    tasks: int
    descriptors: int


@attrs.define
class Running:
    """A running service.

    Attributes:
        port: where it listens.
        token: a good one.
        logged: every event since the start.
        ended: when the subscription of the client at a port ended, in trio's time.
    """

    service: Service
    port: int
    token: str
    logged: list[MutableMapping[str, Any]]
    ended: dict[int, float] = attrs.field(factory=dict)

    @property
    def engine(self) -> Engine:
        return self.service.engine

    def held(self) -> Held:
        """Count everything that a connection could leave behind."""
        statistics = self.engine.statistics()
        return Held(
            sessions=statistics.sessions,
            streams=self.service.admission.taken,
            subscriptions=statistics.hub.subscriptions,
            topics=statistics.hub.topics,
            behind=statistics.hub.behind,
            connections=statistics.connections,
            tasks=trio.lowlevel.current_statistics().tasks_living,
            descriptors=descriptors(os.getpid()),
        )

    def threads(self) -> int:
        return threading.active_count()


@asynccontextmanager
async def serving(data_dir: Path, **chosen: Any) -> AsyncIterator[Running]:
    """Serve until the block is left; limits by address and by token are lifted."""
    seam.install()
    settings = Settings(
        data_dir=data_dir,
        refused_rate=Rate(0, 1.0),
        auth_rate=Rate(0, 1.0),
        http_rate=Rate(0, 1.0),
        max_streams_per_token=0,
        max_streams_per_address=0,
        **chosen,
    )
    app = create_app(settings)
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    config.graceful_timeout = settings.graceful_timeout
    shutdown = trio.Event()
    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            binds: Sequence[str] = await nursery.start(
                partial(serve, shutdown_trigger=shutdown.wait), app, config
            )
            service = cast("Service", app.extensions[EXTENSION])
            issued = await service.authority.exchange(service.demo_key or "", "127.0.0.1")
            running = Running(service, int(binds[0].rpartition(":")[2]), issued.token, logged)
            with _watched(running):
                yield running
            shutdown.set()


@contextmanager
def _watched(running: Running) -> Iterator[None]:
    """Note when each subscription ends."""
    hub = running.service.market.hub
    subscribe, end = hub.subscribe, hub.end
    ports: dict[Subscription, int] = {}

    def subscribed(
        symbols: Sequence[str],
        every: int,
        encoding: Encoding,
        subscriber: SocketStream,
        fell_behind: Callable[[Exception | None], None],
        **more: Any,
    ) -> Subscription:
        subscription = subscribe(symbols, every, encoding, subscriber, fell_behind, **more)
        ports[subscription] = subscriber._socket.getpeername()[1]
        return subscription

    def ended(subscription: Subscription) -> None:
        end(subscription)
        running.ended[ports.pop(subscription)] = trio.current_time()

    with patch.object(hub, "subscribe", subscribed), patch.object(hub, "end", ended):
        yield
