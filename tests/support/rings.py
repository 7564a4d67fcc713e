"""Whether this system lets us have an io_uring: many containers do not."""

from __future__ import annotations

import pytest

from ticker.transport.io_uring import Ring, RingUnavailableError


def _missing() -> str:
    try:
        Ring(8).close()
    except RingUnavailableError as error:
        return str(error)
    return ""


_REASON = _missing()
#: For tests of the ring itself; whatever uses one does without where there is none.
needs_ring = pytest.mark.skipif(bool(_REASON), reason=f"no io_uring here: {_REASON}")
