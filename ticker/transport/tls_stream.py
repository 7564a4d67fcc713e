"""A connection over TLS: a `SocketStream` whose bytes pass through a record layer.

Theory of operation. `ssl.SSLObject` over two memory BIOs is synchronous: what is written comes out
of one as records, and what the peer sent goes into the other. So a frame is encrypted and sent
without waiting and without a task, just as over a plain socket, and whatever the kernel does not
take waits as `_rest`, in the order in which it was encrypted. A record that was made must go out
(RFC 8446 §5.3 numbers them), so `send_nowait` asks for room before it encrypts.

Reading may make records to send, as an answer to a key update; they join the same line.

Rules for this module: it turns bytes into records and back, and leaves sockets, deadlines and
turns to `socket_stream`.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress
from socket import MSG_EOR
from typing import ClassVar, Final

import trio

from ticker import limits
from ticker.transport.socket_stream import SocketStream, Turn

#: The version whose handshake the peer ends (RFC 8446 §2); in older ones it waits for our end.
_ENDS_WITH_THE_PEER: Final = "TLSv1.3"


class TlsStream(SocketStream):
    """A connected socket that speaks TLS, as the server; `handshake` comes first."""

    __slots__ = ("_answers", "_encrypt", "_has_room", "_incoming", "_outgoing", "_records", "_tls")

    secure: ClassVar[bool] = True

    def __init__(self, raw: socket.socket, context: ssl.SSLContext) -> None:
        """Begin with nothing said, on a connected, non-blocking socket."""
        super().__init__(raw)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        # Bytes of answers among the rest.
        self._answers = 0
        room = select.poll()
        room.register(raw, select.POLLOUT)
        # Methods of these that every frame goes through.
        self._has_room, self._encrypt, self._records = (
            room.poll,
            self._tls.write,
            self._outgoing.read,
        )

    async def handshake(self, turn: Turn = trio.lowlevel.checkpoint_if_cancelled) -> None:
        """Shake hands; nothing limits how long that takes.

        Args:
            turn: is awaited before each step that takes long.

        Raises:
            trio.BrokenResourceError: the peer has gone, or they do not agree.
        """
        # A client greets as soon as it is connected: nearly always it has by now.
        greeting = super().receive_nowait(limits.TLS_READ_BYTES)
        self._incoming.write(greeting)
        try:
            while True:
                if greeting:
                    greeting = b""
                else:
                    await self._take_in()
                await turn()
                if self._hands_shaken():
                    break
                await self._send_records()
        except ssl.SSLError as error:
            with suppress(trio.BrokenResourceError):
                await self._send_records()  # the alert that says why
            raise trio.BrokenResourceError(f"no TLS handshake: {error.reason}") from error
        if self._tls.version() != _ENDS_WITH_THE_PEER:
            await self._send_records()
        # Else there is nothing to say, or session tickets (RFC 8446 §4.6.1): they go out before
        # anything else is sent or waited for, with the answer where the request has come already.

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that both sides agreed on in the handshake."""
        return self._tls.selected_alpn_protocol()

    def send_nowait(self, frame: bytes, /) -> None:
        """Write one whole frame, or none of it; raises as over a plain socket."""
        if self.blocked:
            self._refuse()
        if not self._has_room(0):
            raise trio.WouldBlock
        self._send_now(self._on_the_wire(frame))

    def receive_nowait(self, max_bytes: int) -> bytes:
        """Return what came after the handshake's last message; empty where there is nothing."""
        try:
            return self._tls.read(max_bytes)
        except ssl.SSLError:
            return b""

    async def send_eof(self) -> None:
        """Say that nothing more will be sent, by TLS (RFC 8446 §6.1) and by TCP."""
        async with self._lock():
            # It has been sent once this raises: what is missing is the peer's own.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._keep_rest(self._outgoing.read())
        await super().send_eof()

    def _hands_shaken(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _on_the_wire(self, payload: bytes) -> bytes:
        try:
            written = self._encrypt(payload) if payload else 0
            while written != len(payload):
                # A record at a time (RFC 8446 §5.1).
                written += self._encrypt(memoryview(payload)[written:])
        except ssl.SSLError as error:
            raise trio.BrokenResourceError(f"TLS is over: {error.reason}") from error
        return self._records()

    def _send_now(self, records: bytes) -> None:
        """Send records with nothing before them, as far as there is room."""
        try:
            sent = self._send(records, MSG_EOR)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._translated(error) from error
        if sent != len(records):
            self._keep_rest(records[sent:])
            self.on_partial_write()

    async def _send_records(self) -> None:
        """Send the records of the handshake, all of them; nothing else is sent meanwhile."""
        self._send_now(self._outgoing.read())
        if self._rest:
            async with self._lock():
                await self._finish_rest()

    def _answer_records(self) -> None:
        """Send what reading made, in line with everything else; never waits.

        Raises:
            trio.BrokenResourceError: the peer has gone, or asks for answers and reads none.
        """
        records = self._outgoing.read()
        if not records:
            return
        if not self._rest:
            self._answers = 0
            self._send_now(records)
            return
        self._answers += len(records)
        if self._answers > limits.TLS_ANSWER_BYTES:
            self.abort()
            raise trio.BrokenResourceError("the peer reads none of the answers it asks for")
        self._keep_rest(records)

    async def _receive(self, max_bytes: int) -> bytes:
        """Receive what is there once it is decrypted; can be cancelled without losing any."""
        await trio.lowlevel.checkpoint_if_cancelled()
        waited = False
        while True:
            try:
                data = self._tls.read(max_bytes)
            except ssl.SSLWantReadError:
                self._answer_records()
                await self._take_in()
                waited = True
                continue
            except ssl.SSLEOFError:
                data = b""  # many peers just hang up (RFC 9112 §9.8)
            except ssl.SSLError as error:
                raise trio.BrokenResourceError(f"TLS is over: {error.reason}") from error
            if not waited:
                await trio.lowlevel.cancel_shielded_checkpoint()
            return data

    async def _take_in(self) -> None:
        """Receive some of the peer's records, or its end."""
        records = await super()._receive(limits.TLS_READ_BYTES)
        if records:
            self._incoming.write(records)
        else:
            self._incoming.write_eof()
