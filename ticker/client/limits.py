"""What one client may wait for, keep and send, with the reason for each size.

Rules for this module: constants only; units in the name.
"""

from __future__ import annotations

from typing import Final

#: The DNS look-up, TCP and TLS, and the WebSocket handshake together: a longer
#: wait would only keep further tries from being made.
CONNECT_SECONDS: Final = 10.0
#: Entering `ticker.connect()` tries this long to reach a server, in several attempts.
OPEN_SECONDS: Final = 10.0
#: `welcome` is sent at once; a peer that shakes hands and then says nothing is not Ticker.
WELCOME_SECONDS: Final = 10.0
#: `subscribe`, `unsubscribe`, `ping` and `auth` are answered from memory: longer is a fault.
ANSWER_SECONDS: Final = 10.0
#: The whole exchange of an API key: it may wait for a database and for slowed-down guesses.
EXCHANGE_SECONDS: Final = 15.0
#: The token answer is about 200 bytes; more is no answer of a Ticker server.
EXCHANGE_BYTES: Final = 64 * 1024
#: A stream that says nothing for so long is asked for a sign of life: ticks come every 10 ms, so
#: that only a paused market, or a subscription at a slow pace, costs a ping a second.
PROBE_AFTER_SECONDS: Final = 1.0
#: Without an answer by then the path is dead; a program hears of it within 3 s of the last byte.
SILENCE_SECONDS: Final = 2.5
#: What we write is below 4 KiB, less than any socket buffer: waiting means a dead path.
WRITE_SECONDS: Final = 10.0
#: The closing handshake: a peer that does not answer it must not hold up the program.
CLOSE_SECONDS: Final = 1.0
#: A tick is about 80 bytes a symbol; this holds one of ten thousand symbols.
MESSAGE_BYTES: Final = 1024 * 1024
#: The server closes with 1009 above this, so a larger request is refused before it is sent.
REQUEST_BYTES: Final = 4 * 1024
#: Read size of the socket: some hundreds of ticks in one system call when behind.
RECEIVE_BYTES: Final = 64 * 1024
#: Messages other than prices kept for a slow consumer: they come a few a minute.
CONTROL_BACKLOG: Final = 256
#: Ticks of `every` kept for a slow consumer: forty seconds of a tick of 10 ms, more than the
#: server's log reaches back; and the prices in them, some 30 MB. Then the stream waits.
EVERY_FRAMES: Final = 4096
EVERY_PRICES: Final = 100_000
#: A handshake's subscription is confirmed right after `welcome`. A server, or a proxy, that passes
#: over the query sends no confirmation, and is asked by message instead.
HANDSHAKE_ANSWER_SECONDS: Final = 1.0
#: The first reconnect is due within this, so that a restart goes almost unnoticed ...
BACKOFF_INITIAL_SECONDS: Final = 0.5
#: ... and later ones within at most this, so that a returning server is found again soon.
BACKOFF_MAXIMUM_SECONDS: Final = 30.0
#: Only a stream that lasted this long shows that the fault is mended and resets the backoff.
STABLE_SECONDS: Final = 10.0
#: The longest wait that a server may ask for (`Retry-After`, `retry_after_ms`).
RETRY_AFTER_MAXIMUM_SECONDS: Final = 300.0
#: So many connections in a row that broke the protocol are no accident: the peer is not Ticker.
PROTOCOL_VIOLATIONS: Final = 3
#: A token is renewed after between these parts of its life: far enough ahead for several
#: tries, and spread so that clients started together do not renew together.
RENEW_AFTER_PART: Final = 0.6
RENEW_SPREAD_PART: Final = 0.2
