"""Prices in JSON: every digit, and no exponent."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.protocol.decimals import encode_json, plain


class Message(msgspec.Struct, tag_field="type", tag="ticker", omit_defaults=True):
    price: Decimal
    rest: tuple[Decimal, ...] = ()


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("1E-8", "0.00000001"),
        ("2e-8", "0.00000002"),
        ("1.50", "1.50"),
        ("4.2E+4", "42000"),
        ("1e-18", "0.000000000000000001"),
    ],
)
def test_a_price_has_no_exponent(price: str, expected: str) -> None:
    assert plain(Decimal(price)) == expected
    assert encode_json({"data": [{"price": Decimal(price)}]}) == (
        b'{"data":[{"price":%b}]}' % expected.encode()
    )


def test_messages_keep_their_type_and_leave_out_what_is_at_its_default() -> None:
    assert encode_json(Message(Decimal("1E-8"))) == b'{"type":"ticker","price":0.00000001}'
    assert encode_json([Message(Decimal(1), (Decimal("1E-9"),)), "1E-8", None, 1.5]) == (
        b'[{"type":"ticker","price":1,"rest":[0.000000001]},"1E-8",null,1.5]'
    )


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value="1e-18", max_value="1e18"))
def test_no_digit_is_lost(price: Decimal) -> None:
    written = encode_json(price)
    assert b"E" not in written.upper()
    assert json.loads(written, parse_float=Decimal, parse_int=Decimal) == price
