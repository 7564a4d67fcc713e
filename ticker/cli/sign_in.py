"""The address that signs its reader in."""

from __future__ import annotations

import click


def sign_in_address(url: str, api_key: str) -> str:
    """Return the address to open in a browser on this machine to be signed in with a key.

    The key is in the fragment, which a browser sends to no server and no proxy.

    Args:
        url: where the server listens, as in `http://0.0.0.0:8081`.
        api_key: the key.
    """
    scheme, _, place = url.partition("://")
    host, _, port = place.rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"{scheme}://{here}:{port}/#key={api_key}"


def print_sign_in_address(url: str, api_key: str) -> None:
    """Print it."""
    click.echo(sign_in_address(url, api_key))
