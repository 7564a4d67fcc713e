"""A market of which few symbols move at a time, as a recording that Ticker plays.

The simulated source moves every symbol at every tick; real markets do not.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

#: How long the recording is; it is played again from its beginning.
_SECONDS = 120
_BEGAN = 1_790_000_000.0


def write(path: Path, symbols: Sequence[str], *, rate: float, changing: int) -> None:
    """Write a recording: first every symbol, then so many of them `rate` times a second."""
    chance = random.Random(1)
    with path.open("w") as file:
        for number in range(int(_SECONDS * rate)):
            moving = symbols if number == 0 else chance.sample(symbols, changing)
            tickers = [
                {"type": "ticker", "product_id": symbol, "price": f"{chance.uniform(1, 999):.2f}"}
                for symbol in moving
            ]
            message = {
                "channel": "ticker",
                "timestamp": "2026-09-21T12:00:00.000000Z",
                "sequence_num": number,
                "events": [{"type": "update", "tickers": tickers}],
            }
            line = {"received": round(_BEGAN + number / rate, 6), "message": message}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
