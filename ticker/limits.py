"""Every bound in the system, by name, with the reason for its size.

Rules for this module: constants only, grouped by who is bounded; units in the name
(`_BYTES`, `_SECONDS`, ...); a reason on every one. What an operator may want to change is
a setting instead (`ticker/settings.py`).
"""

from __future__ import annotations

from typing import Final
