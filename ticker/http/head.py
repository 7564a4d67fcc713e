"""The head of an HTTP/1.1 request: read whole, within bounds, before it is acted on.

h11 does the parsing, as it does inside Hypercorn, so that the seam and Hypercorn never
understand the same bytes differently.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import attrs
import h11
import trio

from ticker import limits
from ticker.protocol.paths import STREAM_PATH
from ticker.redaction import redact


class Readable(Protocol):
    """What a head is read from."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what came next; empty at the end."""


def _values_of(head: Head) -> Mapping[bytes, list[str]]:
    """Return the values of each header: a handshake asks for a dozen of them."""
    values: dict[bytes, list[str]] = {}
    for name, value in head.headers:
        values.setdefault(name, []).append(str(value, "latin-1"))
    return values


@attrs.frozen
class Head:
    """One request head.

    Attributes:
        raw: its bytes, up to and with the empty line.
        rest: what came after it already.
        method: as sent; `""` where the head is not HTTP that h11 understands.
        fault: the status that says why h11 does not; 0 where it does.
        target: as sent.
        headers: lower-case names and values, in order.
        version: of HTTP, as in `1.1`.
        root: the path below which the service is, with no slash at its end.
    """

    raw: bytes
    rest: bytes
    method: str = ""
    target: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    version: str = ""
    root: str = ""
    fault: int = 0
    _values: Mapping[bytes, list[str]] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_values_of, takes_self=True)
    )

    def all(self, name: bytes) -> list[str]:
        """Return every value of a header, decoded as Latin-1, which takes any byte."""
        return self._values.get(name, [])

    def first(self, name: bytes) -> str | None:
        """Return the first value of a header, or None."""
        values = self._values.get(name)
        return values[0] if values else None

    def tokens(self, name: bytes) -> list[str]:
        """Return the comma-separated words of a header, from all of its lines."""
        lines = self._values.get(name)
        if not lines:
            return []
        return [word.strip() for line in lines for word in line.split(",") if word.strip()]

    @property
    def path(self) -> str:
        """The target without its query.

        Below `root`, as the application knows it; empty where the target is not below that.
        """
        path = self._whole_path
        if not self.root:
            return path
        below = self.is_root or path.startswith(f"{self.root}/")
        return (path[len(self.root) :] or "/") if below else ""

    @property
    def is_root(self) -> bool:
        """Whether it names `root` itself, without the slash that relative addresses need."""
        return bool(self.root) and self._whole_path == self.root

    @property
    def _whole_path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target's query, without the question mark."""
        return self.target.partition("?")[2]

    @property
    def target_readable(self) -> bool:
        """Whether its target is one that an origin server answers (RFC 9112 §3.2)."""
        if self.target == "*":
            return self.method == "OPTIONS"
        return self.target.startswith("/") and "#" not in self.target

    def upgrades_to(self, protocol: str) -> bool:
        """Whether it asks to speak another protocol from here on (RFC 9110 §7.8)."""
        asked = [word.lower() for word in self.tokens(b"upgrade")]
        return protocol in asked and "upgrade" in [
            word.lower() for word in self.tokens(b"connection")
        ]

    def last_request(self) -> bytes:
        """Return its bytes as those of a connection's last request, in HTTP/1.1 to the end."""
        lines = [f"{self.method} {self.target} HTTP/{self.version}".encode("latin-1")]
        lines += [
            name + b": " + value
            for name, value in self.headers
            if name not in {b"upgrade", b"connection", b"http2-settings"}
        ]
        return b"\r\n".join([*lines, b"connection: close"]) + b"\r\n\r\n"

    def redacted(self) -> Head:
        """Return it as it may be logged: itself, unless a secret stands in a wrong place.

        Only `Authorization` may bring a token to the HTTP side, and no access log shows it unless
        it is told to. What a request for `/stream` carries elsewhere is put there before, where
        the settings allow it.
        """
        target = redact(self.target)
        headers = tuple(
            (name, value if name == b"authorization" else _redact_bytes(name, value))
            for name, value in self.headers
        )
        if (target, headers) == (self.target, self.headers):
            return self
        return self.rewritten(target, headers)

    def rewritten(self, target: str, headers: tuple[tuple[bytes, bytes], ...]) -> Head:
        """Return it with another target and other headers."""
        lines = [f"{self.method} {target} HTTP/{self.version}".encode("latin-1")]
        lines += [name + b": " + value for name, value in headers]
        raw = b"\r\n".join(lines) + b"\r\n\r\n"
        return attrs.evolve(self, raw=raw, target=target, headers=headers)

    @property
    def body_bytes(self) -> int | None:
        """How long its body is; None where only the chunks will tell."""
        if self.first(b"transfer-encoding") is not None:
            return None
        return int(self.first(b"content-length") or 0)


#: An access log shows these between quotes; it is all that they are for.
_SHOWN: Final = frozenset({b"user-agent", b"referer"})
_PLAINLY: Final = bytes.maketrans(b'"' + bytes(range(0x80, 0xA0)), b"'" + b"?" * 32)


def _redact_bytes(name: bytes, value: bytes) -> bytes:
    redacted = redact(value.decode("latin-1")).encode("latin-1")
    return redacted.translate(_PLAINLY) if name in _SHOWN else redacted


def is_for_streams(head: Head) -> bool:
    """Whether a request is for `ticker.streams` to answer, be it by a refusal."""
    if head.path == STREAM_PATH or head.upgrades_to("websocket") or head.version >= "2":
        return True
    return bool(head.method) and not head.target_readable


#: A request as every client of the stream sends it: no body, no folded line, nothing rare.
_PLAIN: Final = re.compile(
    rb"GET (?P<target>/[!-~]*) HTTP/1\.1\r\n(?P<fields>(?:[A-Za-z0-9-]+:[ -~]*\r\n)+)\r\n"
)
_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})
#: A host, or none, and a port (RFC 9110 §7.2, RFC 3986 §3.2.2).
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)


def is_host(text: bytes) -> bool:
    """Whether a text may stand in `Host`; a request with any other is refused (RFC 9112 §3.2)."""
    return _HOST.fullmatch(text) is not None


def parse_plain(data: bytes) -> Head | None:
    """Parse what is so plain that there is nothing to disagree about; None for all else."""
    match = _PLAIN.fullmatch(data)
    if match is None:
        return None
    fields = [line.partition(b":") for line in match["fields"].split(b"\r\n")[:-1]]
    headers = tuple([(name.lower(), value.strip(b" ")) for name, _, value in fields])
    names = [name for name, _ in headers]
    if names.count(b"host") != 1 or not _BODY.isdisjoint(names):
        return None
    if not is_host(headers[names.index(b"host")][1]):
        return None
    return Head(data, b"", "GET", match["target"].decode("ascii"), headers, "1.1")


_LINE_END: Final = b"\r\n"
#: What h11 lets through in a header, and a recipient may refuse (RFC 9110 §5.5).
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class HeadParser:
    """Finds the head at the start of what is fed to it.

    What h11 refuses comes out as a head without a method, with the status to answer. A plain
    request is told by one regular expression instead, since parsing is the dearest part of a
    handshake; tests hold the two against each other.
    """

    def __init__(self) -> None:
        self._received = b""
        self._may_be_empty = True
        self._parser: h11.Connection | None = None

    def feed(self, data: bytes) -> Head | None:
        """Take the next bytes; return the head once it is complete.

        One empty line before it is passed over: some clients end a body with it (RFC 9112 §2.2).
        """
        self._received += data
        if self._parser is None:
            if self._may_be_empty and self._received.startswith(_LINE_END):
                self._received = self._received[len(_LINE_END) :]
                self._may_be_empty = False
            if not self._received or self._received == b"\r":
                return None
            head = parse_plain(self._received)
            if head is not None:
                return head
            self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HEAD_BYTES)
            data = self._received
        self._parser.receive_data(data)
        try:
            event = self._parser.next_event()
        except h11.RemoteProtocolError as error:
            return Head(self._received, b"", fault=error.error_status_hint)
        if not isinstance(event, h11.Request):
            return None
        if any(
            _CONTROL.search(value) or (name == b"host" and not is_host(value))
            for name, value in event.headers
        ):
            return Head(self._received, b"", fault=400)
        rest = bytes(self._parser.trailing_data[0])
        return Head(
            self._received[: len(self._received) - len(rest)],
            rest,
            event.method.decode("latin-1"),
            event.target.decode("latin-1"),
            tuple((name, value) for name, value in event.headers),
            event.http_version.decode("latin-1"),
        )


async def read_head(
    stream: Readable,
    scope: trio.CancelScope,
    received: bytes = b"",
    *,
    idle_seconds: float = math.inf,
    turn: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint_if_cancelled,
) -> Head | None:
    """Read one request head.

    Args:
        stream: where it comes from.
        scope: around all that there is to do if no head comes: it is cancelled where the
            first byte is not there in time, or the rest not `limits.HEAD_SECONDS` later.
        received: what has come already.
        idle_seconds: how long to wait for the first byte.
        turn: is awaited between what came and what is done with it.

    Returns:
        The head, or None where the peer left.
    """
    parser = HeadParser()
    begun = False
    while True:
        if not received:
            if not begun:
                scope.deadline = trio.current_time() + idle_seconds
            received = bytes(await stream.receive_some(limits.HEAD_BYTES))
            if not received:
                return None
        await turn()
        head = parser.feed(received)
        if head is not None:
            if scope.deadline != math.inf:  # most heads have come whole before anybody waits
                scope.deadline = math.inf
            return head
        received = b""
        if not begun:
            begun = True
            scope.deadline = trio.current_time() + limits.HEAD_SECONDS
