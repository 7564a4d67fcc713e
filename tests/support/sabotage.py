"""The program with a part that breaks when a test asks for it, by making a file.

`python -m tests.support.sabotage serve ...` is `ticker serve`, and `tests/support/sabotaged.py`
is for Hypercorn what `ticker/asgi.py` is. In the data directory, a file `break-engine` makes
the next broadcast fail, and `break-source` one life of the simulation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.server import Server
from ticker.market.hub import Hub
from ticker.market.quote import Quote
from ticker.market.sources.simulated import Simulated

ROOT: Final = Path(__file__).parents[2]
#: What the environment must have besides, since the program is started in another directory.
ENVIRONMENT: Final = {"PYTHONPATH": str(ROOT)}
SERVE: Final = [sys.executable, "-m", "tests.support.sabotage", "serve", "--port", "0"]
APPLICATION: Final = "tests.support.sabotaged:app"


class SabotageError(Exception):
    """What the broken part raises."""


def break_part(server: Server, part: str) -> None:
    """Break the engine or the source of a server that was started with this module."""
    (server.data_dir / f"break-{part}").touch()


def _asked_for(part: str) -> bool:
    path = Path(os.environ["TICKER_DATA_DIR"]) / f"break-{part}"
    if not path.exists():
        return False
    path.unlink()
    return True


def install() -> None:
    """Make both parts breakable."""
    publish, batches = Hub.publish, Simulated.batches

    async def broken_publish(self: Hub, *args: Any, **named: Any) -> None:
        if _asked_for("engine"):
            raise SabotageError("the engine was asked to fail")
        await publish(self, *args, **named)

    async def broken_batches(self: Simulated) -> AsyncGenerator[Sequence[Quote], None]:
        async for batch in batches(self):
            if _asked_for("source"):
                raise SabotageError("the source was asked to fail")
            yield batch

    Hub.publish = broken_publish  # type: ignore[method-assign]
    Simulated.batches = broken_batches  # type: ignore[method-assign]


if __name__ == "__main__":
    from ticker.cli import main

    install()
    sys.exit(main())
