"""The command line: `ticker serve`, `keys`, `tokens`, `watch`, `record`, `cluster` and more.

Exit codes: 0 fine, 1 failed while running, 2 wrong usage or settings. A fault is one clear
line on standard error.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs
import click

from ticker.cli import output, quitting_on_interrupt
from ticker.settings.errors import SettingsError


@contextmanager
def loading() -> Iterator[None]:
    """Load the modules of a command, in two thirds of the time.

    They are there to stay: the garbage collector does not go through them, neither meanwhile nor
    later. And structlog loads all of rich for its tracebacks, which are not used, wherever rich
    is installed; a command that does use it has loaded it before.
    """
    collecting, absent = gc.isenabled(), "rich" not in sys.modules
    gc.disable()
    if absent:
        sys.modules["rich"] = None  # type: ignore[assignment]  # as it says of what is not there
        try:
            import structlog.dev  # noqa: F401, PLC0415 - for what it does not find now
        finally:
            del sys.modules["rich"]
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


@attrs.frozen
class _Home:
    """Where a command lives, and what its help says in short.

    It is imported only when it is wanted: starting the program must not take longer than what it
    is asked for.
    """

    module: str
    summary: str


_COMMANDS: Final = {
    "cluster": _Home("ticker.cli.cluster", "Show the workers and machines of one market."),
    "config": _Home("ticker.cli.config", "Print every setting, its value and where it came from."),
    "doctor": _Home("ticker.cli.doctor", "Connect to a source of prices and print what it says."),
    "keys": _Home("ticker.cli.keys", "Manage API keys on the database of a running server."),
    "record": _Home("ticker.cli.record", "Record an exchange's messages into a file."),
    "serve": _Home(
        "ticker.cli.serve", "Serve the page, the token endpoint, the prices and the stream."
    ),
    "tokens": _Home("ticker.cli.tokens", "Manage issued tokens on the same database."),
    "watch": _Home("ticker.cli.watch", "Show live prices until q or Ctrl-C."),
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
        home = _COMMANDS.get(cmd_name)
        if home is None:
            return None
        if home.module not in sys.modules:
            with quitting_on_interrupt(), loading():
                import_module(home.module)
        command = getattr(sys.modules[home.module], cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - _COMMANDS says so
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands in the help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, home.summary) for name, home in sorted(_COMMANDS.items())])


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value and not ctx.resilient_parsing:
        from ticker import __version__  # noqa: PLC0415 - reading it takes long

        click.echo(f"ticker, version {__version__}")
        ctx.exit()


class SettingsFile(click.Path):
    """The type of `--config`: a path, where an empty one does not stand for this folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it; a fault of usage where it is blank."""
        if isinstance(value, str) and not value.strip():
            self.fail("expected the name of a file", param, ctx)
        return super().convert(value, param, ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option("--config", type=SettingsFile(), help="A TOML file with settings.")
@click.option("--data-dir", help="The directory of the database and of development secrets.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, data_dir: str | None) -> None:
    """Ticker: a real-time crypto price stream that people may depend on."""
    if ctx.invoked_subcommand in _OWN_SETTINGS:
        ctx.obj = {"config": config, "data_dir": data_dir}
    else:
        with quitting_on_interrupt():
            from ticker.settings.loader import load  # noqa: PLC0415 - help needs no settings
        ctx.obj = load(config=config, options={"data_dir": data_dir}).settings


def run(args: list[str] | None = None) -> int:  # noqa: PLR0911 - an exit code for each ending
    """Run a command and return its exit code."""
    try:
        with output.guarded():
            result = cli.main(args, prog_name="ticker", standalone_mode=False)
    except SettingsError as error:
        return _complain([f"ticker: {fault}" for fault in error.faults], 2)
    except click.exceptions.NoArgsIsHelpError as error:
        return _complain([error.format_message()], error.exit_code)
    except click.ClickException as error:
        from ticker.redaction import mask_credentials  # noqa: PLC0415 - help needs it not

        # It may repeat what was typed: an address in the place of something else.
        return _complain([f"ticker: {mask_credentials(error.format_message())}"], error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130  # what a shell expects after Ctrl-C
    except output.OutputError as error:
        if not error.reader_has_gone:
            return _complain([f"ticker: standard output cannot be written: {error}"], 1)
        return 0
    return result if isinstance(result, int) else 0


def _complain(lines: list[str], exit_code: int) -> int:
    for line in lines:
        output.complain(line)
    return exit_code
