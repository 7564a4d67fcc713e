"""Close a connection without losing what was sent last."""

from __future__ import annotations

import trio

from ticker import limits


async def linger(stream: trio.abc.HalfCloseableStream) -> None:
    """Say that nothing more will be sent, and wait for the peer to close its side.

    Closing a socket with unread bytes makes the kernel send a reset, which may overtake what
    was sent last (RFC 9112 §9.6). So what the peer still sends is read and dropped, for at
    most `limits.CLOSE_SECONDS` and `limits.LINGER_BYTES`.
    """
    try:
        with trio.move_on_after(limits.CLOSE_SECONDS):
            await stream.send_eof()
            budget = limits.LINGER_BYTES
            while budget > 0:
                dropped = await stream.receive_some(limits.RECEIVE_BYTES)
                if not dropped:
                    return
                budget -= len(dropped)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        # Gone already, or another task is reading, and drops what comes by itself.
        return
