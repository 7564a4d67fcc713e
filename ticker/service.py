"""The service: settings become a database, an authority, an engine and a router here.

This is the composition root. `running` is the whole lifetime, top to bottom: the lock on the
data directory, the database, the secrets, the engine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import attrs
import trio

from ticker import limits
from ticker.admission import Admission, StreamLimits
from ticker.cluster.role import Alone, Role, Upstream
from ticker.cluster.siblings import SHARED_FILES, Siblings
from ticker.connections import Connections
from ticker.engine import Engine
from ticker.http.gate import Gate
from ticker.http.refusal import RefusalCounter
from ticker.market.market import Market
from ticker.market.pace import Pace, SleepingPace
from ticker.market.sources import (
    INVENTED,
    Source,
    SourceConfigError,
    SourceContext,
    load_source,
)
from ticker.market.subscriber import ONE_BY_ONE, Fanout
from ticker.metrics import Metrics
from ticker.pacing import Pacer
from ticker.places import NoRoomError
from ticker.rate_limit import Limiter, local_limiter
from ticker.redaction import mask_credentials
from ticker.security.access import Access
from ticker.security.authority import Authority
from ticker.security.secrets_file import SecretFileError
from ticker.server import process, service_lock
from ticker.server.process import ServiceError
from ticker.server.router import Router
from ticker.sessions import Sessions
from ticker.settings.market_setup import make_market
from ticker.settings.model import Settings
from ticker.startup import Opened, open_authority, warn
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_store import HistoryStore
from ticker.storage.interface import Database
from ticker.storage.urls import DatabaseUrlError, open_database, open_history
from ticker.streams.admit import Streams
from ticker.streams.context import StreamContext
from ticker.transport.fanout import open_fanout
from ticker.transport.kernel_timer import open_pace


@attrs.frozen(kw_only=True)
class Service:
    """A service, put together.

    Attributes:
        settings: what it was made with.
        metrics: what is counted where it happens.
        refusals: refused tokens, counted by address.
        authority: keys and tokens.
        access: what roles may do with the symbols of the market.
        market: the prices.
        sessions: the register of live sessions.
        connections: the register of open connections.
        admission: the places for streams.
        engine: what runs.
        gate: which requests of HTTP are answered.
        token_limiter: counts the token requests of each address.
        router: the connections.
        siblings: what it shares with other workers; None where there can be none.
        role: whether it feeds others or follows them; None where it can only feed itself.
        demo_key: the demo key, while there is one.
    """

    settings: Settings
    metrics: Metrics
    refusals: RefusalCounter
    authority: Authority
    access: Access
    market: Market
    sessions: Sessions
    connections: Connections
    admission: Admission
    engine: Engine
    gate: Gate
    token_limiter: Limiter
    router: Router
    siblings: Siblings | None
    role: Role | None
    demo_key: str | None = attrs.field(default=None, repr=False)


def make_service(
    settings: Settings,
    authority: Authority,
    *,
    fanout: Fanout = ONE_BY_ONE,
    pace: Callable[[float], Pace] = SleepingPace,
    demo_key: str | None = None,
    siblings: Siblings | None = None,
    history: HistoryStore | None = None,
    load: Callable[[str, SourceContext], Source] = load_source,
    wall: Callable[[], float] = time.time,
) -> Service:
    """Put a service together; nothing of it runs yet.

    Args:
        settings: of everything.
        authority: which keys and tokens are good.
        fanout: how a frame gets to many subscribers.
        pace: how ticks are timed; by default by trio's clock, whichever that is.
        demo_key: the demo key, if there is one.
        siblings: what it shares with other workers; None where there can be none.
        history: where the past is kept; None for nowhere.
        load: makes a source from what the settings say of it.
        wall: the wall clock, in seconds since the epoch.

    Raises:
        SourceConfigError: a source cannot be set up as the settings ask.
    """
    metrics = Metrics()
    sessions = Sessions()
    market = make_market(settings, fanout, pace, metrics, load, wall, changed=sessions.tell_status)
    access = Access(settings.policies, market.book.symbols)
    admission = Admission(
        StreamLimits(
            server=settings.max_streams,
            token=settings.max_streams_per_token,
            address=settings.max_streams_per_address,
            key=settings.max_streams_per_key,
        ),
        None if siblings is None else siblings.table,
    )
    make_limiter = local_limiter if siblings is None else siblings.make_limiter
    refusals = RefusalCounter(make_limiter("refused", settings.refused_rate), metrics)
    connections = Connections()
    pacer = Pacer(market.hub, settings.tick)
    role = _make_role(settings, market, sessions, admission) if siblings or settings.bus else None
    keeper = None
    if history is not None:
        keeper = HistoryKeeper(
            market.book,
            history,
            wall_ms=market.wall_ms,
            feeds=lambda: role is None or role.leader.feeding,
            invented=_invented(market),
            alone=role is None,
        )
    engine = Engine(market, authority, sessions, connections, pacer, role, keeper)
    streams = Streams(
        StreamContext(
            market=market,
            access=access,
            authority=authority,
            sessions=sessions,
            pacer=pacer,
            close_seconds=min(limits.CLOSE_SECONDS, settings.graceful_timeout),
            late_close_seconds=min(limits.STALL_SECONDS, settings.graceful_timeout),
        ),
        settings,
        admission,
        metrics,
        refusals,
        draining=lambda: engine.draining,
    )
    gate = Gate(
        settings.http_rate,
        metrics,
        trusted_hops=settings.trusted_hops,
        allowed_origins=settings.allowed_origins,
        make_limiter=make_limiter,
    )
    return Service(
        settings=settings,
        metrics=metrics,
        refusals=refusals,
        authority=authority,
        access=access,
        market=market,
        sessions=sessions,
        connections=connections,
        admission=admission,
        engine=engine,
        gate=gate,
        token_limiter=make_limiter("tokens", settings.auth_rate),
        router=Router(engine, connections, streams, metrics),
        siblings=siblings,
        role=role,
        demo_key=demo_key,
    )


def _invented(market: Market) -> str:
    """Return the name of the source where no price is of a real market; nothing where one is."""
    names = [source.name for source in market.ingest.sources]
    return names[0] if set(names) <= INVENTED else ""


def _make_role(
    settings: Settings, market: Market, sessions: Sessions, admission: Admission
) -> Role:
    return Role(
        market,
        settings.data_dir,
        _upstream(settings, market, admission),
        sessions.tell_epoch,
        price_seconds=settings.stale_after,
    )


def _upstream(settings: Settings, market: Market, admission: Admission) -> Upstream:
    if not settings.bus:
        return Alone()
    from ticker.cluster.node import node_name, open_machines  # noqa: PLC0415 - an extra

    node = node_name(settings.data_dir)
    return open_machines(market, settings.bus, settings.market, node, lambda: admission.open)


@asynccontextmanager
async def running(settings: Settings, worker: int | None = None) -> AsyncIterator[Service]:
    """Run the whole service until the block is left.

    Args:
        settings: of everything.
        worker: which of our supervisor's workers this process is, from 1; None if it is none.

    Raises:
        ServiceError: it cannot start.
        ExceptionGroup: the engine failed while it ran.
    """
    process.allow_descriptors(settings.max_streams)
    group = service_lock.service_of_workers(supervised=worker is not None)
    if settings.token_store == "memory":  # noqa: S105 - a place, not a secret
        group = None  # a token would be good in one worker alone
    try:
        with (
            service_lock.locked(settings.data_dir, group),
            closing(open_database(settings.database)) as database,
            open_fanout(settings.io_uring) as fanout,
            _open_siblings(settings, group, worker) as siblings,
        ):
            opened = await trio.to_thread.run_sync(_open_authority, settings, database)
            service = make_service(
                settings,
                opened.authority,
                fanout=fanout,
                pace=open_pace,
                demo_key=opened.demo_key,
                siblings=siblings,
                history=open_history(settings.database, settings.data_dir, settings.market),
            )
            # Only now is it sure that the service starts, and what to tell is of use.
            if worker is None:
                warn(settings, opened)
            async with trio.open_nursery() as nursery:
                await nursery.start(service.engine.run)
                if siblings is not None:
                    nursery.start_soon(siblings.watch)
                with process.collecting_seldom():
                    yield service
                nursery.cancel_scope.cancel()
    except DatabaseUrlError as error:
        raise ServiceError(f"TICKER_DATABASE_URL: {error}", settings=True) from None
    except SourceConfigError as error:
        raise ServiceError(mask_credentials(str(error)), settings=True) from None
    except (DatabaseUnavailableError, SecretFileError) as error:
        raise ServiceError(str(error)) from None


@contextmanager
def _open_siblings(
    settings: Settings, group: str | None, worker: int | None
) -> Iterator[Siblings | None]:
    """Join the workers of a service; None for a process by itself."""
    if group is None:
        yield None
        return
    service_lock.look_at(settings.data_dir, SHARED_FILES)
    try:
        siblings = Siblings(settings.data_dir, worker)
    except (OSError, NoRoomError) as error:
        raise ServiceError(f"{settings.data_dir} cannot be shared by workers: {error}") from None
    with siblings:
        yield siblings


def _open_authority(settings: Settings, database: Database) -> Opened:
    """Open it while no sibling does; for a thread."""
    with service_lock.starting(settings.data_dir):
        return open_authority(settings, database)
