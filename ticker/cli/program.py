"""The command line: `ticker serve`, `keys`, `tokens`, `watch`, `record`, `doctor`, `config`.

Exit codes: 0 fine, 1 failed while running, 2 wrong usage or settings. A fault is one clear
line on standard error.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from ticker import __version__
from ticker.cli import quitting_on_interrupt
from ticker.settings.loader import SettingsError, load

#: Each command with the module it lives in, imported only when it is wanted: starting the
#: program must not take longer than what it is asked for.
_COMMANDS: Final = {
    "config": "ticker.cli.config",
    "doctor": "ticker.cli.doctor",
    "keys": "ticker.cli.keys",
    "record": "ticker.cli.record",
    "serve": "ticker.cli.serve",
    "tokens": "ticker.cli.tokens",
    "watch": "ticker.cli.watch",
}
#: The commands that read the settings by themselves.
_OWN_SETTINGS: Final = frozenset({"config", "serve"})


class _Commands(click.Group):
    """Finds commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name every command."""
        return sorted(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        with quitting_on_interrupt():
            command = getattr(import_module(module), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - _COMMANDS says so
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ticker")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file with settings.")
@click.option("--data-dir", help="The directory of the database and of development secrets.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, data_dir: str | None) -> None:
    """Ticker: a real-time crypto price stream that people may depend on."""
    if ctx.invoked_subcommand in _OWN_SETTINGS:
        ctx.obj = {"config": config, "data_dir": data_dir}
    else:
        ctx.obj = load(config=config, options={"data_dir": data_dir}).settings


def run(args: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        result = cli.main(args, prog_name="ticker", standalone_mode=False)
    except SettingsError as error:
        for fault in error.faults:
            click.echo(f"ticker: {fault}", err=True)
        return 2
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"ticker: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130  # what a shell expects after Ctrl-C
    except BrokenPipeError:
        # The reader of the output has seen enough; Python must not complain at exit.
        sys.stdout = None
        return 0
    return result if isinstance(result, int) else 0
