"""Hand-made attacks: bytes that no honest client sends, or no complete request.

Rules for this module: pure; a token goes in, named bytes come out. An attack is either the
first bytes of a connection or what follows a good handshake. The one that runs them decides where
to cut them and how to leave.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator

import attrs

_CRLF = b"\r\n"
_MASK = b"\x12\x34\x56\x78"


@attrs.frozen
class Attack:
    """Some bytes to send.

    Attributes:
        name: what a report calls it.
        raw: the bytes.
        opened: whether a good handshake comes first, and is waited for.
    """

    name: str
    raw: bytes = attrs.field(repr=False)
    opened: bool = False


def upgrade(
    token: str, *more: bytes, start: bytes = b"GET /ws/ticker HTTP/1.1", without: bytes = b""
) -> bytes:
    """Return a good request for the stream, with lines added, or one left out by its start."""
    lines = [
        b"Host: attacked",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Authorization: Bearer " + token.encode(),
    ]
    kept = [line for line in lines if not (without and line.startswith(without))]
    return _CRLF.join([start, *kept, *more]) + _CRLF * 2


def request(start: bytes, *lines: bytes, body: bytes = b"", host: bool = True) -> bytes:
    """Return a request that is no upgrade."""
    return _CRLF.join([start, *([b"Host: attacked"] if host else []), *lines]) + _CRLF * 2 + body


def frame(
    first: int, payload: bytes = b"", *, masked: bool = True, length: bytes | None = None
) -> bytes:
    """Return one client's frame; `length` overrides what its length field says."""
    size = len(payload)
    if length is None:
        length = (
            bytes((size,))
            if size < 126
            else b"\x7e" + struct.pack(">H", size)
            if size < 65536
            else b"\x7f" + struct.pack(">Q", size)
        )
    flagged = bytes((length[0] | (0x80 if masked else 0),)) + length[1:]
    if not masked:
        return bytes((first,)) + flagged + payload
    mask = (_MASK * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
    return bytes((first,)) + flagged + _MASK + hidden


def text(message: object) -> bytes:
    """Return a JSON message in a text frame."""
    return frame(0x81, json.dumps(message).encode())


def attacks(token: str) -> list[Attack]:
    """Return every attack; the token is a good one."""
    firsts = [
        *_around_the_upgrade(token),
        *_other_protocols(token),
        *_strange_bytes(token),
        *_contradictions(token),
        *_bodies(token),
        *_heads(token),
        *_targets(token),
        *_methods_and_versions(token),
    ]
    return [Attack(name, raw) for name, raw in firsts] + [
        Attack(name, raw, opened=True) for name, raw in [*_frames(), *_closes(), *_messages()]
    ]


_Named = Iterator[tuple[str, bytes]]


def _around_the_upgrade(token: str) -> _Named:
    good = upgrade(token)
    page = request(b"GET /healthz HTTP/1.1")
    yield "bytes after the upgrade request", good + b"hello"
    yield "a frame before the accept", good + text({"type": "ping"})
    yield "a close before the accept", good + frame(0x88)
    yield "half a frame before the accept", good + text({"type": "ping"})[:3]
    yield "a request after the upgrade", good + page
    yield "two upgrades at once", good + good
    yield "a request, then an upgrade", page + good
    yield "fifty pipelined requests", page * 50
    yield "a pipelined upgrade, then frames", page + good + text({"type": "ping"})
    yield (
        "a pipelined upgrade to another path",
        page + upgrade(token, start=b"GET /other HTTP/1.1"),
    )
    yield "a pipelined request without a host", page + b"GET / HTTP/1.1\r\n\r\n"


def _other_protocols(token: str) -> _Named:
    settings = b"HTTP2-Settings: AAMAAABkAAQAAP__"
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    h2c = (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", settings)
    yield "h2c to a page", request(b"GET / HTTP/1.1", *h2c)
    yield (
        "h2c with a body",
        request(b"POST /auth/token HTTP/1.1", *h2c, b"Content-Length: 2", body=b"{}"),
    )
    yield "h2c with bad settings", request(b"GET / HTTP/1.1", *h2c[:2], b"HTTP2-Settings: \xff=!")
    yield "h2c to the stream", upgrade(token, *h2c, without=b"Upgrade")
    yield "h2c and websocket", upgrade(token, b"Upgrade: h2c", settings)
    yield "h2c, then the HTTP/2 preface", request(b"GET / HTTP/1.1", *h2c) + preface
    yield "the HTTP/2 preface", preface
    yield "the preface and settings", preface + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    yield "the preface and junk", preface + bytes(range(256))
    yield (
        "the preface and an endless header block",
        preface + b"\x00\x40\x00\x01\x00\x00\x00\x00\x01" + b"\x82" * 16_384,
    )
    yield "a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200))
    yield "an SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n"
    yield "SOCKS 5", b"\x05\x01\x00\x05\x01\x00\x03\x09localhost\x00\x50"
    yield "nothing but NUL", b"\0" * 1024
    yield "every byte there is", bytes(range(256)) * 4
    yield "a PROXY protocol line", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + upgrade(token)


def _strange_bytes(token: str) -> _Named:
    yield "é in the subprotocol", upgrade(token, b"Sec-WebSocket-Protocol: \xe9")
    yield (
        "é among subprotocols",
        upgrade(token, b"Sec-WebSocket-Protocol: ticker.v1, bearer.\xe9"),
    )
    yield (
        "é in the key",
        upgrade(
            token, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\xe9Q==", without=b"Sec-WebSocket-K"
        ),
    )
    yield "é in the extensions", upgrade(token, b"Sec-WebSocket-Extensions: \xe9; x=\xff")
    yield "é in the WebSocket version", upgrade(token, b"Sec-WebSocket-Version: \xe9")
    yield "é in the origin", upgrade(token, b"Origin: http://\xe9")
    yield "an origin that is no address", upgrade(token, b"Origin: http://[::1")
    yield "é in the host", upgrade(token, b"Host: \xe9", without=b"Host")
    yield "é in the token", upgrade(token, b"Authorization: Bearer \xe9", without=b"Authorization")
    yield "é in a cookie", upgrade(token, b"Cookie: x-auth-token=\xe9; =; ;;")
    yield "é as upgrade", upgrade(token, b"Upgrade: \xe9", without=b"Upgrade")
    yield "é in a header's name", upgrade(token, b"X-\xe9: 1")
    yield "é in a page's header", request(b"GET / HTTP/1.1", b"Accept: \xe9", b"Cookie: \xff\xfe")
    yield "é in a page's host", request(b"GET / HTTP/1.1", b"Host: \xe9", host=False)
    yield (
        "é in a page's upgrade",
        request(b"GET / HTTP/1.1", b"Upgrade: \xe9", b"Connection: \xe9, Upgrade"),
    )
    yield (
        "é in a body's type",
        request(
            b"POST /auth/token HTTP/1.1",
            b"Content-Type: \xe9; charset=\xff",
            b"Content-Length: 2",
            body=b"{}",
        ),
    )
    yield "NUL in a header", upgrade(token, b"X-A: a\0b")
    yield "a bare CR in a header", upgrade(token, b"X-A: a\rb")


def _contradictions(token: str) -> _Named:
    yield "two hosts", upgrade(token, b"Host: other")
    yield "two keys", upgrade(token, b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    yield "two WebSocket versions", upgrade(token, b"Sec-WebSocket-Version: 8")
    yield "two upgrades in one request", upgrade(token, b"Upgrade: websocket")
    yield "close and upgrade", upgrade(token, b"Connection: close")
    yield "an upgrade without its connection", upgrade(token, without=b"Connection")
    yield "a connection without its upgrade", upgrade(token, without=b"Upgrade")
    yield "no key", upgrade(token, without=b"Sec-WebSocket-Key")
    yield "a short key", upgrade(token, b"Sec-WebSocket-Key: AAAA", without=b"Sec-WebSocket-K")
    yield "two tokens", upgrade(token, b"Authorization: Bearer other")
    yield "two origins", upgrade(token, b"Origin: http://attacked", b"Origin: http://other")
    yield (
        "deflate with every parameter",
        upgrade(
            token,
            b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99; "
            b"client_max_window_bits=; x, permessage-deflate",
        ),
    )
    yield (
        "a thousand subprotocols",
        upgrade(token, b"Sec-WebSocket-Protocol: " + b",".join([b"a"] * 1000)),
    )


def _bodies(token: str) -> _Named:
    post = b"POST /auth/token HTTP/1.1"
    chunked = b"Transfer-Encoding: chunked"
    yield "a body on an upgrade", upgrade(token, b"Content-Length: 5") + b"hello"
    yield "a body never sent", upgrade(token, b"Content-Length: 5")
    yield "chunks on an upgrade", upgrade(token, chunked) + b"5\r\nhello\r\n0\r\n\r\n"
    yield "a length and chunks on an upgrade", upgrade(token, chunked, b"Content-Length: 9")
    yield "two lengths", request(post, b"Content-Length: 2", b"Content-Length: 9", body=b"{}")
    yield (
        "a length and chunks",
        request(post, b"Content-Length: 4", chunked, body=b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    )
    for size in (b"-1", b"+2", b"0x2", b"2,9", b"1e3", b"99999999999999999999999", b"\xb2"):
        name = f"a length of {size.decode('latin-1')}"
        yield name, request(post, b"Content-Length: " + size, body=b"{}")
    yield "a length of 5,000 digits", request(post, b"Content-Length: " + b"9" * 5000)
    yield "gzip as transfer", request(post, b"Transfer-Encoding: gzip", body=b"\x1f\x8b")
    yield "chunked twice", request(post, b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n")
    yield "chunked, hidden", request(post, b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")
    for size in (b"zz", b"-5", b"0x5", b"ffffffffffffffffff", b"", b" 5", b"5;" + b"a" * 70_000):
        name = f"a chunk of size {size[:20].decode()!r}"
        yield name, request(post, chunked, body=size + b"\r\nhello\r\n0\r\n\r\n")
    yield "a chunk without its end", request(post, chunked, body=b"5\r\nhelloXX0\r\n\r\n")
    yield "a bad trailer", request(post, chunked, body=b"0\r\n\xe9 bad\r\n\r\n")
    yield "a trailer of 70 KB", request(post, chunked, body=b"0\r\nx: " + b"a" * 70_000)
    ended = request(post, chunked, body=b"2\r\n{}\r\n0\r\n\r\n")
    h2c = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ")
    yield "h2c after chunks", ended + request(b"GET / HTTP/1.1", *h2c)
    yield "an upgrade after chunks", ended + upgrade(token)
    yield (
        "an upgrade of another path after chunks",
        ended + upgrade(token, start=b"GET /other HTTP/1.1"),
    )
    yield "ten thousand tiny chunks", request(post, chunked, body=b"1\r\n \r\n" * 10_000)
    for body in (
        b"[" * 4000,
        b'{"api_key":"\xff"}',
        b"\xff\xfe{\0}\0",
        b'{"api_key":1e9999}',
        b"\0",
    ):
        length = b"Content-Length: %d" % len(body)
        yield f"a body of {body[:14]!r}", request(post, length, body=body)
    yield "a body of 70 KB", request(post, b"Content-Length: 70000", body=b" " * 70_000)
    yield "a body on GET", request(b"GET / HTTP/1.1", b"Content-Length: 3", body=b"abcGET")
    yield (
        "Expect on a body",
        request(post, b"Expect: 100-continue", b"Content-Length: 2", body=b"{}"),
    )
    yield "Expect and no body", request(post, b"Expect: 100-continue", b"Content-Length: 9")
    yield "Expect on an upgrade", upgrade(token, b"Expect: 100-continue")
    yield "Expect what no server knows", request(b"GET / HTTP/1.1", b"Expect: 200-ok")


def _heads(token: str) -> _Named:
    yield "a header of 70 KB", upgrade(token, b"X: " + b"a" * 70_000)
    yield "70 KB of headers", upgrade(token, *[b"X: " + b"a" * 66] * 1000)
    yield "a target of 70 KB", request(b"GET /" + b"a" * 70_000 + b" HTTP/1.1")
    yield "a method of 70 KB", b"G" * 70_000
    yield "a head of 16 KB exactly", upgrade(token, b"X: " + b"a" * (16_384 - 235 - len(token)))
    yield "a folded header", upgrade(token, b"X-A: a", b" b")
    yield "a folded first header", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"
    yield "a space before the colon", upgrade(token, b"X-A : a")
    yield "a header without a name", upgrade(token, b": a")
    yield "a header without a colon", upgrade(token, b"nonsense")
    yield "lines ended by LF alone", upgrade(token).replace(b"\r\n", b"\n")
    yield "lines ended by CR alone", upgrade(token).replace(b"\r\n", b"\r")
    yield "a thousand empty lines", b"\r\n" * 1000 + upgrade(token)


def _targets(token: str) -> _Named:
    for target in (
        b"/\0",
        b"/%00",
        b"/%ff",
        b"/%c0%af..",
        b"/%",
        b"/%zz",
        b"/\xe9",
        b"/../../etc/passwd",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"//",
        b"//evil/path",
        b"/a b",
        b"/prices/%ff%00",
        b"/prices/\xff",
        b"/" + b"../" * 500,
        b"/?" + b"&" * 5000,
        b"?",
        b"",
        b"*",
        b"attacked:443",
        b"http://attacked/ws/ticker",
        b"http://",
        b"http://[::1/",
        b"%00http://[::1/",
        b"%68ttp://[::1/",
        b"%3f",
        b"ws://attacked/ws/ticker",
        b"#",
    ):
        name = target[:24].decode("latin-1")
        yield f"the target {name!r}", request(b"GET " + target + b" HTTP/1.1")
        yield f"an upgrade of {name!r}", upgrade(token, start=b"GET " + target + b" HTTP/1.1")
    yield "NUL after the stream's path", upgrade(token, start=b"GET /ws/ticker\0 HTTP/1.1")
    yield (
        "%ff in the stream's query",
        upgrade(token, start=b"GET /ws/ticker?x-auth-token=%ff%00 HTTP/1.1"),
    )


def _methods_and_versions(token: str) -> _Named:
    yield "OPTIONS *", request(b"OPTIONS * HTTP/1.1")
    yield "OPTIONS to the stream", upgrade(token, start=b"OPTIONS /ws/ticker HTTP/1.1")
    yield "CONNECT to elsewhere", request(b"CONNECT attacked:443 HTTP/1.1")
    yield "CONNECT to the stream", upgrade(token, start=b"CONNECT /ws/ticker HTTP/1.1")
    yield "CONNECT that upgrades", upgrade(token, start=b"CONNECT attacked:80 HTTP/1.1")
    yield "POST to the stream", upgrade(token, start=b"POST /ws/ticker HTTP/1.1")
    yield "HEAD to the stream", upgrade(token, start=b"HEAD /ws/ticker HTTP/1.1")
    yield "TRACE", request(b"TRACE / HTTP/1.1")
    yield "a method no server knows", request(b"FROBNICATE / HTTP/1.1")
    yield "a method in small letters", upgrade(token, start=b"get /ws/ticker HTTP/1.1")
    yield "an upgrade over HTTP/1.0", upgrade(token, start=b"GET /ws/ticker HTTP/1.0")
    yield "a page over HTTP/1.0", request(b"GET / HTTP/1.0", b"Connection: keep-alive")
    yield "HTTP/0.9", b"GET /ws/ticker\r\n"
    for version in (b"HTTP/1.2", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.", b"HTTP/-1", b"ICY"):
        name = version.decode()
        yield f"an upgrade over {name}", upgrade(token, start=b"GET /ws/ticker " + version)
        yield f"a page over {name}", request(b"GET / " + version)
    yield "no host", upgrade(token, without=b"Host")
    yield "a page without a host", request(b"GET / HTTP/1.1", host=False)


def _frames() -> _Named:
    ping = text({"type": "ping"})
    yield "an unmasked frame", frame(0x81, b'{"type":"ping"}', masked=False)
    yield "an unmasked ping", frame(0x89, b"", masked=False)
    for bit in (0x40, 0x20, 0x10):
        yield f"reserved bit {bit:#x}", frame(0x81 | bit, b"{}")
        yield f"reserved bit {bit:#x} on a ping", frame(0x89 | bit)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"opcode {opcode}", frame(0x80 | opcode, b"x")
    yield "a ping of 126 bytes", frame(0x89, b"a" * 126)
    yield "a ping of 64 KB", frame(0x89, b"a" * 65_536)
    yield "a ping in fragments", frame(0x09, b"a") + frame(0x80, b"b")
    yield "a continuation without a start", frame(0x80, b"a")
    yield "an endless start", frame(0x01, b"a") * 50
    yield "a text inside a text", frame(0x01, b"{") + ping
    yield "a ping inside a text", frame(0x01, b'{"type":') + frame(0x89) + frame(0x80, b'"ping"}')
    yield "bad UTF-8", frame(0x81, b"\xff\xfe")
    yield "UTF-8 cut short", frame(0x81, b"\xe2\x82")
    yield "a surrogate in UTF-8", frame(0x81, b'"\xed\xa0\x80"')
    yield "overlong UTF-8", frame(0x81, b"\xc0\xaf")
    yield "bad UTF-8 over two fragments", frame(0x01, b"\xe2") + frame(0x80, b"\x28\xa1")
    for name, length in (
        ("2⁶³", b"\x7f\x80" + b"\0" * 7),
        ("2⁶⁴-1", b"\x7f" + b"\xff" * 8),
        ("2⁶³-1", b"\x7f\x7f" + b"\xff" * 7),
        ("2³²", b"\x7f\0\0\0\x01\0\0\0\0"),
        ("5 in 16 bits", b"\x7e\x00\x05"),
        ("5 in 64 bits", b"\x7f" + b"\0" * 7 + b"\x05"),
    ):
        yield f"a length of {name}", frame(0x81, b"hello", length=length)
        yield f"a ping of length {name}", frame(0x89, b"hello", length=length)
    bomb = zlib.compress(b" " * 1_000_000)[2:-4]
    yield "a compressed frame never agreed on", frame(0xC1, bomb)
    yield "a compressed start", frame(0x41, bomb[:100]) + frame(0x80, bomb[100:])
    yield "a thousand pings", frame(0x89, b"x") * 1000
    yield "a thousand pongs", frame(0x8A, b"x") * 1000
    yield "a thousand empty fragments", frame(0x01) + frame(0x00) * 1000
    yield "HTTP after the handshake", request(b"GET / HTTP/1.1")
    yield "TLS after the handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def _closes() -> _Named:
    yield "a close of one byte", frame(0x88, b"\x03")
    yield "an empty close", frame(0x88)
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
        yield f"close code {code}", frame(0x88, struct.pack(">H", code))
    yield "a close with bad UTF-8", frame(0x88, b"\x03\xe8\xff\xfe")
    yield "a close of 126 bytes", frame(0x88, b"\x03\xe8" + b"a" * 124)
    yield "data after close", frame(0x88, b"\x03\xe8") + text({"type": "ping"}) * 10
    yield "two closes", frame(0x88, b"\x03\xe8") * 2
    yield "a ping after close", frame(0x88, b"\x03\xe8") + frame(0x89)
    yield "a close inside a text", frame(0x01, b"{") + frame(0x88, b"\x03\xe8")
    yield "an unmasked close", frame(0x88, b"\x03\xe8", masked=False)
    yield "a close that is not the end", frame(0x08, b"\x03\xe8") + frame(0x80)


def _messages() -> _Named:
    yield "an empty text", frame(0x81)
    yield "a binary message", frame(0x82, b'{"type":"ping"}')
    yield "no JSON", frame(0x81, b"hello") * 6
    yield "JSON 2,000 deep", frame(0x81, b"[" * 2000 + b"]" * 2000)
    yield "a number without end", frame(0x81, b'{"type":"ping","id":' + b"9" * 3000 + b"}")
    yield "a message of 4,097 bytes", frame(0x81, b'"' + b"a" * 4095 + b'"')
    yield "a message of 1 MB", frame(0x81, b" " * 1_000_000)
    yield (
        "a message of 1 MB in fragments",
        (frame(0x01, b" " * 1000) + frame(0x00, b" " * 1000) * 1000),
    )
    yield "NaN", frame(0x81, b'{"type":"subscribe","interval_ms":NaN}')
    yield "an interval of 2⁶⁴", text({"type": "subscribe", "interval_ms": 2**64})
    yield "a negative interval", text({"type": "subscribe", "interval_ms": -1})
    yield "a thousand symbols", text({"type": "subscribe", "symbols": ["BTC-USD"] * 300})
    yield (
        "a symbol of lone surrogates",
        frame(0x81, b'{"type":"subscribe","symbols":["\\ud800\\udfff\\ud800"]}'),
    )
    yield "an id of every kind", text({"type": "ping", "id": {"a": [1, None]}})
    yield "a token of 4 KB", text({"type": "auth", "token": "a" * 4000})
    yield "a token of NUL", text({"type": "auth", "token": "\0"})
    yield "a flood of requests", text({"type": "subscribe"}) * 100
