"""A revocation ends a stream under whichever of its names it comes."""

from __future__ import annotations

import pytest

from tests.simulation.wire import Client
from tests.simulation.world import World


@pytest.mark.parametrize("name", ["token", "key"])
def test_a_stream_ends_with_its_token_or_its_key(name: str) -> None:
    world = World()
    client = Client("revoked", "token", world.now)
    world.do(lambda: world.connect(client, 60.0))
    assert client.close_code is None
    world.do(lambda: world.authority.revoke(name))
    assert client.close_code == 4001
    world.end()
