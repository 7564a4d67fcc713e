"""The start of a worker that replaces another one, beside siblings that send frames meanwhile.

Most of a start is the loading of modules: more than a second of CPU, which on a machine with few
cores delays the frames of every sibling. A worker that replaces another has time for it, since
that one serves until then. So a thread of low priority loads everything first, while the main
thread waits; its own priority is left as it is, since to raise it again would take a privilege
(setpriority(2)). HTTP is loaded here, too, and not once streams are served (`web/loading.py`): the
newest worker is the next to feed, and a thread that imports holds the interpreter's lock now and
then for longer than a tick.

Rules for this module: it knows names of modules, and imports none of them itself.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from importlib import import_module
from typing import Final

from ticker import limits
from ticker.server.handover import Handover

#: What `ticker serve` imports, and what answers HTTP; see `web/loading.py`.
_MODULES: Final = (
    "ticker.cli.serve",
    "ticker.web.app",
    "ticker.http.hypercorn_server",
    "hypercorn.utils",
)


def load() -> None:
    """Load all modules of a worker at a low priority, where it has the time for it."""
    handover = Handover.of(os.environ)
    if handover is None or not handover.replaces:
        return
    thread = threading.Thread(target=_load, name="loading", daemon=True)
    thread.start()
    thread.join()


def _load() -> None:
    with suppress(OSError):
        # Of this thread alone, on Linux.
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + limits.LOADING_NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
    from ticker.cli.program import loading  # noqa: PLC0415 - it loads much itself

    with loading():
        for module in _MODULES:
            import_module(module)
