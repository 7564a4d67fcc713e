"""Several workers of one machine: what a subscriber notices when one of them ends, and how.

Each test prints its figure. The short forms run by default; `-m slow` runs the sizes of the
promises in docs/reliability.md.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from tests.support import raw
from tests.support.cluster import (
    START_SECONDS,
    Cluster,
    Subscriber,
    running,
    settled,
    wait_gone,
    watched,
)
from tests.support.figures import tell
from tests.support.frames import TEXT
from tests.support.waiting import eventually
from ticker import limits

WORKERS = 3


@attrs.frozen
class Scene:
    """A running service, and how much is to happen to it.

    Attributes:
        cluster: the service.
        subscribers: how many.
        times: how often.
    """

    cluster: Cluster
    subscribers: int
    times: int

    @property
    def full(self) -> bool:
        """Whether the promises are to be kept to the letter, which takes a quiet machine."""
        return self.times > 1


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((12, 1), id="short"),
        pytest.param((200, 10), id="full", marks=pytest.mark.slow),
    ],
)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """One service for all tests of a size: each leaves all workers serving."""
    subscribers, times = request.param
    # The one process of the tests has a part of each frame of 200 subscribers.
    slower = {"TICKER_TICK": "50ms", "TICKER_MAX_STREAMS_PER_TOKEN": "0"}
    env = slower if times > 1 else None
    with running(tmp_path_factory.mktemp("workers") / "data", WORKERS, env=env) as cluster:
        yield Scene(cluster, subscribers, times)


class Watch:
    """What the subscribers of one test saw around one event."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._subscribers = subscribers
        self._began = trio.current_time()

    async def end(self) -> None:
        """Wait until all are served again."""
        await settled(self._subscribers, trio.current_time(), seconds=30)
        self._ended = trio.current_time()

    @property
    def others(self) -> list[Subscriber]:
        """Those whose connection lasted."""
        return [each for each in self._subscribers if not any(t > self._began for t in each.lost)]

    @property
    def silence(self) -> float:
        """The longest silence of those, in seconds."""
        return max((s.silence(self._began, self._ended) for s in self.others), default=0.0)

    @property
    def missed(self) -> int:
        """The most ticks that one of those missed at once."""
        return max((s.missed(self._began, self._ended) for s in self.others), default=0)


async def repeat(
    scene: Scene,
    event: Callable[[Sequence[Subscriber]], Awaitable[None]],
    *,
    mode: str = "changes",
) -> tuple[float, int, list[Subscriber]]:
    """Let something happen several times; the longest silence, the most missed, all subscribers."""
    silence, missed = 0.0, 0
    async with watched(scene.cluster, scene.subscribers, mode=mode) as audience:
        for _ in range(scene.times):
            watch = Watch(audience)
            await event(audience)
            await watch.end()
            silence, missed = max(silence, watch.silence), max(missed, watch.missed)
            assert watch.others, "none was left"
    return silence, missed, list(audience)


def kill_feeder(cluster: Cluster, number: signal.Signals) -> Callable[..., Awaitable[None]]:
    """Return what signals the feeder and waits until another feeds and all workers serve."""

    async def event(_audience: Sequence[Subscriber]) -> None:
        feeds, serves = len(cluster.server.events("feeding")), cluster.serving()
        cluster.signal(cluster.feeder(), number)
        await eventually(lambda: len(cluster.server.events("feeding")) > feeds, "another feeder")
        await eventually(lambda: cluster.serving() > serves, "another worker", seconds=30)

    return event


@pytest.mark.parametrize("mode", ["changes", pytest.param("every", marks=pytest.mark.slow)])
async def test_when_a_worker_is_killed_its_subscribers_resume_and_the_others_miss_a_tick_at_most(
    scene: Scene, mode: str
) -> None:
    event = kill_feeder(scene.cluster, signal.SIGKILL)
    silence, missed, subscribers = await repeat(scene, event, mode=mode)
    resumed = [each for subscriber in subscribers for each in subscriber.resumed]
    tell(
        f"feeder killed {scene.times} times, {scene.subscribers} subscribers of {mode}: the "
        f"others' silence {silence:.3f} s, {missed} ticks missed, "
        f"{sum(resumed)} of {len(resumed)} resumed"
    )
    assert all(resumed)
    assert silence <= (0.25 if scene.full else 10)
    assert missed <= (1 if scene.full else 100)
    assert {len(s.epochs) for s in subscribers if not s.lost} <= {scene.times}


async def test_a_feeder_that_is_stopped_is_found_and_killed(
    scene: Scene,
) -> None:
    event = kill_feeder(scene.cluster, signal.SIGSTOP)
    silence, _, subscribers = await repeat(scene, event, mode="every")
    assert scene.cluster.server.events("worker_silent")
    tell(f"feeder stopped {scene.times} times: the others' silence {silence:.3f} s")
    assert all(each for subscriber in subscribers for each in subscriber.resumed)
    assert silence <= (2.5 if scene.full else 15)


async def test_a_feeder_that_drains_lets_another_feed_at_once(
    scene: Scene,
) -> None:
    crashed = len(scene.cluster.server.events("worker_crashed"))
    event = kill_feeder(scene.cluster, signal.SIGTERM)
    silence, missed, subscribers = await repeat(scene, event)
    assert len(scene.cluster.server.events("worker_crashed")) == crashed
    tell(
        f"feeder drained {scene.times} times: the others' silence {silence:.3f} s, {missed} missed"
    )
    assert all(each for subscriber in subscribers for each in subscriber.resumed)
    assert silence <= (0.1 if scene.full else 10)


async def test_a_rolling_restart_resets_no_client_and_drains_one_worker_at_a_time(
    scene: Scene,
) -> None:
    cluster, server, faults = scene.cluster, scene.cluster.server, []
    silence = siblings = longest = 0.0

    async def knock() -> None:
        """Open a stream, again and again, and note what is no stream."""
        nonlocal longest
        token = await trio.to_thread.run_sync(server.token)
        while True:
            asked = trio.current_time()
            response = await ask_for_a_stream(cluster, token)
            longest = max(longest, trio.current_time() - asked)
            if response != "101":
                faults.append(response)
            await trio.sleep(0.05)  # a load that leaves the machine to the subscribers

    before = len(server.lines)
    async with trio.open_nursery() as nursery, watched(cluster, scene.subscribers) as audience:
        for _ in range(2):
            nursery.start_soon(knock)
        for _ in range(scene.times):
            began, ended = trio.current_time(), len(server.events("worker_ended")) + WORKERS
            server.send_signal(signal.SIGHUP)
            await eventually(partial(has_ended, cluster, ended), "the old ones' end", seconds=300)
            await settled(audience, trio.current_time(), seconds=30)
            silence = max(silence, *(s.silence(began, s.frames[-1].at) for s in audience))
            siblings = max(siblings, *(s.silence_of_lasting(began) for s in audience))
        nursery.cancel_scope.cancel()
    resumed = [each for subscriber in audience for each in subscriber.resumed]
    tell(
        f"rolling restart of {WORKERS} workers {scene.times} times: siblings' silence "
        f"{siblings:.3f} s, with the time to come back {silence:.3f} s, "
        f"{sum(resumed)} of {len(resumed)} resumed, {len(faults)} refused or reset, "
        f"the longest handshake {longest:.3f} s"
    )
    assert not faults
    assert all(resumed)
    assert siblings <= (0.1 if scene.full else 10)
    assert most_draining(server.lines[before:]) == 1


def has_ended(cluster: Cluster, count: int) -> bool:
    """Whether so many workers have ended so far; fails where no more of them will."""
    stopped = cluster.server.events("replacing_stopped")
    assert not stopped, [*stopped, *cluster.server.lines[-60:]]
    return len(cluster.server.events("worker_ended")) >= count


def most_draining(lines: Sequence[str]) -> int:
    """Return how many workers drained at once."""
    draining = most = 0
    for line in lines:
        event = json.loads(line)["event"]
        draining += (event == "draining") - (event == "worker_ended")
        most = max(most, draining)
    return most


async def ask_for_a_stream(cluster: Cluster, token: str) -> str:
    """Open a stream and hang up; return the status, or what happened instead."""
    try:
        async with await raw.connect(cluster.server) as stream:
            await stream.send_all(raw.handshake(cluster.server, token))
            response, _ = await raw.read_response(stream, START_SECONDS)
            return str(response.status)
    except (OSError, trio.BrokenResourceError, AssertionError) as error:
        return repr(error)


def test_a_supervisor_that_is_killed_leaves_no_worker_behind(tmp_path: Path) -> None:
    with running(tmp_path / "data", 3) as cluster:
        pids = list(cluster.workers().values())
        cluster.server.send_signal(signal.SIGKILL)
        wait_gone(pids)
        with running(tmp_path / "data", 2, "--port", str(cluster.server.port)) as next_one:
            assert next_one.server.request("GET", "/healthz")[0] == 200


async def test_a_follower_that_slept_sends_nothing_old(scene: Scene) -> None:
    cluster, seconds = scene.cluster, 30 if scene.full else 2.0
    sleeper = next(number for number in cluster.workers() if number != cluster.feeder())
    token = await trio.to_thread.run_sync(cluster.server.token)
    oldest = frames = 0.0

    async def look() -> None:
        """Watch one stream, and how old each of its frames is."""
        nonlocal oldest, frames
        async with await raw.connect(cluster.server) as stream:
            await stream.send_all(raw.handshake(cluster.server, token))
            response, rest = await raw.read_response(stream, START_SECONDS)
            found = raw.RawStream(stream, response, rest)
            while (frame := await found.frame(START_SECONDS)) is not None:
                if awake.is_set() and frame.opcode == TEXT:
                    message = frame.message
                    if message["type"] == "ticker":
                        frames += 1
                        oldest = max(oldest, time.time() - message["time"] / 1000)

    awake = trio.Event()
    # What sleeps is not to be taken for what hangs.
    cluster.server.send_signal(signal.SIGSTOP)
    try:
        async with trio.open_nursery() as nursery:
            cluster.signal(sleeper, signal.SIGSTOP)
            for _ in range(24):  # about a third of them knock at the one that sleeps
                nursery.start_soon(look)
            await trio.sleep(seconds)
            awake.set()
            cluster.signal(sleeper, signal.SIGCONT)
            await eventually(lambda: frames > 2000, "frames", seconds=60)
            nursery.cancel_scope.cancel()
    finally:
        cluster.server.send_signal(signal.SIGCONT)
    tell(f"a follower asleep for {seconds} s: its oldest frame was {oldest:.3f} s old")
    assert oldest <= (1 if scene.full else 10)


async def test_a_supervisor_that_slept_does_not_take_its_workers_for_silent(scene: Scene) -> None:
    cluster, server = scene.cluster, scene.cluster.server
    silent, ended = len(server.events("worker_silent")), len(server.events("worker_ended"))
    serves = cluster.serving()
    server.send_signal(signal.SIGSTOP)
    try:
        await trio.sleep(limits.WORKER_SILENT_SECONDS + 1)
    finally:
        server.send_signal(signal.SIGCONT)
    cluster.signal(cluster.feeder(), signal.SIGTERM)
    await eventually(lambda: cluster.serving() > serves, "another worker", seconds=30)
    assert len(server.events("worker_silent")) == silent
    assert len(server.events("worker_ended")) == ended + 1


@pytest.mark.parametrize(
    ("workers", "places"),
    [(2, 60), pytest.param(4, 1000, marks=pytest.mark.slow)],
    ids=["short", "full"],
)
async def test_workers_admit_exactly_as_many_as_there_are_places_and_share_them_evenly(
    tmp_path: Path, workers: int, places: int
) -> None:
    env = {
        "TICKER_MAX_STREAMS": str(places),
        "TICKER_MAX_STREAMS_PER_TOKEN": "0",
        "TICKER_MAX_STREAMS_PER_ADDRESS": "0",
        "TICKER_MAX_STREAMS_PER_KEY": "0",
        "TICKER_TICK": "1s",
    }
    with running(tmp_path / "data", workers, env=env) as cluster:
        server = cluster.server
        token = await trio.to_thread.run_sync(server.token)
        statuses: Counter[int] = Counter()

        async def hold() -> None:
            """Ask for a place, and hold it."""
            async with await raw.connect(server) as stream:
                await stream.send_all(raw.handshake(server, token))
                response, _ = await raw.read_response(stream, START_SECONDS)
                statuses[response.status] += 1
                with suppress(trio.BrokenResourceError):
                    while response.status == 101 and await stream.receive_some(65536):
                        pass

        async with trio.open_nursery() as nursery:
            for _ in range(places + places // 10):
                nursery.start_soon(hold)
            asked = places + places // 10
            await eventually(lambda: statuses.total() == asked, "answers", seconds=START_SECONDS)
            assert statuses == {101: places, 503: places // 10}
            metrics = await trio.to_thread.run_sync(server.metrics)
            shares = {
                number: metrics[f'ticker_streams_open{{worker="{number}"}}']
                for number in cluster.workers()
            }
            assert sum(shares.values()) == places
            spread = max(shares.values()) / (places / workers)
            victim = max(shares, key=shares.__getitem__)
            cluster.signal(victim, signal.SIGKILL)
            died = trio.current_time()
            admitted = trio.Event()

            async def knock() -> None:
                # One that knocks at the dead worker's socket waits for its successor.
                if await ask_for_a_stream(cluster, token) == "101":
                    admitted.set()

            while not admitted.is_set():
                nursery.start_soon(knock)
                assert trio.current_time() - died < START_SECONDS
                with trio.move_on_after(0.05):
                    await admitted.wait()
            freed = trio.current_time() - died
            nursery.cancel_scope.cancel()
    tell(
        f"{places} places over {workers} workers: {statuses[101]} admitted, "
        f"busiest to mean {spread:.2f}, places of a dead worker free after {freed:.2f} s"
    )
    if places == 1000:
        assert spread <= 1.3
