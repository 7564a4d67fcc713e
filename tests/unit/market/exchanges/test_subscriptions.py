"""Which symbols are asked for, in which requests, and what refusals make of that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.limits import REFUSED_SYMBOL_MAX_SECONDS
from ticker.market.exchanges.events import Refused, Subscribed
from ticker.market.exchanges.subscriptions import Refusals, Subscriptions


def subscriptions(
    names: Sequence[str], batch: int = 10, *, whole: bool = True
) -> tuple[Subscriptions, Refusals]:
    refusals = Refusals()
    made = Subscriptions(names, refusals, refusals.may_ask, batch, refuses_whole=whole)
    return made, refusals


def test_symbols_are_asked_for_in_batches_and_confirmed_by_number() -> None:
    asked, _ = subscriptions("abcde", batch=2)
    assert asked.gather(0)
    assert list(asked.next()) == ["a", "b"]
    asked.confirm(Subscribed(None, 2))
    assert asked.awaited == {"a", "b"}
    asked.confirm(Subscribed(None, 1))
    assert not asked.awaited
    assert list(asked.next()) == ["c", "d"]
    asked.confirm(Subscribed(("c", "a")))
    assert asked.awaited == {"d"}


def test_a_refusal_of_another_request_concerns_nothing_and_one_of_none_the_connection() -> None:
    asked, _ = subscriptions("ab")
    assert asked.refuse(Refused("away with you"), 0) is None
    asked.gather(0)
    asked.next()
    assert asked.refuse(Refused("late", (), 7), 0) == ()
    assert asked.awaited == {"a", "b"}


def test_where_each_symbol_is_answered_alone_a_refusal_leaves_the_others_awaited() -> None:
    asked, refusals = subscriptions("abc", whole=False)
    asked.gather(0)
    asked.next()
    assert asked.refuse(Refused("no", ("b",), 1), 0) == ["b"]
    assert asked.awaited == {"a", "c"}
    assert refusals.reason("b") == "no"


@given(
    names=st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=60, unique=True),
    data=st.data(),
    named=st.booleans(),
)
def test_whatever_is_refused_every_other_symbol_is_confirmed(
    *, names: list[str], data: st.DataObject, named: bool
) -> None:
    refused = set(data.draw(st.lists(st.sampled_from(names), unique=True)))
    asked, refusals = subscriptions(names, batch=data.draw(st.integers(1, 20)))
    requests = 0
    while asked.gather(0):
        batch = asked.next()
        requests += 1
        wrong = [name for name in batch if name in refused]
        if wrong:
            asked.refuse(Refused("no", tuple(wrong[:1]) if named else (), asked.request), 0)
        else:
            asked.confirm(Subscribed(None, asked.request))
        assert not asked.awaited
    assert asked.confirmed == set(names) - refused
    assert {name for name in names if refusals.reason(name)} == refused
    assert requests <= len(names) * 8


def test_a_refused_symbol_may_be_asked_for_ever_more_rarely_up_to_an_hour() -> None:
    refusals, now, waits = Refusals(), 0.0, []
    for _ in range(9):
        refusals.add("a", "no", now)
        waits.append(refusals.next_try() - now)
        assert not refusals.may_ask("a", refusals.next_try() - 1)
        now = refusals.next_try()
        assert refusals.may_ask("a", now)
    assert waits == [60, 120, 240, 480, 960, 1920, *[REFUSED_SYMBOL_MAX_SECONDS] * 3]


@pytest.mark.parametrize(
    ("reason", "named"),
    [
        ("FOO-USD is not a valid product", ["FOO-USD"]),
        ("Invalid: 'FOO-USD', BAR-USD.", ["FOO-USD", "BAR-USD"]),
        ("FOO-USDT is not a valid product", []),
    ],
)
def test_a_symbol_is_named_by_a_word_of_its_own(reason: str, named: list[str]) -> None:
    asked, _ = subscriptions(["FOO-USD", "BAR-USD", "OK-USD"])
    asked.gather(0)
    asked.next()
    assert sorted(asked.refuse(Refused(reason), 0) or []) == sorted(named)
