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
#: The attributes of a quote that only `full` shows, each where it is known.
FULL_FIELDS: Final[tuple[str, ...]] = ()
