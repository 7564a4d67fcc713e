"""`ticker tokens`: list and revoke tokens, while a server runs or not."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ticker.cli.keys import open_key_admin, show_table, show_time
from ticker.settings.model import Settings


@click.group()
@click.pass_obj
def tokens(settings: Settings) -> None:
    """Manage issued tokens on the database that a running server uses."""
    if settings.token_store == "memory":  # noqa: S105 - a setting's value
        raise click.ClickException(
            "tokens are in the server's memory only (TICKER_TOKEN_STORE=memory): "
            "to end them, revoke their key with keys revoke"
        )


@tokens.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array; times in seconds.")
@click.pass_obj
def list_tokens(settings: Settings, *, as_json: bool) -> None:
    """List the tokens that open something now, by id; the tokens themselves are stored nowhere."""
    with open_key_admin(settings) as key_admin:
        records = key_admin.live_tokens()
    if as_json:
        click.echo(json.dumps([asdict(record) for record in records]))
        return
    show_table(
        ("ID", "USER", "ROLE", "KEY", "ADDRESS", "ISSUED", "EXPIRES"),
        [
            (
                record.id,
                record.user_id,
                record.role,
                record.key_id,
                record.address,
                show_time(record.issued_at),
                show_time(record.expires_at),
            )
            for record in records
        ],
    )


@tokens.command()
@click.argument("token_id", metavar="ID")
@click.pass_obj
def revoke(settings: Settings, token_id: str) -> None:
    """End the token ID at once, with its live streams."""
    with open_key_admin(settings) as key_admin:
        key_admin.revoke_token(token_id)
    click.echo(f"Token {token_id} is revoked.", err=True)
