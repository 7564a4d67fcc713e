"""Which running server a command talks to, and with which key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ticker.addresses import is_loopback
from ticker.client.server_address import Address, parse_address
from ticker.limits import SECRET_FILE_BYTES
from ticker.security.secrets_file import DEMO_KEY_FILE, SecretFileError, read_line
from ticker.settings.model import Settings

_F = TypeVar("_F", bound=Callable[..., object])


def key_options(command: _F) -> _F:
    """Give a command the options `--api-key` and `--api-key-file`."""
    command = click.option(
        "--api-key-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Holds the key alone.",
    )(command)
    return click.option(
        "--api-key",
        envvar="TICKER_API_KEY",
        show_envvar=True,
        metavar="KEY",
        help="Other users of this machine can see it; the variable or --api-key-file hides it.",
    )(command)


def find_key(
    ctx: click.Context,
    settings: Settings,
    url: str,
    api_key: str | None,
    api_key_file: Path | None,
) -> str:
    """Return the key to use: the given one, or the demo key of a server on this machine.

    Raises:
        ValueError: the URL is not understood.
        click.UsageError: there is no key, or two.
    """
    if api_key_file is not None:
        if ctx.get_parameter_source("api_key") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("pass either --api-key or --api-key-file, not both")
        api_key = _read_key(api_key_file)
    if api_key is not None and not api_key.strip():
        api_key = None  # as a variable of spaces is one that is not set
    return api_key or _demo_key(parse_address(url), settings.data_dir)


def own_url(settings: Settings) -> str:
    """Return where `ticker serve` listens with the same settings."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _read_key(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # Anything but ASCII is garbage, which `connect` tells from a key.
            return file.read(SECRET_FILE_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise click.BadParameter(
            f"{path} cannot be read: {error.strerror}", param_hint="'--api-key-file'"
        ) from None


def _demo_key(server: Address, data_dir: Path) -> str:
    """The demo key, where the server is on this machine: no other is to be told it."""
    file = data_dir.absolute() / DEMO_KEY_FILE
    if is_loopback(server.host):
        try:
            key = read_line(file)
        except SecretFileError as error:
            raise click.UsageError(str(error)) from None
        if key:
            return key
        looked = f"; there is no demo key in {file}"
    else:
        looked = f"; the demo key in {data_dir.absolute()} is for a server on this machine only"
    raise click.UsageError(
        "an API key is needed: pass --api-key-file or --api-key, or set TICKER_API_KEY" + looked
    )
