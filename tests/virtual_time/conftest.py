"""What tests of the running core share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.inmemory import World, world


@pytest.fixture
async def running() -> AsyncIterator[World]:
    """A running engine with a scripted source."""
    async with world() as result:
        yield result
