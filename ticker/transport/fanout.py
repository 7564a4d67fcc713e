"""How ticks get to streams: through a ring where the system has one, else one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter

import structlog
import trio

from ticker import limits
from ticker.market.subscriber import ONE_BY_ONE, Fanout, Offer, Subscriber
from ticker.transport.io_uring import Recipients, Ring, RingUnavailableError
from ticker.transport.socket_stream import SocketStream, blockings

log = structlog.get_logger()

_blocked = attrgetter("blocked")


class RingFanout:
    """Offers a frame to many plain sockets in one system call."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def gather(self, subscribers: Sequence[Subscriber], /) -> Offer:
        """Prepare to offer frames to these.

        A ring is for plain sockets, since each TLS connection has bytes of its own, and pays where
        there are several.
        """
        streams = [each for each in subscribers if type(each) is SocketStream]
        one_by_one = ONE_BY_ONE.gather(subscribers)
        if len(streams) < max(len(subscribers), limits.RING_FRAMES):
            return one_by_one
        recipients = Recipients([stream.fileno() for stream in streams])
        seen = -1

        def offer(frame: bytes) -> Iterator[tuple[int, Exception | None]]:
            nonlocal seen
            # Who is closed is blocked, too: a descriptor that is no longer theirs is not used.
            if seen != blockings.count:
                if any(map(_blocked, streams)):
                    yield from one_by_one(frame)
                    return
                seen = blockings.count
            if len(frame) > self._ring.longest:
                yield from one_by_one(frame)
                return
            for place, result in self._ring.send(recipients, frame):
                try:
                    streams[place].complete_send(frame, result)
                except trio.WouldBlock:
                    yield place, None
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    yield place, error

        return offer


@contextmanager
def open_fanout(io_uring: str) -> Iterator[Fanout]:
    """Give the fastest way there is; to be used in this thread alone.

    Args:
        io_uring: `auto`, or `off` to do without.
    """
    if io_uring == "off":
        yield ONE_BY_ONE
        return
    try:
        ring = Ring(limits.FANOUT_SLICE_FRAMES, longest=limits.RING_FRAME_BYTES)
    except RingUnavailableError as error:
        log.info("io_uring_unavailable", reason=str(error))
        yield ONE_BY_ONE
        return
    with ring:
        yield RingFanout(ring)
