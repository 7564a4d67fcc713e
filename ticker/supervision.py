"""Restart a service that crashed, after a pause that grows.

`RestartPolicy` decides and is pure: how long to wait follows from how often the service
has crashed, how long it had run, and one random number. `supervise` does what it says.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

import attrs
import structlog
import trio

log = structlog.get_logger()


@runtime_checkable
class AsksToWait(Protocol):
    """An exception that knows how soon trying again would be of use.

    Attributes:
        retry_after: the fewest seconds to wait.
    """

    retry_after: float


@attrs.frozen(kw_only=True)
class RestartPolicy:
    """Exponential backoff with jitter, in seconds.

    Attributes:
        initial: the pause after the first crash.
        factor: by how much each further pause grows.
        maximum: the longest pause, jitter included.
        jitter: the part of a pause by which chance may lengthen or shorten it.
        reset_after: running this long without a crash forgets the earlier ones.
    """

    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 90.0
    jitter: float = 0.1
    reset_after: float = 5.0

    def crashes(self, before: int, ran_for: float) -> int:
        """Count a crash after `before` others, of a service that ran for so many seconds."""
        return 1 if ran_for >= self.reset_after else before + 1

    def pause(self, crashes: int, chance: float) -> float:
        """Return the pause after so many crashes in a row; `chance` is uniform in [0, 1).

        The power is taken only as far as the maximum, so that no count overflows.
        """
        pause = self.initial
        for _ in range(crashes - 1):
            pause *= self.factor
            if pause >= self.maximum or self.factor <= 1:
                break
        return min(pause * (1 + self.jitter * (2 * chance - 1)), self.maximum)


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    policy: RestartPolicy,
    *,
    stopped: Callable[[str], None],
    restarting: Callable[[], None],
    known: tuple[type[Exception], ...] = (),
    chance: Callable[[], float] = random.random,
) -> None:
    """Run a service until it returns by itself, restarting it whenever it raises.

    Args:
        name: what logs call the service.
        run: one life of the service.
        policy: how long to wait between lives.
        stopped: called at the end of each life, with the reason.
        restarting: called before each further life.
        known: exceptions whose text says it all; they are logged without a traceback.
        chance: a uniform random number in [0, 1).

    An `Exception`, alone or in a group, ends one life and is logged once with its traceback;
    anything else (cancellation, `KeyboardInterrupt`) goes through. An exception that asks to
    wait (`AsksToWait`) is not answered by a shorter pause than that.
    """
    crashes = 0
    while True:
        started = trio.current_time()
        crash: BaseException | None = None
        try:
            await run()
        except* Exception as group:  # noqa: BLE001 - this is the boundary that contains a source
            crash = group if len(group.exceptions) > 1 else group.exceptions[0]
        if crash is None:
            log.info("source_ended", source=name)
            stopped("ended")
            return
        crashes = policy.crashes(crashes, trio.current_time() - started)
        pause = policy.pause(crashes, chance())
        if isinstance(crash, AsksToWait):
            pause = max(pause, crash.retry_after)
        log.error(
            "source_crashed",
            source=name,
            crashes=crashes,
            retry_in_s=round(pause, 3),
            reason=str(crash),
            exc_info=None if isinstance(crash, known) else crash,
        )
        stopped("crashed")
        await trio.sleep(pause)
        restarting()
