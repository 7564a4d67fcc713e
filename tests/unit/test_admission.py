"""How many streams may be open, and that every place is given back."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ticker.admission import Admission, FullError, Place, StreamLimits
from ticker.places import LocalPlaces

UNLIMITED = StreamLimits(server=0, token=0, address=0, key=0)


def place(
    admission: Admission,
    token: str = "t",  # noqa: S107 - a name
    address: str = "::1",
    key: str = "k",
    key_limit: int | None = None,
) -> Place:
    return admission.place(token=token, address=address, key=key, key_limit=key_limit)


@pytest.mark.parametrize(
    ("limits", "key_limit", "scope"),
    [
        (StreamLimits(server=2, token=0, address=0, key=0), None, "server"),
        (StreamLimits(server=0, token=2, address=0, key=0), None, "token"),
        (StreamLimits(server=0, token=0, address=2, key=0), None, "address"),
        (UNLIMITED, 2, "key"),
        (StreamLimits(server=0, token=0, address=0, key=2), None, "key"),
        # What a role says of its keys is more than the default, or less.
        (StreamLimits(server=0, token=0, address=0, key=1), 2, "key"),
        (StreamLimits(server=0, token=0, address=0, key=9), 2, "key"),
    ],
)
def test_the_place_after_the_last_is_refused_and_comes_back(
    limits: StreamLimits, key_limit: int | None, scope: str
) -> None:
    admission = Admission(limits)
    with ExitStack() as held:
        held.enter_context(place(admission, key_limit=key_limit))
        with place(admission, key_limit=key_limit):
            with pytest.raises(FullError) as caught, place(admission, key_limit=key_limit):
                pytest.fail("there was no place")
            assert caught.value.scope == scope
            assert admission.taken == 2
        with place(admission, key_limit=key_limit):
            assert admission.taken == 2
    assert admission.taken == 0


def test_others_are_not_kept_out() -> None:
    admission = Admission(StreamLimits(server=0, token=1, address=1, key=0))
    with place(admission, "t1", "a1"), place(admission, "t2", "a2"):
        assert admission.taken == 2


def test_a_crash_gives_the_place_back() -> None:
    admission = Admission(StreamLimits(server=1, token=0, address=0, key=0))
    with pytest.raises(ZeroDivisionError), place(admission):
        raise ZeroDivisionError
    assert admission.taken == 0


class Places(RuleBasedStateMachine):
    """Any order of coming and going keeps the count right."""

    def __init__(self) -> None:
        super().__init__()
        self.places = LocalPlaces()
        self.admission = Admission(StreamLimits(server=5, token=2, address=3, key=0), self.places)
        self.held: list[tuple[str, str, Place]] = []

    @rule(token=st.sampled_from("abc"), address=st.sampled_from("xy"))
    def come(self, token: str, address: str) -> None:
        full = (
            len(self.held) >= 5
            or sum(held[0] == token for held in self.held) >= 2
            or sum(held[1] == address for held in self.held) >= 3
        )
        if full:
            with pytest.raises(FullError):
                place(self.admission, token, address, token)
        else:
            self.held.append((token, address, place(self.admission, token, address, token)))

    @rule(number=st.integers(0, 4))
    def go(self, number: int) -> None:
        if number < len(self.held):
            self.held.pop(number)[2].__exit__(None, None, None)

    @invariant()
    def counts(self) -> None:
        assert self.admission.taken == len(self.held)
        taken = self.places._taken
        remembered = {name.split()[1] for name in taken if name.startswith("token ")}
        assert remembered == {token for token, _, _ in self.held}


TestPlaces = Places.TestCase
TestPlaces.settings = settings(max_examples=40, stateful_step_count=20)
