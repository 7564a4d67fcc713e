"""Where recorded messages of real exchanges lie, on machines that have them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

_BESIDE: Final = (parent / "shared" / "captures" for parent in Path(__file__).parents)

#: The folder of them, beside the repository or further up.
CAPTURES: Final = next((folder for folder in _BESIDE if folder.is_dir()), Path("absent"))
with_captures: Final = pytest.mark.skipif(not CAPTURES.is_dir(), reason="shared/captures is absent")
