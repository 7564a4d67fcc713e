"""The ring over real sockets: who takes a frame whole, in part, or not at all."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rings import needs_ring
from ticker.transport.io_uring import Recipients, Ring, RingUnavailableError

pytestmark = needs_ring

Pair = tuple[socket.socket, socket.socket]
#: More than the kernel takes at once for a socket that is not read.
LARGE = 8_000_000


@contextmanager
def pairs(count: int) -> Iterator[list[Pair]]:
    """Connect so many senders, which do not block, with so many readers."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            sender, reader = map(stack.enter_context, socket.socketpair())
            sender.settimeout(0)
            reader.settimeout(5)
            found.append((sender, reader))
        yield found


def recipients(found: list[Pair]) -> Recipients:
    return Recipients([sender.fileno() for sender, _ in found])


def read(reader: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += reader.recv(size - len(data))
    return data


@given(st.lists(st.tuples(st.integers(1, 8), st.binary(min_size=1, max_size=300)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_all_of_them_gets_every_message_over_the_edge_of_the_queue_too(
    rounds: list[tuple[int, bytes]],
) -> None:
    with Ring(8) as ring, pairs(8) as found:
        for count, data in rounds:
            assert ring.send(recipients(found[:count]), data) == []
            assert all(read(reader, len(data)) == data for _, reader in found[:count])


def test_the_same_recipients_serve_for_messages_of_any_length() -> None:
    with Ring(4) as ring, pairs(3) as found:
        all_of_them = recipients(found)
        for data in (b"a", b"bb" * 500, b"c"):
            assert ring.send(all_of_them, data) == []
            assert all(read(reader, len(data)) == data for _, reader in found)


def test_a_part_taken_and_nothing_taken_and_a_peer_gone_are_told_apart() -> None:
    with Ring(8, longest=LARGE) as ring, pairs(4) as found:
        gone = found[2][0].fileno()
        all_of_them = recipients(found)
        found[1][1].close()  # its other end will not read
        found[2][0].close()  # no descriptor any more
        results = dict(ring.send(all_of_them, b"x" * LARGE))
        assert results.keys() == {0, 1, 2, 3}
        assert 0 < results[0] < LARGE
        assert results[1] == -errno.EPIPE
        assert results[2] == -errno.EBADF
        assert gone >= 0
        # What they took is theirs, and from here on they are full.
        assert dict(ring.send(all_of_them, b"y"))[0] == -errno.EAGAIN
        assert read(found[0][1], results[0]) == b"x" * results[0]
        assert ring.send(recipients(found[:1]), b"z") == []


def test_what_the_kernel_does_not_take_in_is_taken_back_and_can_be_tried_again() -> None:
    with Ring(8) as ring, pairs(5) as found:
        all_of_them = recipients(found)
        enter = ring._call
        with patch.object(ring, "_call", side_effect=lambda *_args: -1):
            assert ring.send(all_of_them, b"lost") == [(n, -errno.EAGAIN) for n in range(5)]
        calls = iter([2, -1])

        def two_only(*args: object) -> int:
            count = next(calls)
            return int(enter(*args[:2], count, *args[3:])) if count > 0 else count

        with patch.object(ring, "_call", side_effect=two_only):
            assert ring.send(all_of_them, b"half") == [(n, -errno.EAGAIN) for n in (2, 3, 4)]
        assert ring.send(all_of_them, b"all") == []
        assert [read(reader, 7 if n < 2 else 3) for n, (_, reader) in enumerate(found)] == [
            *[b"halfall"] * 2,
            *[b"all"] * 3,
        ]


def test_two_audiences_in_turn_get_what_is_theirs() -> None:
    with Ring(8) as ring, pairs(7) as found:
        first, second = recipients(found[:4]), recipients(found[4:])
        for turn in range(20):
            for audience, data in ((first, b"to the first %d" % turn), (second, b"%d" % turn)):
                assert ring.send(audience, data) == []
        texts = [b"".join(b"to the first %d" % turn for turn in range(20))] * 4
        texts += [b"".join(b"%d" % turn for turn in range(20))] * 3
        for (_, reader), text in zip(found, texts, strict=True):
            assert read(reader, len(text)) == text


def test_a_kernel_that_keeps_quiet_about_a_part_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without the flag for which a part counts as a failure, this one does.
    monkeypatch.setattr("ticker.transport.io_uring._SEND_FLAGS", socket.MSG_DONTWAIT)
    with pytest.raises(RingUnavailableError, match="sent in part"):
        Ring(8)


def test_a_system_without_one_says_why() -> None:
    with (
        patch("ticker.transport.io_uring.platform.machine", return_value="vax"),
        pytest.raises(RingUnavailableError, match="64-bit"),
    ):
        Ring(8)
    with pytest.raises(RingUnavailableError, match="Invalid argument"):
        Ring(1 << 20)  # larger than any kernel's limit


def test_a_closed_ring_leaves_nothing_open() -> None:
    before = socket.socketpair()
    numbers = {each.fileno() for each in before}
    for each in before:
        each.close()
    for _ in range(50):
        Ring(8).close()
    after = socket.socketpair()
    assert {each.fileno() for each in after} == numbers
    for each in after:
        each.close()
