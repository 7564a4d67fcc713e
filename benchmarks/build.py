"""Builds the load generator and the floor, and installs the peers, into `benchmarks/.build`.

Rules for this module: whatever is there already is left alone; a peer that cannot be had is
noted in `missing` with the reason and never dropped silently. Nothing is installed into the
system: Python peers live in a virtual environment of their own, Node's in a folder, nginx
with nchan is unpacked from its Debian packages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
BUILD: Final = HERE / ".build"
LOAD: Final = BUILD / "load"
PEER_PYTHON: Final = BUILD / "py" / "bin" / "python"
NODE_HOME: Final = BUILD / "node"
BUN: Final = NODE_HOME / "node_modules" / "@oven" / "bun-linux-x64" / "bin" / "bun"
NGINX_HOME: Final = BUILD / "nginx"

_INSTALL_SECONDS: Final = 300
_PYTHON_PEERS: Final[Mapping[str, Sequence[str]]] = {
    "websockets": ["websockets"],
    "starlette": ["starlette", "uvicorn", "uvloop", "httptools", "websockets"],
    "picows": ["picows", "uvloop"],
    "naive-quart": ["quart-trio", "hypercorn"],
    "naive-messages": ["trio-websocket"],
    "channels": ["trio"],
    "direct": ["trio"],
    "bare-tick": ["trio"],
}
_NODE_PEERS: Final[Mapping[str, str]] = {"ws": "ws", "bun": "@oven/bun-linux-x64"}
_NGINX_PACKAGES: Final = ("nginx", "libnginx-mod-nchan")


class BuildError(Exception):
    """A step failed; the text is the last line it said."""


def build() -> tuple[dict[str, str], dict[str, str]]:
    """Build everything that is not there yet.

    Returns:
        The version of each peer that can be run, and the reason for each that cannot.
    """
    BUILD.mkdir(exist_ok=True)
    _compile_c()
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}

    def attempt(name: str, step: Callable[[], str]) -> None:
        try:
            versions[name] = step()
        except (BuildError, OSError) as error:
            missing[name] = str(error)

    for name, packages in _PYTHON_PEERS.items():
        attempt(name, lambda packages=packages: _python_peer(packages))  # type: ignore[misc]
    for name, package in _NODE_PEERS.items():
        attempt(name, lambda package=package: _node_peer(package))  # type: ignore[misc]
    attempt("nchan", _nchan)
    return versions, missing


def _run(command: Sequence[str | Path], cwd: Path = ROOT) -> str:
    try:
        done = subprocess.run(
            list(map(str, command)),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise BuildError(str(error)) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise BuildError(f"{command[0]}: {said[-1]}")
    return done.stdout + done.stderr


def load() -> None:
    """Build the load generator alone."""
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        _compile("load", "load.c", ["-DWITH_TLS", "-lssl", "-lcrypto"])
    except BuildError:
        _compile("load", "load.c", [])


def _compile_c() -> None:
    sources = {
        "floor": ("floor.c", []),
        "threads": ("experiments/threads.c", ["-pthread"]),
        "uring": ("experiments/uring.c", []),
        "helper.so": ("experiments/uring.c", ["-DHELPER", "-shared", "-fPIC"]),
    }
    for name, (source, flags) in sources.items():
        _compile(name, source, flags)
    try:
        _compile("load", "load.c", ["-DWITH_TLS", "-lssl", "-lcrypto"])
        _compile("tls_floor", "tls_floor.c", ["-lssl", "-lcrypto"])
    except BuildError:
        _compile("load", "load.c", [])  # without OpenSSL's headers there is no `tls`


def _compile(name: str, source: str, flags: Sequence[str]) -> None:
    target = BUILD / name
    newest = max(file.stat().st_mtime for file in HERE.rglob("*.[ch]") if BUILD not in file.parents)
    if not target.exists() or target.stat().st_mtime < newest:
        _run(["gcc", "-O2", "-Wall", "-Wextra", "-o", target, HERE / source, *flags])


def _python_peer(packages: Sequence[str]) -> str:
    if not PEER_PYTHON.exists():
        _run([sys.executable, "-m", "venv", BUILD / "py"])
    show: list[str | Path] = [PEER_PYTHON, "-m", "pip", "show", *packages]
    try:
        said = _run(show)
    except BuildError:
        said = ""
    if said.count("Name: ") < len(packages):
        _run([PEER_PYTHON, "-m", "pip", "install", "--quiet", *packages])
        said = _run(show)
    values = [
        line.partition(": ")[2]
        for line in said.splitlines()
        if line.startswith(("Name: ", "Version: "))
    ]
    return ", ".join(map(" ".join, zip(values[::2], values[1::2], strict=True)))


def _node_peer(package: str) -> str:
    NODE_HOME.mkdir(exist_ok=True)
    home = NODE_HOME / "node_modules" / package
    if not home.exists():
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", NODE_HOME, package])
    if package == "ws":
        version = _run(["node", "-p", f"require('{home}/package.json').version"]).strip()
        return f"ws {version}, node {_run(['node', '--version']).strip()}"
    return f"bun {_run([BUN, '--version']).strip()}"


def nginx() -> tuple[Path, Path]:
    """Return nginx and its folder of modules: the system's, where it has nchan, or our own."""
    installed, modules = shutil.which("nginx"), Path("/usr/lib/nginx/modules")
    if installed and (modules / "ngx_nchan_module.so").exists():
        return Path(installed), modules
    return NGINX_HOME / "usr/sbin/nginx", NGINX_HOME / "usr/lib/nginx/modules"


def _nchan() -> str:
    program, modules = nginx()
    if not program.exists() or not (modules / "ngx_nchan_module.so").exists():
        NGINX_HOME.mkdir(exist_ok=True)
        _run(["apt-get", "download", *_NGINX_PACKAGES], cwd=NGINX_HOME)
        for package in NGINX_HOME.glob("*.deb"):
            _run(["dpkg", "-x", package, NGINX_HOME])
    version = _run([program, "-v"]).strip().rpartition("nginx/")[2]
    for package in NGINX_HOME.glob("libnginx-mod-nchan_*.deb"):
        version += f", {package.name.split('_')[0]} {package.name.split('_')[1]}"
    return f"nginx {version}".replace("%3a", ":")


def node() -> str:
    """Return the path of Node.

    Raises:
        BuildError: there is none.
    """
    found = shutil.which("node")
    if found is None:
        raise BuildError("node: not installed")
    return found
