"""How many frames does the kernel take for a reader that has stalled?

    python -m benchmarks.experiments.kernel_queue

Frames go out, paced like ticks but faster, to a reader that never reads, until send(2) says
that it would block. Printed are the frames taken by then, whether the last was cut in two,
and where the bytes lie: with the reader's kernel, or with the server's own (sent and not
acknowledged, or not yet sent). What lies with the server is old when the reader comes back.

TCP_NOTSENT_LOWAT alone does not bound it to a frame, since the kernel asks it only when it
begins a new buffer and goes on filling the last one. MSG_EOR ends that buffer with each frame.
"""

from __future__ import annotations

import array
import fcntl
import itertools
import socket
import termios
import time
from typing import Final

FRAME: Final = bytes(245)
_SIOCOUTQNSD: Final = 0x894B
_MOST_FRAMES: Final = 2000
_PAUSE_SECONDS: Final = 0.001
_SETTLE_SECONDS: Final = 0.05


def queued(connection: socket.socket, request: int) -> int:
    """Ask a socket how much it holds."""
    answer = array.array("i", [0])
    fcntl.ioctl(connection, request, answer)
    return answer[0]


def trial(*, not_sent: int, whole: bool, send_buffer: int, receive_buffer: int) -> str:
    """Fill one connection and return a line of the table."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as reader:
        if receive_buffer:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        reader.connect(listener.getsockname())
        writer, _ = listener.accept()
        with writer:
            writer.settimeout(0)
            writer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if send_buffer:
                writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            if not_sent:
                writer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, not_sent)
            taken, cut = fill(writer, socket.MSG_EOR if whole else 0)
            time.sleep(_SETTLE_SECONDS)
            there = queued(reader, termios.FIONREAD)
            unsent = queued(writer, _SIOCOUTQNSD)
            unacknowledged = queued(writer, termios.TIOCOUTQ) - unsent
    options = f"{receive_buffer or 'default'} | {send_buffer or 'default'} | {not_sent or '-'}"
    cells = f"{'yes' if whole else 'no'} | {taken} | {'yes' if cut else 'no'}"
    return f"| {options} | {cells} | {there} | {unacknowledged} | {unsent} |"


def fill(writer: socket.socket, flags: int) -> tuple[int, bool]:
    """Send until it would block; return the frames taken and whether the last was cut."""
    for taken in range(_MOST_FRAMES):
        try:
            if writer.send(FRAME, flags) < len(FRAME):
                return taken + 1, True
        except BlockingIOError:
            return taken, False
        time.sleep(_PAUSE_SECONDS)
    return _MOST_FRAMES, False


print("| reader's SO_RCVBUF | SO_SNDBUF | NOTSENT_LOWAT | EOR | taken | cut", end="")
print(" | at the reader, bytes | sent | not sent |")
print(f"|{' --- |' * 9}")
for receive, send, (low, eor) in itertools.product(
    (0, 4096), (0, 16384), ((0, False), (4096, False), (1, False), (1, True))
):
    print(trial(not_sent=low, whole=eor, send_buffer=send, receive_buffer=receive))
