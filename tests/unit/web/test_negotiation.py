"""A client gets the coding that it prefers, and hears that it has an answer where it has it."""

from __future__ import annotations

import pytest

from ticker.web.negotiation import Gzip, gzip_wanted, has_strong_tag, has_tag


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([], Gzip.NO),
        ([""], Gzip.NO),
        (["gzip"], Gzip.YES),
        (["GZIP"], Gzip.YES),
        (["x-gzip"], Gzip.YES),
        (["*"], Gzip.YES),
        (["gzip, deflate, br, zstd"], Gzip.YES),
        (["br", "gzip"], Gzip.YES),
        (["gzip;q=0.001"], Gzip.YES),
        (["identity;q=0.5, gzip"], Gzip.YES),
        (["identity;q=0.5, gzip;q=0.5"], Gzip.YES),
        (["gzip;q=0"], Gzip.NO),
        (["gzip ; q=0"], Gzip.NO),
        (["gzip;q=0, *"], Gzip.NO),
        (["*;q=0"], Gzip.NO),
        (["deflate"], Gzip.NO),
        (["identity, gzip;q=0.5"], Gzip.NO),
        (["gzip;q=0.5", "identity"], Gzip.NO),
        (["identity;q=0, gzip;q=0"], Gzip.NO),
        (["identity;q=0"], Gzip.NO),
        (["identity;q=0, gzip"], Gzip.ALWAYS),
        (["gzip, *;q=0"], Gzip.ALWAYS),
        (["identity;q=0, *;q=0.1"], Gzip.ALWAYS),
    ],
    ids=str,
)
def test_the_coding_is_the_one_that_a_client_prefers(lines: list[str], wanted: Gzip) -> None:
    assert gzip_wanted(lines) is wanted


@pytest.mark.parametrize(
    ("lines", "has"),
    [
        ([], False),
        (['"x"'], True),
        (['W/"x"'], True),
        (["*"], True),
        (['"a", W/"x"'], True),
        (['"a,b", "x"'], True),
        (['"a"', '"x"'], True),
        (['"a"'], False),
        (['W/"xx"'], False),
        ([""], False),
    ],
    ids=str,
)
def test_an_answer_that_a_client_has_is_known_by_its_tag(
    lines: list[str],
    has: bool,  # noqa: FBT001 - a parameter
) -> None:
    assert has_tag(lines, "x") is has


@pytest.mark.parametrize(
    ("lines", "has"),
    [(['"x"'], True), (['"y"', '"x"'], True), (["*"], True), (['W/"x"'], False), (['"y"'], False)],
)
def test_only_the_same_bytes_are_the_answer_with_a_strong_tag(
    lines: list[str], *, has: bool
) -> None:
    assert has_strong_tag(lines, "x") is has
