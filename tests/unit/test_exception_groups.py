"""What is found in a group of exceptions, and in what order."""

from __future__ import annotations

from ticker.exception_groups import causes, first, leaves

ONE, TWO, THREE = ValueError("1"), KeyError("2"), OSError("3")
GROUP = ExceptionGroup("outer", [ExceptionGroup("inner", [ONE, TWO]), THREE])


def test_the_leaves_of_a_group_come_in_the_order_they_were_raised_in() -> None:
    assert list(leaves(GROUP)) == [ONE, TWO, THREE]


def test_an_exception_alone_is_its_own_leaf() -> None:
    assert list(leaves(ONE)) == [ONE]
    assert first(ONE) is ONE


def test_the_first_of_a_group_is_no_group() -> None:
    assert first(GROUP) is ONE


def test_the_causes_lead_through_groups_to_the_root() -> None:
    root = OSError("root")
    inner = ValueError("inner")
    inner.__context__ = root
    outer = RuntimeError("outer")
    outer.__cause__ = ExceptionGroup("attempts", [inner, TWO])
    assert list(causes(outer)) == [outer, outer.__cause__, inner, root]
