"""Policies: one rule, checked against a plain model, and tables that are read strictly."""

from __future__ import annotations

import contextlib
import tomllib
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.security.policy import Limits, Policy, PolicyError, PolicySet, Role, resource_of

ACTIONS = ["connect", "subscribe", "read"]
RESOURCES = ["symbol:BTC-USD", "symbol:BTC-EUR", "symbol:ETH-USD", "symbol:B-USD"]
PATTERNS = [*RESOURCES, "symbol:BTC-*", "symbol:B*", "symbol:*", "*"]

policies = st.builds(
    Policy,
    name=st.just("some"),
    effect=st.sampled_from(["allow", "deny"]),
    actions=st.lists(st.sampled_from([*ACTIONS, "*"]), min_size=1, max_size=3).map(tuple),
    resources=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(tuple),
)


def model(attached: list[Policy], action: str, resource: str) -> bool:
    """Decide as the rule reads: any deny wins, nothing is allowed by default."""
    allowed = False
    for policy in attached:
        for named_action in policy.actions:
            for pattern in policy.resources:
                if named_action in {"*", action} and fnmatchcase(resource, pattern):
                    if policy.effect == "deny":
                        return False
                    allowed = True
    return allowed


@given(st.lists(policies, max_size=6), st.sampled_from(ACTIONS), st.sampled_from(RESOURCES))
def test_decisions_agree_with_a_plain_model(
    attached: list[Policy], action: str, resource: str
) -> None:
    found = PolicySet({"some": Role("some", tuple(attached))})
    assert found.decide("some", action, resource) == model(attached, action, resource)


@given(st.lists(policies, max_size=6), policies, st.sampled_from(ACTIONS))
def test_one_more_deny_never_allows_more(
    attached: list[Policy], extra: Policy, action: str
) -> None:
    denial = Policy("extra", "deny", extra.actions, extra.resources)
    before = Role("some", tuple(attached))
    after = Role("some", (*attached, denial))
    for resource in RESOURCES:
        assert before.decide(action, resource) or not after.decide(action, resource)


@given(st.permutations([*range(4)]), st.lists(policies, min_size=4, max_size=4))
def test_the_order_of_policies_does_not_matter(order: list[int], attached: list[Policy]) -> None:
    one = Role("some", tuple(attached))
    other = Role("some", tuple(attached[place] for place in order))
    for action in ACTIONS:
        for resource in RESOURCES:
            assert one.decide(action, resource) == other.decide(action, resource)


def test_the_default_user_may_do_everything() -> None:
    found = PolicySet.default()
    assert all(
        found.decide("user", action, resource) for action in ACTIONS for resource in RESOURCES
    )


def test_an_unknown_role_may_do_nothing() -> None:
    found = PolicySet.default()
    assert not any(found.decide("ghost", action, "symbol:BTC-USD") for action in ACTIONS)
    assert found.allowed("ghost", "connect", ["BTC-USD"]) == ()
    assert found.limits("ghost") == Limits()


EXAMPLE = """
[policies.bitcoin]
effect = "allow"
actions = ["connect", "subscribe", "read"]
resources = ["symbol:BTC-*"]

[policies.no-euro]
effect = "deny"
actions = ["*"]
resources = ["symbol:BTC-EUR"]

[roles.guest]
policies = ["bitcoin", "no-euro"]
fastest_interval_ms = 100
max_streams = 2
messages_per_second = 5

[roles.wall]
policies = ["everything"]
outlive_token = true
"""


def from_toml(text: str) -> PolicySet:
    tables = tomllib.loads(text)
    return PolicySet.from_tables(tables.get("policies", {}), tables.get("roles", {}))


def test_a_settings_file_makes_roles() -> None:
    found = from_toml(EXAMPLE)
    symbols = ["ETH-USD", "BTC-USD", "BTC-EUR"]
    assert set(found.roles) == {"user", "guest", "wall"}
    assert found.allowed("guest", "subscribe", symbols) == ("BTC-USD",)
    assert found.allowed("guest", "connect", ["ETH-USD"]) == ()
    assert found.allowed("wall", "read", symbols) == tuple(symbols)
    assert found.allowed("user", "read", symbols) == tuple(symbols)
    assert found.limits("guest") == Limits(100, 2, 5, outlive_token=False)
    assert found.limits("wall").outlive_token
    assert found.limits("user") == Limits()


def test_the_default_role_can_be_replaced() -> None:
    found = from_toml(EXAMPLE + '\n[roles.user]\npolicies = ["no-euro"]\n')
    assert not found.decide("user", "read", "symbol:BTC-USD")


def test_no_tables_mean_the_default() -> None:
    assert PolicySet.from_tables({}, {}) == PolicySet.default()


def test_a_symbol_is_a_resource() -> None:
    assert resource_of("BTC-USD") == "symbol:BTC-USD"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[policies]\nx = 1", "policies.x: expected a table"),
        ("[policies.'a b']", "policies.a b: expected a name"),
        ("[roles.'']", "roles.: expected a name"),
        (
            "[policies.x]\neffect='maybe'\nactions=['*']\nresources=['*']",
            "policies.x.effect: expected allow or deny",
        ),
        (
            "[policies.x]\nactions=['*']\nresources=['*']",
            "policies.x.effect: expected allow or deny",
        ),
        (
            "[policies.x]\neffect=[]\nactions=['*']\nresources=['*']",
            "policies.x.effect: expected allow or deny",
        ),
        (
            "[policies.x]\neffect='deny'\nactions=['fly']\nresources=['*']",
            "policies.x.actions: there is no action 'fly'",
        ),
        (
            "[policies.x]\neffect='deny'\nactions='read'\nresources=['*']",
            "policies.x.actions: expected a list",
        ),
        (
            "[policies.x]\neffect='deny'\nactions=[]\nresources=['*']",
            "policies.x.actions: expected a list",
        ),
        (
            "[policies.x]\neffect='deny'\nactions=['read']\nresources=['symbol:*-USD']",
            "policies.x.resources: expected symbol:BTC-USD",
        ),
        (
            "[policies.x]\neffect='deny'\nactions=['read']\nresources=['symbol:btc-usd']",
            "policies.x.resources: expected symbol:BTC-USD",
        ),
        (
            "[policies.x]\neffect='deny'\nactions=['read']\nresources=['BTC-USD']",
            "policies.x.resources: expected symbol:BTC-USD",
        ),
        (
            "[policies.x]\neffect='deny'\nactions=['read']\nresources=['*']\nresource=['*']",
            "policies.x.resource: there is no such field",
        ),
        ("[roles.x]", "roles.x.policies: expected a list"),
        ("[roles.x]\npolicies=['nothing']", "roles.x.policies: there is no policy 'nothing'"),
        (
            "[roles.x]\npolicies=['everything']\nmax_streams=0",
            "roles.x.max_streams: expected a whole number, 1 or more",
        ),
        (
            "[roles.x]\npolicies=['everything']\nmax_streams=true",
            "roles.x.max_streams: expected a whole number, 1 or more",
        ),
        (
            "[roles.x]\npolicies=['everything']\nfastest_interval_ms='100ms'",
            "roles.x.fastest_interval_ms: expected a whole number, 1 or more",
        ),
        (
            "[roles.x]\npolicies=['everything']\noutlive_token=1",
            "roles.x.outlive_token: expected true or false",
        ),
        ("[roles.x]\npolicies=['everything']\nspeed=1", "roles.x.speed: there is no such field"),
    ],
)
def test_each_fault_is_one_clear_line(text: str, fault: str) -> None:
    with pytest.raises(PolicyError) as error:
        from_toml(text)
    assert len(error.value.faults) == 1
    assert error.value.faults[0].startswith(fault)
    assert "\n" not in error.value.faults[0]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(PolicyError) as error:
        from_toml("[policies.x]\neffect='maybe'\n[roles.y]\npolicies=['z']\nspeed=1")
    assert len(error.value.faults) == 5


def test_tables_that_are_none_are_a_fault() -> None:
    with pytest.raises(PolicyError, match="roles: expected tables"):
        PolicySet.from_tables({}, [1])  # type: ignore[arg-type]  # TOML can hold anything


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["x", "effect", "actions", "resources", "policies", "max_streams"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(junk, junk)
def test_any_table_is_either_read_or_refused(one: object, other: object) -> None:
    # Whatever TOML can hold: nothing but PolicyError may come out.
    with contextlib.suppress(PolicyError):
        PolicySet.from_tables(one, other)  # type: ignore[arg-type]  # the subject
