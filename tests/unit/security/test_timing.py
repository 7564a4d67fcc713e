"""How long a refusal takes tells nothing of how wrong the secret was.

Run by name: what it measures needs a quiet machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from ticker.security.keys import same_hash
from ticker.security.tokens import InvalidTokenError, TokenSigner

ROUNDS = 60_000
#: A tenth of a microsecond: an attacker on the same network needs more than that to see it.
TELLING_SECONDS = 100e-9


def difference(one: Callable[[], object], other: Callable[[], object]) -> float:
    """Measure by how many seconds one call takes longer than the other.

    The calls take turns, so that what else the machine does meets both alike; the medians
    are compared, since it only ever adds time.
    """
    times: tuple[list[int], list[int]] = ([], [])
    for number in range(ROUNDS):
        # Either may profit from going second.
        for place in (0, 1) if number % 2 else (1, 0):
            call = (one, other)[place]
            begun = time.perf_counter_ns()
            call()
            times[place].append(time.perf_counter_ns() - begun)
    return (statistics.median(times[0]) - statistics.median(times[1])) / 1e9


def refuse(signer: TokenSigner, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        signer.verify(token)


def naive(given: bytes, stored: bytes) -> bool:
    """Compare as it must not be done: stop at the first difference."""
    return all(one == other for one, other in zip(given, stored, strict=True))


STORED = bytes(range(32))
FIRST_WRONG = bytes([255, *STORED[1:]])
LAST_WRONG = bytes([*STORED[:-1], 255])


@pytest.mark.slow
def test_the_measure_sees_a_comparison_that_stops_early() -> None:
    seen = difference(lambda: naive(LAST_WRONG, STORED), lambda: naive(FIRST_WRONG, STORED))
    assert seen > TELLING_SECONDS


@pytest.mark.slow
def test_a_hash_wrong_at_its_first_byte_takes_as_long_as_at_its_last() -> None:
    seen = difference(lambda: same_hash(LAST_WRONG, STORED), lambda: same_hash(FIRST_WRONG, STORED))
    assert abs(seen) < TELLING_SECONDS


@pytest.mark.slow
def test_a_signature_wrong_at_its_first_character_takes_as_long_as_at_its_last() -> None:
    signer = TokenSigner([b"k" * 32])
    token = signer.issue()[0]
    first = token[:44] + ("B" if token[44] == "A" else "A") + token[45:]
    last = token[:86] + ("E" if token[86] == "A" else "A")

    def verify(damaged: str) -> Callable[[], None]:
        def run() -> None:
            try:
                signer.verify(damaged)
            except InvalidTokenError:
                return

        return run

    refuse(signer, first)
    refuse(signer, last)
    assert abs(difference(verify(last), verify(first))) < TELLING_SECONDS


@pytest.mark.slow
def test_the_key_that_signed_does_not_show_in_the_time() -> None:
    old, new = b"o" * 32, b"n" * 32
    both = TokenSigner([new, old])
    by_new, by_old = both.issue()[0], TokenSigner([old]).issue()[0]
    seen = difference(lambda: both.verify(by_old), lambda: both.verify(by_new))
    assert abs(seen) < TELLING_SECONDS
