"""`python -m ticker` is the same program as `ticker`."""

from __future__ import annotations

import sys

from ticker.cli import main

if __name__ == "__main__":
    sys.exit(main())
