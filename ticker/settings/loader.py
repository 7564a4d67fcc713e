"""Read the settings: a TOML file, then the environment, then the command line.

The later wins. Every fault is reported at once, one line each, and the value of a secret is
never part of a line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from ticker.redaction import mask_credentials, mask_wrong_value, shown_address
from ticker.security.policy import PolicyError, PolicySet
from ticker.settings.errors import SettingsError
from ticker.settings.fields import PREFIX, Field, SourceField, fields_of
from ticker.settings.model import DATABASE_FILE, Settings
from ticker.storage.urls import is_postgres

__all__ = ["Loaded", "Origin", "SettingsError", "load"]

#: Where settings are looked for when no file is named.
DEFAULT_FILE: Final = Path("ticker.toml")
#: The environment variable that names another file, for launches without a `--config`.
FILE_VARIABLE: Final = "TICKER_CONFIG"
#: Variables that are no settings: the file's name, what the command line's client takes, and what
#: a worker is handed by its supervisor.
_NO_SETTINGS: Final = frozenset({FILE_VARIABLE, "TICKER_API_KEY", "TICKER_WORKER_HANDOVER"})
#: What Kubernetes names the address of a service by (https://kubernetes.io/docs/concepts/
#: services-networking/service/#environment-variables), for one whose name begins with `ticker`.
_KUBERNETES: Final = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")
_ENVIRONMENT: Final = "environment"
_LISTED: Final = "`ticker config` lists them"
MASK: Final = "********"
_TICK_SECONDS: Final = (0.001, 60.0)


@attrs.frozen
class Origin:
    """Where one setting's value came from, and how to show it."""

    field: Field
    shown: str
    where: str


@attrs.frozen
class Loaded:
    """Settings, and where each came from."""

    settings: Settings
    origins: tuple[Origin, ...]


def _parse_file(path: Path | None) -> dict[str, Any]:
    """Read what a TOML file holds; raises ValueError with what is wrong with it."""
    place = path or DEFAULT_FILE
    if path is None and place.is_fifo():  # which would be waited for, and none named it
        raise ValueError("no settings file, but a pipe")
    try:
        return tomllib.loads(place.read_text("utf-8"))
    except FileNotFoundError:
        if path is not None or place.is_symlink():
            raise ValueError("no such settings file") from None
        return {}
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"cannot be read as TOML: {error}") from None
    except RecursionError:
        raise ValueError("cannot be read as TOML: it is nested too deeply") from None


def _read_file(path: Path | None, faults: list[str]) -> dict[str, Any]:
    """Read the TOML file's keys, whether they stand in its `[ticker]` table or outside of it."""
    place = path or DEFAULT_FILE
    try:
        content = _parse_file(path)
    except ValueError as fault:
        faults.append(f"{place}: {fault}")
        return {}
    table = content.pop("ticker", {})
    if not isinstance(table, dict):
        faults.append(f"{place}: [ticker] must be a table")
        return {}
    # Whichever of the two won, the other would be dropped: a role's policies, say.
    faults += [
        f"{place}: {name}: expected in [ticker] or outside of it, not in both"
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
    fields = fields_of(Settings)
    faults: list[str] = []
    if config is None and (named := environ.get(FILE_VARIABLE, "").strip()):
        config = Path(named)
    file = _read_file(config, faults)
    tables = {name: file.pop(name, {}) for name in ("policies", "roles")}
    place = str(config or DEFAULT_FILE)
    variables, ignored = _variables(environ, fields)
    layers: list[tuple[str, Mapping[str, object]]] = [
        (place, file),
        (_ENVIRONMENT, variables),
        (
            "command line",
            {name: value for name, value in (options or {}).items() if value is not None},
        ),
    ]
    chosen: dict[str, Any] = {}
    where: dict[str, str] = {}
    for layer, values in layers:
        for name, raw in values.items():
            field = fields.get(name)
            if field is None:
                faults.append(f"{layer}: {name}: there is no such setting; {_LISTED}")
                continue
            label = field.variable if layer == _ENVIRONMENT else f"{layer}: {name}"
            try:
                chosen[name] = field.reader(raw)
            except ValueError as error:
                faults.append(f"{label}={_show_wrong(field, raw)}: {error}")
            where[name] = field.variable if layer == _ENVIRONMENT else layer
    faults += _cross_check(chosen)
    try:
        policies = PolicySet.from_tables(tables["policies"], tables["roles"])
    except PolicyError as error:
        faults += [f"{place}: {line}" for line in error.faults]
        policies = PolicySet.default()
    if faults:
        raise SettingsError(faults)
    settings = Settings(
        **_arguments(chosen, fields), policies=policies, named=frozenset(chosen), ignored=ignored
    )
    # The one default that follows from another setting.
    chosen.setdefault("database_url", f"sqlite:///{settings.data_dir / DATABASE_FILE}")
    origins = tuple(
        Origin(field, _show(field, chosen), where.get(name) or _default(field))
        for name, field in fields.items()
    )
    return Loaded(settings, origins)


def _variables(
    environ: Mapping[str, str], fields: Collection[str]
) -> tuple[dict[str, object], tuple[str, ...]]:
    """Pick the settings out of the environment, and name what looks like one and is none.

    An empty variable is one that is not set. What Kubernetes puts into every pod beside a
    service called `ticker` is not for us, TICKER_PORT=tcp://10.0.0.1:8081 among it.
    """
    found: dict[str, object] = {}
    unknown: list[str] = []
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in _NO_SETTINGS or not value.strip():
            continue
        name = variable.removeprefix(PREFIX)
        if name.lower() in fields:
            if not (name == "PORT" and _SERVICE_ADDRESS.match(value)):
                found[name.lower()] = value
        elif not _KUBERNETES.fullmatch(name):
            unknown.append(variable)
    return found, tuple(sorted(unknown))


def _arguments(chosen: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Turn values by setting into arguments of `Settings`, which keeps addresses by source."""
    arguments: dict[str, Any] = {"feed_urls": {}, "rest_urls": {}}
    for name, value in chosen.items():
        field = fields[name]
        if isinstance(field, SourceField):
            arguments[field.kind][field.source] = value
        else:
            arguments[name] = value
    return arguments


def _show(field: Field, chosen: Mapping[str, Any]) -> str:
    value = chosen.get(field.name, field.default)
    if field.secret:
        return MASK if value else ""
    return mask_credentials(field.show(value))


def _show_wrong(field: Field, raw: object) -> str:
    """Return what may be shown of a value that could not be read."""
    if field.secret:
        return MASK
    if field.address:
        return repr(shown_address(raw.strip() if isinstance(raw, str) else repr(raw)))
    return repr(mask_wrong_value(raw)) if isinstance(raw, str) else mask_wrong_value(repr(raw))


def _default(field: Field) -> str:
    return f"default: {field.unset}" if field.unset else "default"


def _cross_check(chosen: Mapping[str, Any]) -> list[str]:
    """Find values that are right alone and wrong together."""
    faults = []
    if chosen.get("restart_factor", 2.0) < 1:
        faults.append("restart_factor: expected 1 or more")
    if chosen.get("restart_jitter", 0.1) > 1:
        faults.append("restart_jitter: expected at most 1")
    if chosen.get("workers", 1) > 1 and chosen.get("token_store") == "memory":
        faults.append(
            "token_store: expected database where there are several workers, or a token would be "
            "good on one of them alone"
        )
    if chosen.get("allowed_origins") == ("*",) and "cookie" in chosen.get("token_from", ()):
        faults.append(
            "allowed_origins: expected exact origins where token_from has cookie, or any page "
            "could open a stream in its visitor's name"
        )
    if not chosen.get("source", True):
        faults.append("source: expected at least one source")
    if not chosen.get("symbols", True):
        faults.append("symbols: expected at least one symbol")
    if chosen.get("bus"):
        faults += _alone(chosen)
    shortest, longest = _TICK_SECONDS
    if not shortest <= chosen.get("tick", shortest) <= longest:
        faults.append("tick: expected between 1ms and 60s")
    return faults


def _alone(chosen: Mapping[str, Any]) -> list[str]:
    """Find what several machines would each have for themselves, where all need the same."""
    faults = []
    if not chosen.get("token_key"):
        faults.append("TICKER_TOKEN_KEY: expected with TICKER_BUS, the same on every machine")
    if not chosen.get("key_pepper"):
        faults.append("TICKER_KEY_PEPPER: expected with TICKER_BUS, the same on every machine")
    if not is_postgres(chosen.get("database_url", "")):
        faults.append(
            "TICKER_DATABASE_URL: expected with TICKER_BUS, the same on every machine, "
            "as in postgresql+psycopg://user:password@host:5432/database"
        )
    if chosen.get("token_store") == "memory":
        faults.append(
            "TICKER_TOKEN_STORE: expected database with TICKER_BUS, or a token would be good "
            "for one machine only"
        )
    return faults
