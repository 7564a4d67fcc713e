"""A pace by a timer of the kernel (timerfd_create(2), Linux).

Theory of operation. The kernel counts the turns by itself, to the microsecond; a descriptor becomes
readable at each, and reading it tells how many came. So a turn is an event like bytes on a socket.
To sleep until each by trio's clock costs a cancel scope, a deadline and an exception per turn, and
`epoll_wait` rounds up to whole milliseconds. Between two turns the processor forgets all of that
code, so that the difference is a third of what a turn costs (docs/fan-out.md).

Rules for this module: it knows time and nothing of the market. The standard library has these
calls from Python 3.13 on; until that is the oldest, they are made by `ctypes`.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
from typing import Final

import trio

from ticker.market.pace import Pace, SleepingPace

#: struct itimerspec: interval and first turn, each in seconds and nanoseconds.
_TIMES: Final = struct.Struct("@4l")
_COUNT_BYTES: Final = 8
_SECOND_NS: Final = 1_000_000_000


class KernelPace:
    """Turns at whole intervals from the moment it was made, told by the kernel."""

    def __init__(self, seconds: float) -> None:
        """Begin with a turn after so many seconds.

        Raises:
            OSError: the system has no such timer, or forbids it.
        """
        if sys.platform != "linux":
            raise OSError("timerfd is Linux's")
        libc = ctypes.CDLL(None, use_errno=True)
        # TFD_NONBLOCK and TFD_CLOEXEC have these flags' values (linux/timerfd.h).
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = libc.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        interval = divmod(round(seconds * _SECOND_NS), _SECOND_NS)
        if libc.timerfd_settime(self._descriptor, 0, _TIMES.pack(*interval, *interval), None):
            self.close()
            raise OSError(ctypes.get_errno(), "no timer")

    async def next_turn(self) -> int:
        """Wait for the next turn."""
        await trio.lowlevel.wait_readable(self._descriptor)
        return int.from_bytes(os.read(self._descriptor, _COUNT_BYTES), sys.byteorder) - 1

    def close(self) -> None:
        """Give the timer back."""
        os.close(self._descriptor)


def open_pace(seconds: float) -> Pace:
    """Return the pace that costs least here; for the system's own clock."""
    try:
        return KernelPace(seconds)
    except OSError:
        return SleepingPace(seconds)
