"""Mutations of attacks: the same seed gives the same bytes, in the same order.

Rules for this module: pure; randomness comes in as a seeded `random.Random`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import attrs

from tests.attack.catalogue import Attack

#: A mutation is no longer than this, so that a million of them are a matter of minutes.
_LONGEST = 4096
#: What parsers stumble over.
_INTERESTING = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"%00",
    b"%ff",
    b"\xe9",
    b"\xff\xff\xff\xff",
    b"\x7f" + b"\xff" * 8,
    b"-1",
    b"4294967296",
    b"9" * 40,
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 7\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"\x88\x80\0\0\0\0",
    b"\x89\xff\xff",
)


def mutations(attacks: Sequence[Attack], seed: int) -> Iterator[Attack]:
    """Yield mutations without end, each of one or several attacks."""
    chance = random.Random(seed)
    number = 0
    while True:
        victim = chance.choice(attacks)
        data = bytearray(victim.raw[:_LONGEST])
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            _mutate(data, attacks, chance)
        yield attrs.evolve(
            victim, name=f"{number} of seed {seed}: {victim.name}", raw=bytes(data[:_LONGEST])
        )
        number += 1


def _mutate(data: bytearray, attacks: Sequence[Attack], chance: random.Random) -> None:
    """Change some bytes in one way."""
    at = chance.randint(0, len(data))
    end = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64)))
    match chance.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 1 if at < len(data):
            data[at] = chance.randrange(256)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end] * chance.choice((1, 2, 50))
        case 4:
            data[at:at] = chance.choice(_INTERESTING)
        case 5:
            data[at:end] = chance.choice(_INTERESTING)
        case 6:
            del data[at:]
            other = chance.choice(attacks).raw[:_LONGEST]
            data += other[chance.randint(0, len(other)) :]
        case _:
            data[at:at] = chance.randbytes(chance.choice((1, 2, 4, 64)))
