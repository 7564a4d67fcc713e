"""The bus between machines in Redis (7 or newer) or Valkey: a lease, and a log of ticks.

One machine holds the lease and publishes; the others read the log. All keys of a market share
one hash tag, so that a script may touch them together. Scripts decide, each in one step:

- ELECT gives the lease to a node where it is free, with a new term. A term is the server's
  clock in milliseconds, or one more than the last: it grows even where Redis has lost its data.
- PUBLISH compares the term before it writes anything (Lua has no way back), prolongs the lease,
  and adds an entry to the log. A node whose term has passed is refused, however late it wakes.
- MEET tells of what a node knows, which may be more than Redis does after it has lost data: no
  term and no sequence number is given twice.

Followers read the log with a blocking XREAD from the entry they had last. That is one ordered
stream that tells of every gap by itself, and a reader takes no more than it asks for; a
subscription would have neither (a client that loses its connection resubscribes without telling
of what it missed, and buffers what it does not read).

A command that timed out may have been carried out. Publishing twice adds an entry that readers
drop, since its sequence number is not above the last.

Rules for this module: what is in Redis, and nothing else; when to ask is said in `machines`.
"""

from __future__ import annotations

import logging
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Final, TypeVar, cast

import coredis
import trio
from coredis.connection import TCPLocation
from coredis.exceptions import RedisError
from coredis.retry import NoRetryPolicy

from ticker import limits
from ticker.cluster import bus_scripts as scripts
from ticker.cluster.bus import (
    BEGINNING,
    BusUnavailableError,
    Elected,
    Entry,
    Held,
    Published,
    Snapshot,
    SupersededError,
)
from ticker.exception_groups import first
from ticker.settings.bus_address import BusAddress

#: A primary that was replaced answers READONLY; one without enough replicas, NOREPLICAS.
_UNAVAILABLE: Final = (RedisError, OSError, trio.TooSlowError, EOFError)
# What it logs of a connection that fails is raised as well, and told by us.
logging.getLogger("coredis").setLevel(logging.CRITICAL)
_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Any]])


def _guarded(method: _Method) -> _Method:
    """Let what cannot be read of an answer be as if there were none: other programs write there."""

    @wraps(method)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return await method(*args, **kwargs)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise BusUnavailableError(f"not a market's: {type(error).__name__}") from None

    return cast("_Method", guarded)


class RedisBus:
    """The bus (`ticker.cluster.bus.Bus`): one market's keys on a connected client."""

    def __init__(self, client: coredis.Redis[bytes], market: str, node: str) -> None:
        tag = f"ticker:{{{market}}}:"
        self._client = client
        self._node = node
        self._lease, self._term, self._head, self._log, self._snapshot, self._nodes = (
            tag + name for name in ("lease", "term", "head", "log", "snapshot", "nodes")
        )
        self._elect = client.register_script(scripts.ELECT)
        self._publish = client.register_script(scripts.PUBLISH)
        self._meet = client.register_script(scripts.MEET)
        self._resign = client.register_script(scripts.RESIGN)
        self._register = client.register_script(scripts.REGISTER)

    @_guarded
    async def elect(self, known: int = 0) -> Elected | Held:
        """See `Bus`."""
        keys: list[Any] = [self._lease, self._term, self._head]
        values: list[Any] = [self._node, limits.LEASE_MS, known]
        won, value, head = await self._ask(self._elect(keys, values))
        return Elected(int(value), int(head)) if won else Held(max(0, int(value)) / 1000)

    @_guarded
    async def publish(
        self, term: int, seq: int, payload: bytes, *, keep: int, snapshot: Snapshot | None = None
    ) -> Published:
        """See `Bus`."""
        kept = b"" if snapshot is None else snapshot.place.encode() + b" " + snapshot.payload
        keys: list[Any] = [self._lease, self._term, self._head, self._log, self._snapshot]
        values: list[Any] = [self._node, term, limits.LEASE_MS, seq, payload, keep, kept]
        added, place, head = await self._ask(
            self._publish(keys, values), limits.BUS_PUBLISH_SECONDS
        )
        if not added:
            raise SupersededError
        return Published(place.decode(), int(head))

    @_guarded
    async def meet(self, term: int, seq: int) -> None:
        """See `Bus`."""
        await self._ask(self._meet([self._term, self._head], [term, seq]))

    @_guarded
    async def resign(self, term: int, payload: bytes = b"") -> None:
        """See `Bus`."""
        keys: list[Any] = [self._lease, self._log]
        await self._ask(self._resign(keys, [self._node, term, payload]))

    @_guarded
    async def holder(self) -> str | None:
        """Return the name of the node that holds the lease."""
        lease: bytes | None = await self._ask(self._client.get(self._lease))
        return lease.split()[0].decode() if lease else None

    @_guarded
    async def term(self) -> int:
        """Return the last term; 0 where there was none."""
        return int(await self._ask(self._client.get(self._term)) or 0)

    @_guarded
    async def snapshot(self) -> Snapshot | None:
        """See `Bus`."""
        kept: bytes | None = await self._ask(self._client.get(self._snapshot))
        if kept is None:
            return None
        place, _, payload = kept.partition(b" ")
        return Snapshot(place.decode(), payload)

    @_guarded
    async def holds(self, place: str) -> bool:
        """See `Bus`."""
        return bool(await self._ask(self._client.xrange(self._log, start=place, end=place)))

    @_guarded
    async def newest(self) -> str:
        """See `Bus`."""
        entries = await self._ask(self._client.xrevrange(self._log, count=1))
        return entries[0].identifier.decode() if entries else BEGINNING

    @_guarded
    async def log(self, after: str = BEGINNING) -> Sequence[Entry]:
        """See `Bus`."""
        found: list[Entry] = []
        while True:
            more = await self._read(found[-1].place if found else after, block=None)
            if not more:
                return found
            found += more

    @_guarded
    async def read(self, after: str, seconds: float) -> Sequence[Entry]:
        """See `Bus`."""
        # To Redis, no time at all is for ever.
        return await self._read(after, block=max(1, math.ceil(seconds * 1000)))

    async def _read(self, after: str, block: int | None) -> Sequence[Entry]:
        asked = {self._log: after}
        count = limits.BUS_ENTRIES_AT_ONCE
        found: Any = await self._ask(self._client.xread(asked, count=count, block=block))
        return [_entry(each) for entries in (found or {}).values() for each in entries]

    @_guarded
    async def register(self, status: bytes, /) -> None:
        """See `Bus`."""
        values: list[Any] = [self._node, status, limits.NODE_FORGOTTEN_SECONDS]
        await self._ask(self._register([self._nodes], values))

    @_guarded
    async def nodes(self) -> dict[str, tuple[int, bytes]]:
        """Return how many seconds ago each node said something of itself, and what."""
        now = int((await self._ask(self._client.time())).timestamp())
        found: dict[bytes, bytes] = await self._ask(self._client.hgetall(self._nodes))
        nodes: dict[str, tuple[int, bytes]] = {}
        for name, said in found.items():
            at, _, status = said.partition(b" ")
            nodes[name.decode()] = max(0, now - int(at)), status
        return nodes

    @staticmethod
    async def _ask(command: Any, seconds: float = limits.BUS_SECONDS) -> Any:
        try:
            with trio.fail_after(seconds):
                return await command
        except _UNAVAILABLE as error:
            raise BusUnavailableError(type(error).__name__) from None


def _entry(each: Any) -> Entry:
    return Entry(each.identifier.decode(), each.field_values[b"m"])


@asynccontextmanager
async def open_bus(address: BusAddress, market: str, node: str) -> AsyncIterator[RedisBus]:
    """Connect; a new client each time, since the library's backoff is never reset.

    Args:
        address: of the server, or of the Sentinels that know it.
        market: its name.
        node: this node's name, without a space.

    Raises:
        BusUnavailableError: nothing answers there, or none that may be written to.
    """
    try:
        async with _client(address) as client:
            yield RedisBus(client, market, node)
    except BaseExceptionGroup as group:
        # The library's nursery wraps what is raised in the block.
        error = first(group)
        if isinstance(error, _UNAVAILABLE):
            raise BusUnavailableError(type(error).__name__) from None
        raise error from None
    except _UNAVAILABLE as error:
        raise BusUnavailableError(type(error).__name__) from None


@asynccontextmanager
async def _client(address: BusAddress) -> AsyncIterator[coredis.Redis[bytes]]:
    deadlines: dict[str, Any] = {
        "stream_timeout": limits.BUS_SECONDS,
        "connect_timeout": limits.BUS_SECONDS,
    }
    secrets: dict[str, Any] = {"username": address.username, "password": address.password}
    if address.tls:
        secrets["ssl_context"] = ssl.create_default_context()
    host, port = address.hosts[0]
    if address.service is not None:
        host, port = await _primary(address, {**deadlines, **secrets})
    async with coredis.Redis(
        host,
        port,
        address.database,
        retry_policy=NoRetryPolicy(),
        max_connections=limits.BUS_CONNECTIONS,
        pool_timeout=limits.BUS_SECONDS,
        **deadlines,
        **secrets,
    ) as client:
        yield client


async def _primary(address: BusAddress, options: dict[str, Any]) -> tuple[str, int]:
    """Ask the Sentinels for the server that may be written to."""
    assert address.service is not None  # noqa: S101 - the caller asked
    places = [TCPLocation(host, port) for host, port in address.hosts]
    async with coredis.Sentinel(places, sentinel_kwargs=options) as sentinel:
        return await sentinel.discover_primary(address.service)
