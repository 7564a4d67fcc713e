"""Both launches give the same full service, with the seam in place."""

from __future__ import annotations

from tests.support.raw import opened
from tests.support.server import Server


async def test_a_stream_opens(launched: Server) -> None:
    async with opened(launched) as stream:
        assert (await stream.message())["type"] == "welcome"
        assert (await stream.message())["snapshot"] is True
        assert "snapshot" not in await stream.message()
