"""Read the settings: a TOML file, then the environment, then the command line.

The later wins. Every fault is reported at once, one line each, and the value of a secret is
never part of a line.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from ticker.security.policy import PolicyError, PolicySet
from ticker.settings.model import Settings

#: Where settings are looked for when nobody names a file.
DEFAULT_FILE: Final = Path("ticker.toml")
#: The environment variable that names another file, for launches without a `--config`.
FILE_VARIABLE: Final = "TICKER_CONFIG"
#: What every environment variable of ours begins with, and those that are no settings.
PREFIX: Final = "TICKER_"
_NO_SETTINGS: Final = frozenset({FILE_VARIABLE, "TICKER_API_KEY"})
MASK: Final = "********"
_TICK_SECONDS: Final = (0.001, 60.0)


class SettingsError(Exception):
    """Settings are wrong; `faults` holds one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@attrs.frozen
class Origin:
    """Where one setting's value came from, and how to show it."""

    name: str
    shown: str
    where: str
    meaning: str


@attrs.frozen
class Loaded:
    """Settings, and where each came from."""

    settings: Settings
    origins: tuple[Origin, ...]


def _fields() -> dict[str, Any]:
    return {field.name: field for field in attrs.fields(Settings) if "reader" in field.metadata}


def _read_file(path: Path | None, faults: list[str]) -> dict[str, Any]:
    """Read the TOML file's keys, whether they stand in its `[ticker]` table or outside of it."""
    try:
        content = tomllib.loads((path or DEFAULT_FILE).read_text("utf-8"))
    except FileNotFoundError:
        if path is not None:
            faults.append(f"{path}: no such settings file")
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{path or DEFAULT_FILE}: cannot be read as TOML: {error}")
        return {}
    table = content.pop("ticker", {})
    if not isinstance(table, dict):
        faults.append(f"{path or DEFAULT_FILE}: [ticker] must be a table")
        return {}
    # Whichever of the two won, the other would be dropped: a role's policies, say.
    faults += [
        f"{path or DEFAULT_FILE}: {name}: expected in [ticker] or outside of it, not in both"
        for name in content
        if name in table
    ]
    return content | table


def load(
    *,
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    options: Mapping[str, object] | None = None,
) -> Loaded:
    """Read the settings from a file, the environment and command-line options.

    Args:
        config: the TOML file; without it `TICKER_CONFIG`, then `./ticker.toml` where it exists.
        environ: the environment.
        options: values from the command line by setting name; None means not given.

    Raises:
        SettingsError: with one line for every fault found.
    """
    fields = _fields()
    faults: list[str] = []
    if config is None and environ.get(FILE_VARIABLE):
        config = Path(environ[FILE_VARIABLE])
    file = _read_file(config, faults)
    tables = {name: file.pop(name, {}) for name in ("policies", "roles")}
    place = str(config or DEFAULT_FILE)
    layers: list[tuple[str, dict[str, object]]] = [
        (place, file),
        (
            "environment",
            {
                name.removeprefix(PREFIX).lower(): value
                for name, value in environ.items()
                if name.startswith(PREFIX) and name not in _NO_SETTINGS
            },
        ),
        (
            "command line",
            {name: value for name, value in (options or {}).items() if value is not None},
        ),
    ]
    chosen: dict[str, Any] = {}
    where: dict[str, str] = {}
    ignored: list[str] = []
    for layer, values in layers:
        for name, raw in values.items():
            label = f"{PREFIX}{name.upper()}" if layer == "environment" else f"{layer}: {name}"
            if name not in fields and layer == "environment":
                # Not a fault: Kubernetes, for one, puts TICKER_SERVICE_HOST and the like into
                # the environment of every pod beside a service called ticker.
                ignored.append(label)
                continue
            if name not in fields:
                faults.append(f"{label}: there is no such setting; `ticker config` lists them")
                continue
            meta = fields[name].metadata
            try:
                chosen[name] = meta["reader"](raw)
            except ValueError as error:
                shown = MASK if meta["secret"] else repr(raw)
                faults.append(f"{label}={shown}: {error}")
            where[name] = label if layer == "environment" else layer
    faults += _cross_check(chosen)
    try:
        policies = PolicySet.from_tables(tables["policies"], tables["roles"])
    except PolicyError as error:
        faults += [f"{place}: {line}" for line in error.faults]
        policies = PolicySet.default()
    if faults:
        raise SettingsError(faults)
    settings = Settings(
        **chosen, policies=policies, named=frozenset(chosen), ignored=tuple(sorted(ignored))
    )
    return Loaded(settings, tuple(_origins(settings, fields, where)))


def _cross_check(chosen: Mapping[str, Any]) -> list[str]:
    """Find values that are right alone and wrong together."""
    faults = []
    if chosen.get("restart_factor", 2.0) < 1:
        faults.append("restart_factor: expected 1 or more")
    if chosen.get("restart_jitter", 0.1) > 1:
        faults.append("restart_jitter: expected at most 1")
    if not chosen.get("source", True):
        faults.append("source: expected at least one source")
    if not chosen.get("symbols", True):
        faults.append("symbols: expected at least one symbol")
    shortest, longest = _TICK_SECONDS
    if not shortest <= chosen.get("tick", shortest) <= longest:
        faults.append("tick: expected between 1ms and 60s")
    return faults


def _origins(
    settings: Settings, fields: Mapping[str, Any], where: Mapping[str, str]
) -> list[Origin]:
    result = []
    for name, field in fields.items():
        value, meta = getattr(settings, name), field.metadata
        if name == "database_url":
            shown = meta["show"](value or f"sqlite:///{settings.database}")
        elif meta["secret"]:
            shown = MASK if value else ""
        else:
            shown = meta["show"](value)
        result.append(Origin(name, shown, where.get(name, "default"), meta["meaning"]))
    return result
