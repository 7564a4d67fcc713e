"""One machine among several: its name on the bus, and what it says of itself there."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ticker.cluster.machines import Machines
from ticker.cluster.redis_bus import open_bus
from ticker.market.market import Market
from ticker.security.secrets_file import SecretFileError, read_line, write_line
from ticker.settings.bus_address import parse_bus

_NODE_FILE: Final = "node-name"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,80}-[0-9a-f]{8}")
_HOST_CHARS: Final = 60


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself, once a second.

    Attributes:
        feeding: whether it makes the ticks.
        epoch: of the last tick that is published there.
        seq: that tick.
        time: when it was, in milliseconds since the epoch of Unix.
        said: when this was said.
        streams: open ones, on all of its workers.
    """

    @property
    def lag_ms(self) -> int:
        """How old the last tick was when this was said, by the clocks of both machines."""
        return max(0, self.said - self.time)

    feeding: bool
    epoch: str
    seq: int
    time: int
    said: int
    streams: int


_decoder: Final = msgspec.json.Decoder(NodeStatus)


def encode_status(status: NodeStatus) -> bytes:
    """Write what a node says of itself."""
    return msgspec.json.encode(status)


def decode_status(said: bytes) -> NodeStatus | None:
    """Read what a node says of itself; None where another version of the program said it."""
    try:
        return _decoder.decode(said)
    except msgspec.DecodeError:
        return None


async def nodes_of(url: str, name: str) -> dict[str, tuple[int, NodeStatus | None]]:
    """Ask the bus for all machines of a market: how many seconds ago each spoke, and what it said.

    Args:
        url: of the bus.
        name: of the market on the bus.

    Raises:
        BusUnavailableError: it cannot be asked.
    """
    async with open_bus(parse_bus(url), name, "operator") as bus:
        found = await bus.nodes()
    return {node: (age, decode_status(said)) for node, (age, said) in sorted(found.items())}


def node_name(data_dir: Path) -> str:
    """Return the name of the node with a data directory: its host, and what tells two apart.

    It stays the same from start to start, so that a worker that takes over from another one on
    its machine has the lease already.

    Raises:
        SecretFileError: it cannot be read or kept.
    """
    host = re.sub(r"[^A-Za-z0-9._-]", "", socket.gethostname())[:_HOST_CHARS] or "node"
    path = data_dir / _NODE_FILE
    write_line(path, f"{host}-{secrets.token_hex(4)}", replace=False)
    name = read_line(path)
    if name is None or not _NAME.fullmatch(name):
        raise SecretFileError(f"{path} does not hold the name of a node: delete it")
    return name


def open_machines(
    market: Market, url: str, name: str, node: str, streams: Callable[[], int]
) -> Machines:
    """Make the upstream of a machine among others.

    Args:
        market: of this process.
        url: of the bus.
        name: of the market on the bus.
        node: this machine's name on the bus.
        streams: counts the streams of this machine.
    """
    address = parse_bus(url)

    def describe() -> bytes:
        published = market.hub.published
        return encode_status(
            NodeStatus(
                feeding=market.followed.condition is None,
                epoch=published.epoch,
                seq=published.seq,
                time=published.time_ms,
                said=market.wall_ms(),
                streams=streams(),
            )
        )

    return Machines(market, lambda: open_bus(address, name, node), describe)
