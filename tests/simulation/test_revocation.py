"""A revocation ends a stream under whichever of its names it comes."""

from __future__ import annotations

import pytest

from tests.simulation.simulation import Simulation
from tests.simulation.wire import Client


@pytest.mark.parametrize("name", ["token", "key"])
def test_a_stream_ends_with_its_token_or_its_key(name: str) -> None:
    simulation = Simulation()
    client = Client("revoked", "token", simulation.now, simulation.books)
    simulation.do(lambda: simulation.connect(client, 60.0))
    assert client.close_code is None
    simulation.do(lambda: simulation.authority.revoke(name))
    assert client.close_code == 4001
    simulation.end()
