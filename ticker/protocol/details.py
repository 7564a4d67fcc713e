"""What a subscriber may choose to be shown, and how: modes and details.

Rules for this module: names only, shared by server and clients.
"""

from __future__ import annotations

from typing import Final, Literal

#: `latest`: each frame holds every symbol. `changes`: only what has changed since the frame
#: before. `every`: each tick that changed something, none missing.
Mode = Literal["latest", "changes", "every"]
#: `price`: symbol, price, timestamp and source. `full`: also the fields of `FULL_FIELDS`.
Detail = Literal["price", "full"]
DETAILS: Final[tuple[Detail, ...]] = ("price", "full")
#: The attributes of a quote that only `full` shows, each where it is known: decimals, and at last
#: the moment since when the figures of 24 hours are known, where that is less than 24 hours, in
#: milliseconds since the epoch.
FULL_FIELDS: Final[tuple[str, ...]] = (
    "bid",
    "ask",
    "open_24h",
    "high_24h",
    "low_24h",
    "volume_24h",
    "change_24h",
    "since",
)
