"""Ways to send one ready frame to many sockets from Python, in isolation.

    python -m benchmarks.experiments.senders send|whole|threads|c-loop|uring|ring

A bare server: one epoll between the ticks, no event loop. What differs
between the ways is only how a tick goes out:

- `send`: `socket.send` for each; the reference for what Python adds to the floor.
- `whole`: the same with MSG_EOR and TCP_NOTSENT_LOWAT at 1, so that the kernel takes a frame
  whole and only while none waits before it; see kernel_queue.py.
- `threads`: half of them from a second thread; the system call releases the GIL.
- `c-loop`: one call of a C function that calls send(2) for each, GIL released.
- `uring`: one call of a C function that makes one io_uring_enter(2) for all.
- `ring`: Ticker's own ring, without a line of C.

The C functions are in `experiments/uring.h`; they exist for measuring and ship with nothing.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import queue
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers import common

Deliver = Callable[[Sequence[socket.socket], bytes], None]


def send(sockets: Sequence[socket.socket], frame: bytes) -> None:
    """Send to each in turn."""
    for each in sockets:
        try:
            each.send(frame)
        except OSError:
            continue  # full, or just gone


def send_whole(sockets: Sequence[socket.socket], frame: bytes) -> None:
    """Send to each in turn, each frame in a segment of its own."""
    for each in sockets:
        try:
            each.send(frame, socket.MSG_EOR)
        except OSError:
            continue  # a frame waits before it, or just gone


def in_two_threads() -> Deliver:
    """Send to the second half from another thread."""
    work: queue.SimpleQueue[tuple[Sequence[socket.socket], bytes]] = queue.SimpleQueue()
    done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def second() -> None:
        while True:
            send(*work.get())
            done.put(None)

    threading.Thread(target=second, daemon=True).start()

    def deliver(sockets: Sequence[socket.socket], frame: bytes) -> None:
        half = len(sockets) // 2
        work.put((sockets[half:], frame))
        send(sockets[:half], frame)
        done.get()

    return deliver


def in_a_ring() -> Deliver:
    """Send to all through Ticker's own ring."""
    from ticker.transport.io_uring import Recipients, Ring  # noqa: PLC0415 - a second that others need not wait

    ring = Ring(512)
    known: Sequence[socket.socket] = ()
    recipients = Recipients([])

    def deliver(sockets: Sequence[socket.socket], frame: bytes) -> None:
        nonlocal known, recipients
        if sockets is not known:
            known = sockets
            recipients = Recipients([each.fileno() for each in sockets])
        ring.send(recipients, frame)

    return deliver


def in_c(name: str) -> Deliver:
    """Send to all in one call of a C function."""
    helper = ctypes.CDLL(str(Path(__file__).parents[1] / ".build" / "helper.so"))
    if name == "uring_send" and (failed := helper.uring_open(512)):
        raise OSError(-failed, os.strerror(-failed))
    call = helper[name]
    known: Sequence[socket.socket] = ()
    fds = results = (ctypes.c_int * 0)()

    def deliver(sockets: Sequence[socket.socket], frame: bytes) -> None:
        nonlocal known, fds, results
        if sockets is not known:
            known = sockets
            array = ctypes.c_int * len(sockets)
            fds, results = array(*[each.fileno() for each in sockets]), array()
        size = len(frame)
        if call(fds, len(sockets), frame, size, results):
            raise OSError("the helper failed")
        # A product would look after what became of each, as this does.
        for result in results:
            if result != size:
                continue

    return deliver


class Audience:
    """Who is there: a list that is replaced, never changed, when a client comes or goes."""

    def __init__(self, listener: socket.socket, *, not_sent_bytes: int) -> None:
        self._listener = listener
        self._not_sent_bytes = not_sent_bytes
        self._poll = select.epoll()
        self._poll.register(listener, select.EPOLLIN)
        self.sockets: list[socket.socket] = []

    def look_after(self, until: float) -> None:
        """Let them come and go until it is time for the next tick."""
        while (left := until - time.monotonic()) > 0:
            gone = set()
            for number, _events in self._poll.poll(left):
                if number == self._listener.fileno():
                    self._accept()
                else:
                    gone.add(number)  # a subscriber sends nothing here but its end
            for each in [each for each in self.sockets if each.fileno() in gone]:
                self._poll.unregister(each)
                self.sockets = [other for other in self.sockets if other is not each]
                each.close()

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        accepted.settimeout(5)
        try:
            good = common.upgrade(accepted.recv(4096))
            accepted.sendall(common.UPGRADED if good else b"HTTP/1.1 401 Unauthorized\r\n\r\n")
        except OSError:
            good = False
        if not good:
            accepted.close()
            return
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._not_sent_bytes:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, self._not_sent_bytes)
        accepted.settimeout(0)
        self._poll.register(accepted, select.EPOLLIN)
        self.sockets = [*self.sockets, accepted]


def main(way: str) -> None:
    """Serve, and tick."""
    ways: dict[str, Callable[[], Deliver]] = {
        "send": lambda: send,
        "whole": lambda: send_whole,
        "threads": in_two_threads,
        "c-loop": lambda: in_c("loop_send"),
        "uring": lambda: in_c("uring_send"),
        "ring": in_a_ring,
    }
    deliver = ways[way]()
    with socket.create_server(("127.0.0.1", common.PORT), backlog=common.BACKLOG) as listener:
        audience = Audience(listener, not_sent_bytes=1 if way == "whole" else 0)
        due = time.monotonic()
        for seq in itertools.count(1):
            due, wait = common.pause(due, time.monotonic())
            audience.look_after(time.monotonic() + wait)
            deliver(audience.sockets, common.text_frame(common.payload(seq)))


if __name__ == "__main__":
    main(sys.argv[1])
