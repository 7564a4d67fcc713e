"""`ticker config`: every setting, its value and where it came from; and who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ticker.cli.program import SettingsFile
from ticker.market.sources import SourceConfigError, UnknownSymbolError, load_source
from ticker.redaction import mask_credentials
from ticker.security.policy import PolicySet
from ticker.settings.loader import Origin, SettingsError, load
from ticker.settings.model import Settings
from ticker.settings.source_setup import load_sources, source_context


@click.command()
@click.option("--config", "file", type=SettingsFile(), help="A TOML file with settings.")
@click.option("--explain", is_flag=True, help="Say what each means, with an example.")
@click.pass_obj
def config(common: dict[str, Any], file: Path | None, *, explain: bool) -> None:
    """Print every setting, its value and where it came from; secrets are masked."""
    loaded = load(config=file or common["config"], options={"data_dir": common["data_dir"]})
    if faults := _source_faults(loaded.settings):
        raise SettingsError(faults)
    for ignored in loaded.settings.ignored:
        click.echo(f"ticker: {ignored}: there is no such setting", err=True)
    if explain:
        _explain(loaded.origins)
    else:
        _list(loaded.origins)
    _list_roles(loaded.settings.policies)


def _list(origins: Sequence[Origin]) -> None:
    name_width = max(len(origin.field.variable) for origin in origins)
    value_width = min(60, max(len(origin.shown) for origin in origins))
    for origin in origins:
        click.echo(
            f"{origin.field.variable:<{name_width}} = {origin.shown:<{value_width}}"
            f"  ({origin.where})"
        )
    click.echo()


def _explain(origins: Sequence[Origin]) -> None:
    for origin in origins:
        field = origin.field
        click.echo(f"{field.variable} = {origin.shown}  ({origin.where})")
        click.echo(f"    {field.meaning}")
        click.echo(f"    example: {field.variable}={field.example}")
        click.echo()


def _list_roles(policies: PolicySet) -> None:
    for role in policies.roles.values():
        limits = ", ".join(
            f"{field}={value}"
            for field, value in (
                ("fastest_interval_ms", role.limits.fastest_interval_ms),
                ("max_streams", role.limits.max_streams),
                ("messages_per_second", role.limits.messages_per_second),
                ("outlive_token", role.limits.outlive_token or None),
            )
            if value is not None
        )
        click.echo(f"role {role.name}" + (f" ({limits})" if limits else ""))
        for policy in role.policies:
            click.echo(
                f"  {policy.name}: {policy.effect} {','.join(policy.actions)} "
                f"on {','.join(policy.resources)}"
            )


def _source_faults(settings: Settings) -> list[str]:
    """Set the sources up as `ticker serve` would, which starts nothing, and tell what refuses.

    Only here, since all other commands must work while a recording is away.
    """
    faults = []
    for spec in settings.source:
        try:
            load_source(spec.source, source_context(settings, spec))
        except UnknownSymbolError:
            pass  # another source may have the symbol
        except SourceConfigError as error:
            faults.append(mask_credentials(str(error)))
    if not faults:
        try:
            load_sources(settings)
        except SourceConfigError as error:
            faults.append(mask_credentials(str(error)))
    return faults
