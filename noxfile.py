"""What is checked, and how: `nox` runs the fast sessions, `nox -l` lists all of them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
SLOW = ("-m", "slow", "-s")
#: Modules are spread over the cores; each keeps the servers it shares to itself.
DEFAULT = ("-m", "not slow and not browser", "-n", "auto", "--dist", "loadfile")
#: What runs while one works: all that is pure or in virtual time, and the main job from outside.
CORE = (
    "tests/unit",
    "tests/virtual_time",
    "tests/simulation",
    "tests/system/test_launch.py",
    "tests/system/test_readme.py",
    "tests/system/test_stream.py",
)


def install(session: nox.Session, *groups: str) -> None:
    """Install Ticker and the dependency groups."""
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff with every rule, its formatter, and the layers of the rooms."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over everything."""
    install(session, "types")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Units, virtual time, and the main job over real sockets; at most five minutes."""
    install(session, "test")
    session.run("pytest", *DEFAULT, *(session.posargs or CORE))


@nox.session(default=False)
def outside(session: nox.Session) -> None:
    """All else over real sockets: the whole program, attacks, chaos, at their short sizes."""
    install(session, "test")
    session.run("pytest", *DEFAULT, "tests", *(f"--ignore={path}" for path in CORE))


@nox.session
def package(session: nox.Session) -> None:
    """The wheel works by itself, away from the checkout: page, key, token, prices."""
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "pip", "wheel", "--no-deps", "-q", "-w", folder, ".")
        session.install(*map(str, Path(folder).glob("*.whl")))
        script = Path("tests/support/try_package.py").resolve()
        with session.chdir(folder):
            session.run("python", str(script))


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """The page in a real Chromium; screenshots go to artifacts/screenshots."""
    install(session, "browser")
    session.run("pytest", "-m", "browser", "tests/browser", *session.posargs)


@nox.session(default=False, python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """The default tests on each supported Python that is installed."""
    install(session, "test")
    session.run("pytest", *DEFAULT, *session.posargs)


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """The default tests with every dependency at its lower bound."""
    bounds = "\n".join(
        re.sub(r">=([^,]+).*", r"==\1", line) for line in PYPROJECT["project"]["dependencies"]
    )
    constraints = Path(session.create_tmp()) / "minimums.txt"
    constraints.write_text(bounds)
    test = nox.project.dependency_groups(PYPROJECT, "test")
    session.install("-c", str(constraints), "-e", ".", *test)
    session.run("pytest", *DEFAULT, *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Which lines and branches the default tests reach, the started programs included."""
    install(session, "test")
    session.run("coverage", "run", "-m", "pytest", *DEFAULT)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session(default=False)
def secrets(session: nox.Session) -> None:
    """A million forged keys and tokens, and comparison timing."""
    install(session, "test")
    session.run("pytest", *SLOW, "tests/unit/security", *session.posargs)


@nox.session(default=False)
def attack(session: nox.Session) -> None:
    """Raw-byte attacks and their mutations; ATTACK_SEED and ATTACK_MUTATIONS choose."""
    install(session, "test")
    session.run("pytest", "-s", "tests/attack", *session.posargs)


@nox.session(default=False)
def simulation(session: nox.Session) -> None:
    """Ten thousand runs of the deterministic simulation."""
    install(session, "test")
    session.run("pytest", *SLOW, "tests/simulation", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """The promises of docs/reliability.md at full size."""
    install(session, "test")
    session.run("pytest", *SLOW, "tests/chaos", *session.posargs)


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """Workers and machines that fail, at full size, with real Redis, Sentinel, PostgreSQL."""
    install(session, "test")
    histories = "tests/virtual_time/cluster/test_histories.py"
    database = "tests/unit/storage/test_postgres.py"
    session.run("pytest", *SLOW, "tests/cluster", histories, database, *session.posargs)


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """An hour of churn compressed, with a plot of the memory."""
    install(session, "test")
    session.run("pytest", *SLOW, "tests/soak", *session.posargs)


@nox.session(default=False)
def autobahn(session: nox.Session) -> None:
    """RFC 6455 conformance; needs a Python 2.7 for the test suite that judges it."""
    install(session, "test")
    session.run("pytest", *SLOW, "tests/autobahn", *session.posargs)


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Known vulnerabilities in the tested set of dependencies."""
    session.install("pip-audit")
    session.run("pip-audit", "--require-hashes", "-r", "constraints.txt", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Ticker beside the floor and its peers, in alternation; all of it takes 45 minutes."""
    session.install(".")
    session.run("python", "-m", "benchmarks.run", *(session.posargs or ["all", "--record"]))
