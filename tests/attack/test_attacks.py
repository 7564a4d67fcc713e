"""No bytes from a stranger can stop the server, or reach a healthy subscriber's stream."""

from __future__ import annotations

import os
import random
import re
import ssl
from collections.abc import Iterator
from itertools import islice

import attrs
import pytest
import trustme

from tests.attack.assault import ATTACKERS, Leave, Outcome, Try, assault, every_cut
from tests.attack.catalogue import Attack, attacks
from tests.attack.mutation import mutations
from tests.attack.witness import witnessed
from tests.support.leaks import idle, nothing_left
from tests.support.server import Server, started
from tests.support.waiting import wait_until

#: What is tried by default, in about half a minute.
MUTATIONS = 4000
CUTS_STEP = 12
#: The whole of it: `pytest -m slow tests/attack`.
SLOW_MUTATIONS = int(os.environ.get("ATTACK_MUTATIONS", "1000000"))
SEED = int(os.environ.get("ATTACK_SEED", "20261122"))
#: Mutations between two looks at the log, so that it does not grow without end.
_ROUND = 20_000
#: What the server must not log: an exception that only a boundary stopped.
FAULTS = (
    "connection_crashed",
    "session_crashed",
    "request_crashed",
    "engine_failed",
    "Error in ASGI Framework",
)


#: Every attacker uses the same token, from one address.
LIFTED = {"TICKER_MAX_STREAMS_PER_TOKEN": "0", "TICKER_MAX_STREAMS_PER_ADDRESS": "0"}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without limits by token, since every attacker uses the same one."""
    with started("serve", tmp_path_factory.mktemp("attacked") / "data", env=LIFTED) as server:
        yield server


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """The same over TLS, with a plain listener beside it for the healthy subscriber."""
    directory = tmp_path_factory.mktemp("secure")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    names = directory / "certificate.pem", directory / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(names[0])
    certificate.private_key_pem.write_to_path(names[1])
    context = ssl.create_default_context()
    context.check_hostname = False
    authority.configure_trust(context)
    args = ["--certfile", str(names[0]), "--keyfile", str(names[1])]
    args += ["--insecure-bind", "127.0.0.1:0"]
    with started("hypercorn", directory / "data", args=args, env=LIFTED) as server:
        server.wait_listening()
        found = wait_until(
            lambda: re.search(r"Running on https://127.0.0.1:(\d+)", server.output), "the listener"
        )
        yield Secure(server, int(found[1]), context)


@attrs.frozen
class Secure:
    """A server with a listener for TLS."""

    server: Server
    port: int
    context: ssl.SSLContext | None


async def _under_attack(
    server: Server,
    tries: Iterator[Try],
    capsys: pytest.CaptureFixture[str],
    attackers: int,
    secure: Secure | None = None,
) -> Outcome:
    """Attack while a healthy subscriber looks on; afterwards nothing may be left."""
    baseline = idle(server)
    token = server.token()
    with nothing_left(server, baseline, seconds=20):
        async with witnessed(server) as witness:
            port, context = (server.port, None) if secure is None else (secure.port, secure.context)
            outcome = await assault(port, token, tries, attackers, context)
    seconds, slowest = outcome.longest
    with capsys.disabled():
        print(  # noqa: T201 - a seeded run says what it did
            f"\n{outcome.tries} attacks: {dict(outcome.answers.most_common())}; "
            f"the longest {seconds:.1f} s: {slowest}; the healthy subscriber saw "
            f"{witness.ticks} ticks, the longest wait {witness.longest * 1000:.0f} ms"
        )
    assert server.process.poll() is None
    assert not outcome.faults, "\n".join(outcome.faults[:20])
    crashes = [event for name in FAULTS for event in server.events(name)]
    server.lines.clear()
    assert not crashes, "\n".join(crash["exception"] for crash in crashes[:3])
    return outcome


async def test_hand_made_attacks_harm_no_client(
    attacked: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = attacks(attacked.token())
    assert len(everything) >= 90
    tries = [Try(attack, leave) for attack in everything for leave in Leave]
    await _under_attack(attacked, iter(tries), capsys, len(tries))


async def test_hand_made_attacks_over_tls_harm_no_client(
    secure: Secure, capsys: pytest.CaptureFixture[str]
) -> None:
    server = secure.server
    tries = [Try(attack, leave) for attack in attacks(server.token()) for leave in Leave]
    await _under_attack(server, iter(tries), capsys, len(tries), secure)


async def test_attacks_beneath_tls_harm_no_client(
    secure: Secure, capsys: pytest.CaptureFixture[str]
) -> None:
    # What is no TLS at all, and what ends in the middle of a handshake.
    server = secure.server
    hello = bytes.fromhex("16030100c8010000c40303") + b"\x00" * 200
    strange = [*attacks(server.token()), Attack("half a client hello", hello[:-9])]
    tries = [Try(attack, leave) for attack in strange if not attack.opened for leave in Leave]
    plain = attrs.evolve(secure, context=None)
    await _under_attack(server, iter(tries), capsys, ATTACKERS * 8, plain)


async def test_pipelined_requests_of_clients_that_reset_leave_nothing(
    attacked: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelined = [each for each in attacks(attacked.token()) if "pipelined" in each.name]
    tries = [Try(attack, Leave.RST) for attack in pipelined for _ in range(100)]
    await _under_attack(attacked, iter(tries), capsys, ATTACKERS)


async def test_attacks_cut_anywhere_harm_no_client(
    attacked: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = every_cut(attacks(attacked.token()), dense=400, step=CUTS_STEP)
    await _under_attack(attacked, tries, capsys, ATTACKERS)


async def test_mutated_attacks_harm_no_client(
    attacked: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    await _under_attack(attacked, _mutated(attacked, MUTATIONS), capsys, ATTACKERS)


@pytest.mark.slow
async def test_attacks_cut_at_every_byte_harm_no_client(
    attacked: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = every_cut(attacks(attacked.token()), dense=2048)
    await _under_attack(attacked, tries, capsys, ATTACKERS)


@pytest.mark.slow
async def test_a_million_mutations_harm_no_client(
    attacked: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = _mutated(attacked, SLOW_MUTATIONS)
    done = 0
    while done < SLOW_MUTATIONS:
        outcome = await _under_attack(attacked, islice(tries, _ROUND), capsys, ATTACKERS)
        done += outcome.tries


def _mutated(server: Server, count: int) -> Iterator[Try]:
    """Return so many mutations, half of which leave by FIN and half by RST."""
    print(f"ATTACK_SEED={SEED}")  # noqa: T201 - what repeats a failure
    endings = random.Random(SEED)
    for attack in islice(mutations(attacks(server.token()), SEED), count):
        yield Try(attack, endings.choice((Leave.FIN, Leave.RST)))
