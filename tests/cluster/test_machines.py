"""Several machines show one market, whatever becomes of one of them or of what they share."""

from __future__ import annotations

import trio

from tests.support.figures import tell
from tests.support.nodes import SLACK, Shared, two_values, watched


async def test_a_machine_that_is_killed_is_replaced_by_another(shared: Shared) -> None:
    key = shared.new_key()
    with shared.machines(2) as (one, two):
        async with watched([one, two], key) as (first, second):
            epoch, killed = second.epoch, trio.current_time()
            one.process.kill()
            await second.goes_on()
            with trio.fail_after(SLACK):
                while second.epoch == epoch:
                    await second.goes_on()
            silence = second.silence(killed - 0.1)
            tell(f"feeding machine killed: silence {silence:.2f} s")
            assert two_values([first, second]) == []
            assert second.state != "stale"
