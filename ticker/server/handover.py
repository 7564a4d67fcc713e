"""What a supervisor and its workers agree on: what is handed over, and what is said through it.

Rules for this module: values only, and nothing that takes long to import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

#: The environment variable that tells a worker what it was handed: see `Handover`.
HANDOVER: Final = "TICKER_WORKER_HANDOVER"
#: What a worker writes: it serves; it lives; it has served, and winds up.
SERVING: Final = b"s"
ALIVE: Final = b"a"
ENDING: Final = b"e"
#: What is written to a worker's leash before its end where a successor serves already.
SUCCEEDED: Final = b"r"
_FIVE_NUMBERS: Final = re.compile(":".join([r"(\d{1,9})"] * 5), re.ASCII)


class Handover(NamedTuple):
    """What a worker is told by its supervisor: its number, from 1, and three descriptors.

    Attributes:
        number: which worker it is.
        listening: its listening socket.
        alive: where it writes `SERVING`, and then `ALIVE` every `limits.WORKER_ALIVE_SECONDS`.
        leash: ends when it is to drain.
        replaces: whether another worker serves in its place until it does.
    """

    number: int
    listening: int
    alive: int
    leash: int
    replaces: bool = False

    def environment(self) -> dict[str, str]:
        """Return the environment variable that tells a process of it."""
        told = (self.number, self.listening, self.alive, self.leash, int(self.replaces))
        return {HANDOVER: ":".join(map(str, told))}

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Handover | None:
        """Read what this process was handed; None where it is no supervisor's worker."""
        match = _FIVE_NUMBERS.fullmatch(environ.get(HANDOVER, ""))
        if match is None:
            return None
        number, listening, alive, leash, replaces = map(int, match.groups())
        return cls(number, listening, alive, leash, bool(replaces))
