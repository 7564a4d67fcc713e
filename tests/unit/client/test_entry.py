"""What `connect()` says at once."""

from __future__ import annotations

import asyncio

import pytest

from ticker.client import connect


def test_an_asyncio_program_is_told_that_the_client_runs_under_trio() -> None:
    async def main() -> None:
        async with connect("http://127.0.0.1:9", api_key="tk_key"):
            pytest.fail("there is no stream")

    with pytest.raises(RuntimeError, match=r"^this client runs under trio, .*trio\.run\(main\)`$"):
        asyncio.run(main())
