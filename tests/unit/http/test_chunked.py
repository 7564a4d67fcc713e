"""Where a chunked body ends, to the byte and however its bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.http.chunked import ChunkedBody

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"0\r\n\r\n",
        b"2\r\n{}\r\n0\r\n\r\n",
        b"0002;a=b\r\n{}\r\n1\r\n \r\n0;last\r\n\r\n",
        b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nContent-Length: 9\r\nB: c\r\n\r\n",
    ],
)
@given(cuts=st.lists(st.integers(0, 60), max_size=4).map(sorted))
def test_the_end_is_found_however_the_bytes_are_cut(body: bytes, cuts: list[int]) -> None:
    data = body + NEXT
    chunks = ChunkedBody(HEAD)
    passed = 0
    for begin, end in pairwise([0, *(min(cut, len(data)) for cut in cuts), len(data)]):
        mine = chunks.end_in(data[begin:end])
        if mine is not None:
            assert begin + mine == len(body)
            return
        passed = end
    raise AssertionError(passed)


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\n\r\n", b"2\r\n{}XX0\r\n\r\n", b"1\n{\n0\n\n"])
def test_what_breaks_http_has_no_end(body: bytes) -> None:
    assert ChunkedBody(HEAD).end_in(body + NEXT) is None


def test_a_length_beside_the_chunks_counts_for_nothing() -> None:
    head = HEAD.replace(b"Host", b"Content-Length: 40\r\nHost")
    assert ChunkedBody(head).end_in(b"0\r\n\r\n" + NEXT) == len(b"0\r\n\r\n")
