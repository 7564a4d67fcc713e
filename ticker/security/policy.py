"""What a role may do: named policies, attached to roles, decided by one rule.

Rules for this module: pure values and functions, no I/O, no clock.

The rule: an action on a resource is allowed where some policy of the role allows it and none
denies it. Any deny wins; what no policy speaks of is denied; an unknown role may do nothing.

Every action is on a resource, and every resource is a symbol (`symbol:BTC-USD`) for now. To
`connect` is to open a stream of symbols, so an actor may connect where `connect` is allowed on
at least one of the market's symbols: `PolicySet.allowed(role, "connect", symbols)`. The action
`metrics` lets it read `/metrics` where that asks for a token, with what it tells of those symbols.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Action = Literal["connect", "subscribe", "read", "metrics"]
Effect = Literal["allow", "deny"]

#: The role of a key that is made without naming one.
DEFAULT_ROLE: Final = "user"
ANY: Final = "*"
_ACTIONS: Final[tuple[str, ...]] = get_args(Action)
_EFFECTS: Final[tuple[str, ...]] = get_args(Effect)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESOURCE: Final = re.compile(r"\*|symbol:(?:[A-Z0-9-]{1,41}\*?|\*)")
_POLICY_FIELDS: Final = frozenset({"effect", "actions", "resources"})
_NUMBER_FIELDS: Final = ("fastest_interval_ms", "max_streams", "messages_per_second")
_ROLE_FIELDS: Final = frozenset({"policies", "outlive_token", *_NUMBER_FIELDS})


class PolicyError(ValueError):
    """The policy tables are wrong; `faults` holds one line for each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def resource_of(symbol: str) -> str:
    """Name the resource that a symbol is."""
    return f"symbol:{symbol}"


def _matches(pattern: str, value: str) -> bool:
    """Whether a pattern, exact but for a `*` at its end, covers the value."""
    return value.startswith(pattern[:-1]) if pattern.endswith(ANY) else value == pattern


@dataclass(frozen=True, slots=True)
class Policy:
    """One named statement: these actions on these resources are allowed, or denied.

    Attributes:
        actions: names of actions, or `*`.
        resources: exact (`symbol:BTC-USD`), or with a `*` at the end (`symbol:BTC-*`, `*`).
    """

    name: str
    effect: Effect
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    def applies(self, action: str, resource: str) -> bool:
        """Whether this policy speaks of the action on the resource."""
        return (ANY in self.actions or action in self.actions) and any(
            _matches(pattern, resource) for pattern in self.resources
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a role may use at most; None leaves the server's own bound alone.

    Attributes:
        fastest_interval_ms: the shortest interval between ticks that it may subscribe with.
        max_streams: open streams of one key at once.
        messages_per_second: inbound messages of one stream.
        outlive_token: whether a stream may go on after the token it began with expired.
    """

    fastest_interval_ms: int | None = None
    max_streams: int | None = None
    messages_per_second: int | None = None
    outlive_token: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of policies with limits; every API key has one role."""

    name: str
    policies: tuple[Policy, ...]
    limits: Limits = Limits()

    def decide(self, action: str, resource: str) -> bool:
        """Whether the role may do this: something allows it and nothing denies it."""
        effects = {policy.effect for policy in self.policies if policy.applies(action, resource)}
        return effects == {"allow"}


_EVERYTHING: Final = Policy("everything", "allow", (ANY,), (ANY,))
_UNKNOWN_ROLE: Final = Role("", ())


@dataclass(frozen=True, slots=True)
class PolicySet:
    """Every role there is. Make one with `default` or `from_tables`."""

    roles: Mapping[str, Role]

    @classmethod
    def default(cls) -> PolicySet:
        """Make the set for settings that name no role: `user` may do everything."""
        return cls({DEFAULT_ROLE: Role(DEFAULT_ROLE, (_EVERYTHING,))})

    @classmethod
    def from_tables(cls, policies: Mapping[str, object], roles: Mapping[str, object]) -> PolicySet:
        """Read the `policies` and `roles` tables of a settings file.

        The policy `everything` and the role `user`, which has it, are there from the start and
        may be replaced.

        Raises:
            PolicyError: with one line for every fault.
        """
        faults: list[str] = []
        known = {_EVERYTHING.name: _EVERYTHING}
        for name, table in _tables("policies", policies, faults):
            known[name] = _read_policy(name, table, faults)
        result = dict(cls.default().roles)
        for name, table in _tables("roles", roles, faults):
            result[name] = _read_role(name, table, known, faults)
        if faults:
            raise PolicyError(faults)
        return cls(result)

    def decide(self, role: str, action: str, resource: str) -> bool:
        """Whether the role may do the action on the resource. An unknown role may nothing."""
        return self.roles.get(role, _UNKNOWN_ROLE).decide(action, resource)

    def allowed(self, role: str, action: Action, symbols: Iterable[str]) -> tuple[str, ...]:
        """Pick the symbols on which the role may do the action, in the order given.

        For `connect`, the role may connect where the answer is not empty.
        """
        found = self.roles.get(role, _UNKNOWN_ROLE)
        return tuple(symbol for symbol in symbols if found.decide(action, resource_of(symbol)))

    def limits(self, role: str) -> Limits:
        """Tell the limits of a role."""
        return self.roles.get(role, _UNKNOWN_ROLE).limits


def _tables(
    kind: str, tables: Mapping[str, object], faults: list[str]
) -> Iterable[tuple[str, Mapping[str, object]]]:
    """Yield the well-named tables in a table of tables; note a fault for each of the others."""
    if not isinstance(tables, Mapping):
        faults.append(f"{kind}: expected tables, as in [{kind}.NAME]")
        return
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            faults.append(f"{kind}.{name}: expected a table, as in [{kind}.{name}]")
        elif not _NAME.fullmatch(name):
            faults.append(f"{kind}.{name}: expected a name of letters, digits, '.', '_' and '-'")
        else:
            yield name, table


def _unknown(
    where: str, table: Mapping[str, object], fields: frozenset[str], faults: list[str]
) -> None:
    faults += [
        f"{where}.{name}: there is no such field; there are {', '.join(sorted(fields))}"
        for name in table
        if name not in fields
    ]


def _words(where: str, raw: object, faults: list[str]) -> tuple[str, ...]:
    if isinstance(raw, (list, tuple)) and raw and all(isinstance(word, str) for word in raw):
        return tuple(raw)
    faults.append(f"{where}: expected a list of at least one text, as in ['*']")
    return ()


def _read_policy(name: str, table: Mapping[str, object], faults: list[str]) -> Policy:
    where = f"policies.{name}"
    _unknown(where, table, _POLICY_FIELDS, faults)
    effect = table.get("effect")
    if effect not in _EFFECTS:
        faults.append(f"{where}.effect: expected allow or deny")
    actions = _words(f"{where}.actions", table.get("actions"), faults)
    faults += [
        f"{where}.actions: there is no action {action!r}; there are {', '.join(_ACTIONS)} and *"
        for action in actions
        if action not in (*_ACTIONS, ANY)
    ]
    resources = _words(f"{where}.resources", table.get("resources"), faults)
    faults += [
        f"{where}.resources: expected symbol:BTC-USD, symbol:BTC-*, symbol:* or *, not {resource!r}"
        for resource in resources
        if not _RESOURCE.fullmatch(resource)
    ]
    return Policy(name, "allow" if effect == "allow" else "deny", actions, resources)


def _read_role(
    name: str, table: Mapping[str, object], known: Mapping[str, Policy], faults: list[str]
) -> Role:
    where = f"roles.{name}"
    _unknown(where, table, _ROLE_FIELDS, faults)
    names = _words(f"{where}.policies", table.get("policies"), faults)
    faults += [
        f"{where}.policies: there is no policy {policy!r}"
        for policy in names
        if policy not in known
    ]
    numbers: dict[str, int | None] = {}
    for field in _NUMBER_FIELDS:
        value = table.get(field)
        numbers[field] = value if isinstance(value, int) and value is not True else None
        if value is not None and (numbers[field] or 0) < 1:
            faults.append(f"{where}.{field}: expected a whole number, 1 or more")
    outlive = table.get("outlive_token", False)
    if not isinstance(outlive, bool):
        faults.append(f"{where}.outlive_token: expected true or false")
    return Role(
        name,
        tuple(known[policy] for policy in names if policy in known),
        Limits(**numbers, outlive_token=outlive is True),
    )
