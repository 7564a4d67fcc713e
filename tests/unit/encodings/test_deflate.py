"""permessage-deflate: which offers are accepted, and what a compressed frame is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol

from tests.support.frames import FrameParser
from ticker import limits
from ticker.encodings.deflate import accept_offer
from ticker.encodings.websocket_frames import (
    binary_frame,
    compressed_binary_frame,
    compressed_text_frame,
    text_frame,
)

ACCEPTED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", ACCEPTED),
        ("permessage-deflate; client_max_window_bits", ACCEPTED),
        ("Permessage-Deflate;client_max_window_bits=9", ACCEPTED),
        ('permessage-deflate; client_max_window_bits="15"', ACCEPTED),
        ("permessage-deflate; server_no_context_takeover", ACCEPTED),
        ("permessage-deflate; client_no_context_takeover", ACCEPTED),
        (
            "permessage-deflate; server_max_window_bits=15",
            f"{ACCEPTED}; server_max_window_bits=15",
        ),
        ("permessage-deflate; server_max_window_bits=10", None),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", ACCEPTED),
        ("x-webkit-deflate-frame, permessage-deflate", ACCEPTED),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=015", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; a", None),
        (" , ,permessage-deflate ; client_max_window_bits = 10 ,", ACCEPTED),
        (r'permessage-deflate; client_max_window_bits="1\5"', ACCEPTED),
        ('permessage-deflate; server_max_window_bits="15', None),
        ('permessage-deflate; client_max_window_bits=""10""', None),
        ("permessage-deflate; client_max_window_bits=", None),
        ("permessage-deflate;", None),
        ('other; said="yes, permessage-deflate, no"', None),
        ('other; said="yes, no", permessage-deflate', ACCEPTED),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-bzip2", None),
        ("", None),
    ],
)
def test_an_offer_is_accepted_or_declined_whole(offer: str, answer: str | None) -> None:
    assert accept_offer([offer] if offer else []) == answer


def test_several_header_lines_are_one_list() -> None:
    assert accept_offer(["permessage-deflate; a", "permessage-deflate"]) == ACCEPTED


@given(st.text())
def test_no_offer_at_all_does_worse_than_being_declined(offer: str) -> None:
    assert accept_offer([offer]) in {None, ACCEPTED}


@pytest.mark.parametrize(
    "offer",
    [
        f"a;b{' ' * 60_000}!@",
        f"a{' ' * 60_000}!@",
        ";" * 60_000,
        "a;" * 30_000,
        "a;b=c" * 12_000 + '"',
        'a;b="' + "\\" * 60_001,
        "a;b=" * 15_000,
    ],
    ids=["spaces", "spaces after a name", "semicolons", "names", "values", "escapes", "equals"],
)
def test_an_offer_that_is_long_and_wrong_is_read_in_no_time(offer: str) -> None:
    began = time.process_time()
    assert accept_offer([offer]) is None
    assert time.process_time() - began < 5


@pytest.mark.parametrize("size", [limits.DEFLATE_BYTES - 1, limits.DEFLATE_BYTES, 70000])
def test_another_implementation_reads_what_is_compressed(size: int) -> None:
    payload = b'{"type":"ticker"}' * (size // 17) + b" " * (size % 17)
    extension = PerMessageDeflate(server_no_context_takeover=True)
    extension.finalize("permessage-deflate; server_no_context_takeover")
    theirs = FrameProtocol(client=True, extensions=[extension])
    for _ in range(2):
        theirs.receive_bytes(compressed_text_frame(payload))
        assert "".join(str(each.payload) for each in theirs.received_frames()) == payload.decode()
    plain = compressed_text_frame(payload) == text_frame(payload)
    assert plain == (size < limits.DEFLATE_BYTES)


def test_a_compressed_frame_is_marked_and_small() -> None:
    (text,) = FrameParser(compression=True).feed(compressed_text_frame(b"{}" + b" " * 5000))
    assert (text.compressed, text.message) == (True, {})
    assert len(text.payload) < 100
    assert binary_frame(b"abc") == compressed_binary_frame(b"abc") == b"\x82\x03abc"
