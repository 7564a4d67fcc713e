"""`ticker keys`: make, list, rotate and revoke API keys, while a server runs or not.

A new key goes to stdout alone, once; all that is said besides goes to stderr.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import click

from ticker import logs
from ticker.cli import output
from ticker.redaction import shown_address
from ticker.security import demo
from ticker.security.key_admin import KeyAdmin, KeyAdminError, KeyAdminUsageError, NewKey
from ticker.security.pepper import open_pepper
from ticker.security.policy import DEFAULT_ROLE
from ticker.security.secrets_file import SecretFileError
from ticker.settings import readers
from ticker.settings.errors import SettingsError
from ticker.settings.model import Settings
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.files import UnsafeFileError, make_directory
from ticker.storage.urls import DatabaseUrlError, open_database

#: The last moment that a calendar here can write; what lasts longer is shown as this.
_LAST_TIME: Final = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()

_SECRET_FIELDS: Final = {"hash"}


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Read a length of time with its unit, as in `90d`."""
    if value is None:
        return None
    try:
        return readers.duration(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r}: expected a length of time above zero with its unit, as in 90d or 12h"
        ) from None


def _overlap(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    """Read a length of time that may be none."""
    return 0.0 if value == "0" else _seconds(ctx, param, value)


@contextmanager
def open_key_admin(settings: Settings) -> Iterator[KeyAdmin]:
    """Open the keys of the database that the settings name; turn faults into one line each.

    A database that was not there is made, and that is said: the folder may be a wrong one.
    """
    logs.configure(settings.log_format)
    try:
        _make_data_dir(settings)
        with closing(open_database(settings.database)) as database:
            if database.migrate():
                click.echo(f"Made a new database, {database.place}.", err=True)
            yield KeyAdmin(database, open_pepper(database, settings.data_dir, settings.key_pepper))
    except KeyAdminUsageError as error:
        raise click.UsageError(str(error)) from None
    except (DatabaseUnavailableError, SecretFileError, KeyAdminError) as error:
        raise click.ClickException(str(error)) from None
    except DatabaseUrlError as error:
        raise SettingsError([f"TICKER_DATABASE_URL: {error}"]) from None


def _make_data_dir(settings: Settings) -> None:
    try:
        make_directory(settings.data_dir)
    except UnsafeFileError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"{settings.data_dir} cannot be used as data directory: {error.strerror}"
        ) from None


def show_time(moment: float | None) -> str:
    """Write a moment for people; a dash where there is none."""
    if moment is None:
        return "-"
    return datetime.fromtimestamp(min(moment, _LAST_TIME), UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def show_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns that line up; nothing is ever cut, so that ids can be copied."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


@click.group()
def keys() -> None:
    """Manage API keys on the database that a running server uses."""


@keys.command()
@click.argument("user")
@click.option("--role", default=DEFAULT_ROLE, show_default=True, help="What the key may do.")
@click.option("--expires", callback=_seconds, metavar="TIME", help="As in 90d; never by default.")
@click.pass_obj
def create(settings: Settings, user: str, role: str, expires: float | None) -> None:
    """Make a key for USER and print it, this once."""
    if role not in settings.policies.roles:
        known = ", ".join(sorted(settings.policies.roles))
        raise click.BadParameter(
            f"there is no role of that name; there are {known}", None, None, "--role"
        )
    with open_key_admin(settings) as key_admin:
        _show_new(settings, key_admin.create(user, role, expires, hand_over=_print_key))
        demo.forget_demo_key(settings.data_dir)


def _print_key(made: NewKey) -> None:
    """Print a key, or fail: it is shown once."""
    try:
        click.echo(made.text)
    except output.OutputError as error:
        output.complain(
            f"ticker: the key {made.record.id} could not be written to standard output "
            f"and is revoked"
        )
        # A reader that has gone is no reason to call this a success.
        raise output.OutputError(str(error)) from None


def _show_new(settings: Settings, made: NewKey) -> None:
    until = show_time(made.record.expires_at)
    where = (
        f"the servers with the database {shown_address(settings.database_url)}"
        if settings.key_pepper and settings.database_url
        else f"the server with the data directory {settings.data_dir.absolute()}"
    )
    click.echo(
        f"Key {made.record.id} for {made.record.user}, role {made.record.role}, "
        f"{'never expires' if until == '-' else f'expires {until}'}. It is not shown again.\n"
        f"It is good for {where}.",
        err=True,
    )


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array; times in seconds.")
@click.pass_obj
def list_keys(settings: Settings, *, as_json: bool) -> None:
    """List the keys, without their secrets."""
    with open_key_admin(settings) as key_admin:
        records = key_admin.all_keys()
    now = datetime.now(UTC).timestamp()
    if as_json:
        shown = [
            {name: value for name, value in asdict(record).items() if name not in _SECRET_FIELDS}
            | {"state": record.state(now)}
            for record in records
        ]
        click.echo(json.dumps(shown))
        return
    show_table(
        ("ID", "USER", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED"),
        [
            (
                record.id,
                record.user,
                record.role,
                f"{record.state(now)} (demo)" if record.demo else record.state(now),
                show_time(record.created_at),
                show_time(record.expires_at),
                show_time(record.last_used_at),
            )
            for record in records
        ],
    )


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(settings: Settings, key_id: str) -> None:
    """End the key ID at once, with its tokens and their live streams."""
    with open_key_admin(settings) as key_admin:
        record = key_admin.revoke(key_id)
    before = "" if record.revoked_at is None else f" It was revoked {show_time(record.revoked_at)}."
    click.echo(f"Key {key_id} of {record.user} is revoked.{before}", err=True)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    callback=_overlap,
    default="24h",
    show_default=True,
    metavar="TIME",
    help="For how long the old key stays good; 0 ends it at once.",
)
@click.pass_obj
def rotate(settings: Settings, key_id: str, overlap: float) -> None:
    """Make a key that replaces the key ID, and print it, this once."""
    with open_key_admin(settings) as key_admin:
        _show_new(settings, key_admin.rotate(key_id, overlap, hand_over=_print_key))
    rest = f"good for {readers.show_duration(overlap)} more" if overlap else "revoked"
    click.echo(f"Key {key_id} is {rest}.", err=True)
