"""What is not asked for is not imported: a client and a help text pay nothing for the server."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

from ticker.cli.program import _COMMANDS, cli

#: The libraries of the server, and its rooms.
SERVER: Final = frozenset(
    {"alembic", "hypercorn", "prometheus_client", "quart", "sqlalchemy", "structlog", "werkzeug"}
)
ROOMS: Final = frozenset(
    f"ticker.{room}"
    for room in (
        *("engine", "http", "market", "security", "server", "service"),
        *("settings.model", "storage", "streams", "transport", "web"),
    )
)


def modules_after(program: str) -> list[str]:
    """Run a program in a Python of its own; return the names of all modules it has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport json, sys\nprint(json.dumps([*sys.modules]))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def of_the_server(names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name.partition(".")[0] in SERVER
        or any(name == room or name.startswith(f"{room}.") for room in ROOMS)
    ]


@pytest.mark.parametrize(
    ("program", "most"),
    [
        ("import ticker", 0),
        ("import ticker.cli; ticker.cli.main(['--help'])", 5),
        ("import ticker.cli; ticker.cli.main(['--version'])", 5),
        ("from ticker import connect", 50),
    ],
    ids=["package", "help", "version", "client"],
)
def test_nothing_of_the_server_is_imported(program: str, most: int) -> None:
    plain, names = modules_after("pass"), modules_after(program)
    assert of_the_server(names) == []
    ours = [name for name in names if name.startswith("ticker.")]
    assert len(ours) <= most, ours
    if most <= 5:
        # click alone takes about a hundred modules of the standard library.
        assert len(names) - len(plain) < 200


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_help_names_every_command_and_begins_as_its_own_help_does(name: str) -> None:
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.help is not None
    assert command.help.split()[:2] == _COMMANDS[name].summary.split()[:2]


def test_a_server_begins_without_what_the_first_price_does_not_need() -> None:
    names = modules_after("import ticker.cli; ticker.cli.main(['serve', '--help'])")
    late = SERVER - {"hypercorn", "structlog"} | {"flask", "jinja2", "quart_trio"}
    terminal = {"rich", "pygments"}
    assert [name for name in names if name.partition(".")[0] in late | terminal] == []
    # Hypercorn's settings are wanted at once, its protocols are not.
    assert [name for name in names if name.startswith(("hypercorn.trio", "h2."))] == []
    assert "ticker.engine" in names
    ours = [name for name in names if name.startswith("ticker.")]
    assert len(ours) < 200, len(ours)
    assert len(names) < 640, len(names)
