"""A ring: the same bytes to many sockets in one system call (io_uring, Linux 6.1 and later).

Theory of operation. A ring is memory shared with the kernel: requests that we put into its
submission queue are carried out by `io_uring_enter(2)`, and what became of them stands in its
completion queue. Requests for one audience differ from tick to tick in the address and the size of
the bytes alone, so they are laid out once, as `Recipients`, and each tick patches those two
columns, copies the rows into the queue and makes the call. No row is touched by Python's loop.

A send that must not wait is over when the call returns, as with send(2): nothing stays in
flight, so no buffer has to outlive the call, and a descriptor may be closed at any other time.

Rules for this module: it knows descriptors and bytes, and nothing of streams. Layouts and
numbers are those of linux/io_uring.h; there is no wrapper of them in the standard library, and a
binding that makes each request by a call of its own would cost what is to be saved.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Final, Self

#: What a request does not get done at once, it does not get done.
_SEND_FLAGS: Final = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_EOR", 0)

# System calls: the same numbers on every architecture in `_MACHINES`.
_SETUP: Final = 425
_ENTER: Final = 426
_MACHINES: Final = frozenset({"x86_64", "aarch64", "riscv64"})

# io_uring_setup(2): go on after a bad request (5.18), one thread alone submits (6.0), and
# completions are posted without a lock because of that (6.1).
_SUBMIT_ALL: Final = 1 << 7
_SINGLE_ISSUER: Final = 1 << 12
_DEFER_TASKRUN: Final = 1 << 13
_SINGLE_MMAP: Final = 1 << 0
_OFF_RINGS: Final = 0
_OFF_REQUESTS: Final = 0x10000000

#: struct io_uring_params: sizes, flags and features; offsets in either queue.
_PARAMS: Final = struct.Struct("=10I 8I2I 8I2I")
_FEATURES: Final = 5
_SQ_OFFSETS: Final = 10
_CQ_OFFSETS: Final = 20

#: struct io_uring_sqe of IORING_OP_SEND: opcode, flags, ioprio, fd, off, addr, len, msg_flags,
#: user_data, and what is not used.
_REQUEST: Final = struct.Struct("=BBHiQQIIQ24x")
_OP_SEND: Final = 26
# Columns of a request, in items of their own size.
_FD: Final = slice(1, None, _REQUEST.size // 4)
_ADDRESS: Final = slice(2, None, _REQUEST.size // 8)
_SIZE: Final = slice(6, None, _REQUEST.size // 4)
_NUMBER: Final = slice(4, None, _REQUEST.size // 8)
#: struct io_uring_cqe: user_data, res, flags.
_RESULT: Final = struct.Struct("=QiI")
_TAKEN: Final = slice(2, None, _RESULT.size // 4)
#: Where a queue begins and ends is counted in 32 bits, and on from zero.
_COUNTER: Final = (1 << 32) - 1


class RingUnavailableError(Exception):
    """The system has no ring for us; the text says why."""


class Recipients:
    """The sockets that some bytes go to, laid out for a ring.

    The numbers of the sockets must stay theirs for as long as this is used.
    """

    __slots__ = ("_addresses", "_requests", "_sizes", "count")

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.count = len(descriptors)
        request = _REQUEST.pack(_OP_SEND, 0, 0, -1, 0, 0, 0, _SEND_FLAGS, 0)
        self._requests = memoryview(bytearray(request * self.count))
        self._requests.cast("i")[_FD] = memoryview(array("i", descriptors))
        self._requests.cast("Q")[_NUMBER] = memoryview(array("Q", range(self.count)))
        self._addresses = self._requests.cast("Q")[_ADDRESS]
        self._sizes = self._requests.cast("I")[_SIZE]

    def requests(self, data: bytes) -> memoryview:
        """Return the requests that send these bytes, good for as long as they live."""
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        self._addresses[:] = memoryview(array("Q", (address or 0,)) * self.count)
        self._sizes[:] = memoryview(array("I", (len(data),)) * self.count)
        return self._requests


class Ring:
    """An io_uring of the thread that makes it, which alone may use it."""

    def __init__(self, entries: int) -> None:
        """Set up a ring.

        Args:
            entries: how many sends it takes at once; a power of two.

        Raises:
            RingUnavailableError: another system, an older kernel, or one that forbids it.
        """
        if sys.platform != "linux" or platform.machine() not in _MACHINES:
            raise RingUnavailableError("io_uring is Linux's, on a 64-bit machine")
        self.entries = entries
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._call.argtypes = [ctypes.c_long] * 3 + [ctypes.c_void_p] * 4
        params = ctypes.create_string_buffer(_PARAMS.size)
        flags = _SUBMIT_ALL | _SINGLE_ISSUER | _DEFER_TASKRUN
        _PARAMS.pack_into(params, 0, 0, 0, flags, *[0] * 27)
        self._descriptor = self._call(
            _SETUP, entries, ctypes.addressof(params), None, None, None, None
        )
        if self._descriptor < 0:
            raise RingUnavailableError(os.strerror(ctypes.get_errno()))
        self._map(_PARAMS.unpack(params.raw))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def send(self, recipients: Recipients, data: bytes) -> list[tuple[int, int]]:
        """Send the same bytes to each recipient, in one call, without waiting.

        Args:
            recipients: at most as many as the ring has entries.
            data: what to send.

        Returns:
            Of each that did not take it all its place among the recipients and what became
            of it: the bytes it took, or minus an `errno`.
        """
        count = recipients.count
        assert count <= self.entries  # noqa: S101 - the caller's slices are no larger
        counters = self._counters
        tail = counters[self._tail]
        self._put(recipients.requests(data), tail)
        counters[self._tail] = (tail + count) & _COUNTER
        submitted = self._enter(count)
        failures = self._collect(submitted, len(data))
        if submitted < count:
            # The kernel had no memory for more. What it did not take is taken back.
            counters[self._tail] = counters[self._head]
            failures += [(place, -errno.EAGAIN) for place in range(submitted, count)]
        return failures

    def close(self) -> None:
        """Give the ring back to the system."""
        for view in (self._counters, self._taken, self._results, self._requests):
            view.release()
        self._shared.close()
        self._queue.close()
        os.close(self._descriptor)

    def _map(self, params: Sequence[int]) -> None:
        """Map the queues, and note where in them everything stands."""
        if not params[_FEATURES] & _SINGLE_MMAP:
            os.close(self._descriptor)
            raise RingUnavailableError("the kernel is too old")
        submission, completion = params[_SQ_OFFSETS:], params[_CQ_OFFSETS:]
        places, results = submission[6], completion[5]
        self._result_count = params[1]
        results_end = results + self._result_count * _RESULT.size
        size = max(places + 4 * self.entries, results_end)
        requests_size = self.entries * _REQUEST.size
        try:
            self._shared = mmap.mmap(self._descriptor, size, offset=_OFF_RINGS)
            self._queue = mmap.mmap(self._descriptor, requests_size, offset=_OFF_REQUESTS)
        except OSError as error:
            os.close(self._descriptor)
            raise RingUnavailableError(f"its memory cannot be mapped: {error.strerror}") from error
        whole = memoryview(self._shared)
        self._counters = whole[: size // 4 * 4].cast("I")
        self._head, self._tail = submission[0] // 4, submission[1] // 4
        self._done = completion[0] // 4
        self._results = whole[results:results_end]
        self._taken = self._results.cast("i")[_TAKEN]
        self._requests = memoryview(self._queue)
        # The queue is one of places in a table. Each of its places stands for the same one there.
        first = places // 4
        self._counters[first : first + self.entries] = memoryview(array("I", range(self.entries)))

    def _put(self, requests: memoryview, tail: int) -> None:
        """Copy requests to the queue's end, which may be on both sides of its edge."""
        begin = (tail & (self.entries - 1)) * _REQUEST.size
        before_edge = min(len(requests), len(self._requests) - begin)
        self._requests[begin : begin + before_edge] = requests[:before_edge]
        self._requests[: len(requests) - before_edge] = requests[before_edge:]

    def _enter(self, count: int) -> int:
        """Have the kernel carry out what was put in; return how many of it."""
        submitted = 0
        while submitted < count:
            taken = self._call(_ENTER, self._descriptor, count - submitted, None, None, None, None)
            if taken > 0:
                submitted += taken
            elif ctypes.get_errno() != errno.EINTR:
                break
        return submitted

    def _collect(self, count: int, size: int) -> list[tuple[int, int]]:
        """Take so many results out, and return those that are not what was asked for."""
        head = self._counters[self._done]
        first = head & (self._result_count - 1)
        before_edge = min(count, self._result_count - first)
        failures = []
        for begin, end in ((first, first + before_edge), (0, count - before_edge)):
            # All went well, nearly always; to see that is no matter of a loop.
            if self._taken[begin:end].tolist().count(size) != end - begin:
                results = self._results[begin * _RESULT.size : end * _RESULT.size]
                for place, taken, _flags in _RESULT.iter_unpack(results):
                    if taken != size:
                        failures.append((place, taken))
        self._counters[self._done] = (head + count) & _COUNTER
        return failures
