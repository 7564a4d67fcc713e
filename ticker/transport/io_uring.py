"""A ring: the same bytes to many sockets in one system call (io_uring, Linux 6.1 and later).

Theory of operation. A ring is memory shared with the kernel: requests that we put into it are
carried out by `io_uring_enter(2)`, and what became of them stands in its completion queue. What is
to be sent is copied to one place, so that the requests for an audience, laid out once as
`Recipients`, are the same from tick to tick but for the size of the bytes. They stay where the
kernel reads them until others are sent something; a tick writes the sizes, where they differ,
and in which order the requests stand. No request is touched by a loop of Python's.

The kernel tells only of what it did not send whole (IOSQE_CQE_SKIP_SUCCESS, 5.17). A part counts as
that because of MSG_WAITALL, which with MSG_DONTWAIT waits for nothing: a ring believes it only
after it has seen it. That there is nearly always nothing to be told spares a tick one result
for each recipient, written there and read here.

A send that must not wait is over when the call returns, as with send(2): nothing stays in
flight, so the bytes may be overwritten, and a descriptor may be closed at any other time.

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
_SEND_FLAGS: Final = sum(getattr(socket, n, 0) for n in ("MSG_DONTWAIT", "MSG_EOR", "MSG_WAITALL"))
#: IOSQE_CQE_SKIP_SUCCESS.
_TELL_FAILURES_ONLY: Final = 1 << 6

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
#: Where a queue begins and ends is counted in 32 bits, and on from zero.
_COUNTER: Final = (1 << 32) - 1
#: More than a socket takes at once whose buffer is as small as can be; the least that a ring sends.
_PROOF_BYTES: Final = 1 << 16


class RingUnavailableError(Exception):
    """The system has no ring for us; the text says why."""


class Recipients:
    """The sockets that some bytes go to, laid out for a ring.

    The numbers of the sockets must stay theirs for as long as this is used.
    """

    __slots__ = ("_address", "_addresses", "_requests", "count")

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.count = len(descriptors)
        request = _REQUEST.pack(_OP_SEND, _TELL_FAILURES_ONLY, 0, -1, 0, 0, 0, _SEND_FLAGS, 0)
        self._requests = memoryview(bytearray(request * self.count))
        self._requests.cast("i")[_FD] = memoryview(array("i", descriptors))
        self._requests.cast("Q")[_NUMBER] = memoryview(array("Q", range(self.count)))
        self._addresses = self._requests.cast("Q")[_ADDRESS]
        self._address = 0

    def requests(self, address: int) -> memoryview:
        """Return the requests that send what is at an address; their sizes are not set."""
        if self._address != address:
            self._addresses[:] = memoryview(array("Q", (address,)) * self.count)
            self._address = address
        return self._requests


class Ring:
    """An io_uring of the thread that makes it, which alone may use it."""

    def __init__(self, entries: int, *, longest: int = _PROOF_BYTES) -> None:
        """Set up a ring.

        Args:
            entries: how many sends it takes at once; a power of two.
            longest: how many bytes it sends at most; memory that is not used costs nothing.

        Raises:
            RingUnavailableError: another system, an older kernel, or one that forbids it.
        """
        if sys.platform != "linux" or platform.machine() not in _MACHINES:
            raise RingUnavailableError("io_uring is Linux's, on a 64-bit machine")
        self.entries = entries
        self.longest = longest
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
        self._order = memoryview(array("I", range(entries)))
        self._laid_out: Recipients | None = None
        self._size = 0
        self._prove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def send(self, recipients: Recipients, data: bytes) -> list[tuple[int, int]]:
        """Send the same bytes to each recipient, in one call, without waiting.

        Args:
            recipients: at most as many as the ring has entries.
            data: what to send; at most `longest` bytes.

        Returns:
            Of each that did not take it all its place among the recipients and what became
            of it: the bytes it took, or minus an `errno`.
        """
        count, size = recipients.count, len(data)
        assert count <= self.entries  # noqa: S101 - the caller's slices are no larger
        self._data[:size] = data
        if self._laid_out is not recipients:
            self._requests[: count * _REQUEST.size] = recipients.requests(self._address)
            self._laid_out, self._size = recipients, 0
        if self._size != size:
            self._sizes[:count] = memoryview(array("I", (size,)) * count)
            self._size = size
        counters = self._counters
        tail = counters[self._tail]
        self._put_in_order(count, tail)
        counters[self._tail] = (tail + count) & _COUNTER
        submitted = self._enter(count)
        failures = self._collect()
        if submitted < count:
            # The kernel had no memory for more. What it did not take is taken back.
            counters[self._tail] = counters[self._head]
            failures += [(place, -errno.EAGAIN) for place in range(submitted, count)]
        return failures

    def close(self) -> None:
        """Give the ring back to the system."""
        views = (self._counters, self._places, self._results, self._sizes, self._requests)
        for view in (*views, self._data):
            view.release()
        self._shared.close()
        self._queue.close()
        self._bytes.close()
        os.close(self._descriptor)

    def _prove(self) -> None:
        """See whether the kernel tells of what it sends in part, or not at all.

        Raises:
            RingUnavailableError: it does not.
        """
        data = bytes(_PROOF_BYTES)
        sender, reader = socket.socketpair()
        with sender, reader:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is
            recipients = Recipients([sender.fileno()])
            taken = [dict(self.send(recipients, data)).get(0, _PROOF_BYTES) for _ in range(2)]
        if not 0 < taken[0] < _PROOF_BYTES or taken[1] != -errno.EAGAIN:
            self.close()
            raise RingUnavailableError(f"the kernel does not tell of what it sent in part: {taken}")

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
            self._bytes = mmap.mmap(-1, self.longest)
        except OSError as error:
            os.close(self._descriptor)
            raise RingUnavailableError(f"its memory cannot be mapped: {error.strerror}") from error
        whole = memoryview(self._shared)
        self._counters = whole[: size // 4 * 4].cast("I")
        self._head, self._tail = submission[0] // 4, submission[1] // 4
        self._done, self._told = completion[0] // 4, completion[1] // 4
        first = places // 4
        self._places = self._counters[first : first + self.entries]
        self._results = whole[results:results_end]
        self._requests = memoryview(self._queue)
        self._sizes = self._requests.cast("I")[_SIZE]
        self._data = memoryview(self._bytes)
        byte = ctypes.c_char.from_buffer(self._bytes)
        self._address = ctypes.addressof(byte)

    def _put_in_order(self, count: int, tail: int) -> None:
        """Put the first requests into the queue, whose end may be on both sides of its edge."""
        begin = tail & (self.entries - 1)
        before_edge = min(count, self.entries - begin)
        self._places[begin : begin + before_edge] = self._order[:before_edge]
        if before_edge < count:
            self._places[: count - before_edge] = self._order[before_edge:count]

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

    def _collect(self) -> list[tuple[int, int]]:
        """Take out what the kernel tells of."""
        counters = self._counters
        head, end = counters[self._done], counters[self._told]
        failures = []
        while head != end:
            at = (head & (self._result_count - 1)) * _RESULT.size
            place, taken, _flags = _RESULT.unpack_from(self._results, at)
            failures.append((place, taken))
            head = (head + 1) & _COUNTER
        counters[self._done] = head
        return failures
