"""The command line. `program.py` holds it; here is only what a Ctrl-C must find at once.

Importing the program takes longer than a person needs to change their mind, and a traceback of
an import is no help.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: What a worker's environment holds (`server/handover.py`, which is not for other commands).
_HANDOVER: Final = "TICKER_WORKER_HANDOVER"


def main(args: list[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        args: of the command line; this process's own where there are none.
    """
    with quitting_on_interrupt():
        if _HANDOVER in os.environ:
            from ticker.cli import quiet_start  # noqa: PLC0415 - only for workers

            quiet_start.load()
        from ticker.cli.program import run  # noqa: PLC0415 - see above
    return run(args)


@contextmanager
def quitting_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C end this process at once and quietly, until the block is left."""
    mine = threading.current_thread() is threading.main_thread()  # whose signals are
    if not mine or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
