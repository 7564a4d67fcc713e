"""MessagePack says the same as JSON, shape for shape, with prices as text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker import limits
from ticker.encodings.json import JsonFormat
from ticker.encodings.msgpack import MessagePackFormat
from ticker.market.quote import Details, Quote
from ticker.protocol import messages
from ticker.protocol.requests import NO_ID, BadMessageError, Ping, Resume, Subscribe

FORMAT = MessagePackFormat()
PRICES = st.decimals(
    min_value="1e-12", max_value="1e9", allow_nan=False, allow_infinity=False, places=12
)


@given(
    prices=st.lists(st.tuples(PRICES, st.sampled_from(["simulated", "kraken"])), max_size=40),
    seq=st.integers(0, 2**53),
    prev=st.none() | st.integers(0, 2**53),
    snapshot=st.booleans(),
)
def test_a_tick_is_the_same_but_for_its_prices(
    prices: list[tuple[Decimal, str]], seq: int, prev: int | None, *, snapshot: bool
) -> None:
    quotes = [
        Quote(f"A{n}-USD", price, n * 999, 1, source) for n, (price, source) in enumerate(prices)
    ]
    said: list[Any] = []
    for form in (FORMAT, JsonFormat()):
        entries = (form.entry(quote, "price") for quote in quotes)
        text = form.ticker(entries, seq=seq, time_ms=1790000000123, prev=prev, snapshot=snapshot)
        said.append(text)
    binary = msgspec.msgpack.decode(said[0])
    plain = json.loads(said[1], parse_float=str, parse_int=int)
    for entry, (price, _) in zip(plain["data"], prices, strict=True):
        entry["price"] = f"{price:f}"
    assert binary == plain
    assert list(binary) == list(plain)


def test_all_that_is_known_is_shown_in_full_and_none_of_it_with_the_price_alone() -> None:
    details = Details(
        bid=Decimal("0.00000001"),
        open_24h=Decimal("1E+3"),
        volume_24h=Decimal("12.50"),
        change_24h=Decimal("-0.5000"),
        since=1790000000123,
    )
    quote = Quote("A-USD", Decimal(1000), 5000, 1, "kraken", details=details)
    plain = Quote("A-USD", Decimal(1000), 5000, 1, "kraken")
    for form in (FORMAT, JsonFormat()):
        assert form.entry(quote, "price") == form.entry(plain, "price")
        assert form.entry(plain, "full") == form.entry(plain, "price")
    said = msgspec.msgpack.decode(FORMAT.entry(quote, "full"))
    assert JsonFormat().entry(quote, "full") == (
        b'{"symbol":"A-USD","price":1000,"timestamp":5,"source":"kraken","bid":0.00000001,'
        b'"open_24h":1000,"volume_24h":12.50,"change_24h":-0.5000,"since":1790000000123}'
    )
    assert said == {
        "symbol": "A-USD",
        "price": "1000",
        "timestamp": 5,
        "source": "kraken",
        "bid": "0.00000001",
        "open_24h": "1000",
        "volume_24h": "12.50",
        "change_24h": "-0.5000",
        "since": 1790000000123,
    }


@pytest.mark.parametrize("size", [0, 15, 16, 65535, 65536])
def test_a_list_of_any_size_has_the_right_header(size: int) -> None:
    entry = FORMAT.entry(Quote("A-B", Decimal(1), 1, 1, "simulated"), "price")
    binary = FORMAT.ticker([entry] * size, seq=1, time_ms=2)
    assert len(msgspec.msgpack.decode(binary)["data"]) == size


@pytest.mark.parametrize(
    "message",
    [
        messages.Pong(),
        messages.Closing(code=1012, retry_after_ms=5),
        messages.Status(state="stale", source="kraken", since=1, reasons={"A-B": "halted"}),
        messages.Subscribed(
            symbols=["A-B"],
            interval_ms=2.5,
            mode="every",
            detail="full",
            epoch="e",
            seq=1,
            resumed=False,
        ),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_is_the_same(message: messages.Message) -> None:
    binary = msgspec.msgpack.decode(FORMAT.message(message))
    assert binary == json.loads(JsonFormat().message(message))


@pytest.mark.parametrize("request_id", [1, -1, 2**63, 1.5, "a", "x" * limits.REQUEST_ID_CHARS])
def test_an_id_comes_back_as_it_was_sent(request_id: object) -> None:
    request = FORMAT.request(msgspec.msgpack.encode({"type": "ping", "id": request_id}))
    answer = msgspec.msgpack.decode(FORMAT.message(messages.Pong(id=request.id)))
    assert answer == {"type": "pong", "id": request_id}


def test_requests_are_read() -> None:
    encode = msgspec.msgpack.encode
    assert FORMAT.request(encode({"type": "ping", "id": None})) == Ping()
    asked = {"type": "subscribe", "mode": "every", "resume": {"epoch": "e", "seq": 1}}
    assert FORMAT.request(encode(asked)) == Subscribe(mode="every", resume=Resume("e", 1))


@pytest.mark.parametrize(
    ("message", "request_id"),
    [
        ('{"type":"ping"}', None),
        (b"", None),
        (b"\xc1", None),
        (msgspec.msgpack.encode([]), None),
        (msgspec.msgpack.encode({"type": "x", "id": 7}), 7),
        (msgspec.msgpack.encode({"type": "ping", "id": True}), None),
        (msgspec.msgpack.encode({"type": "ping", "id": [1]}), None),
        (msgspec.msgpack.encode({"type": "ping", "id": "x" * 81}), None),
        (msgspec.msgpack.encode({"type": "subscribe", "symbols": [], "id": "a"}), "a"),
        (b"\x91" * 4000, None),
    ],
    ids=range(10),
)
def test_what_is_no_request_is_refused(message: str | bytes, request_id: object) -> None:
    with pytest.raises(BadMessageError) as caught:
        FORMAT.request(message)
    found = caught.value.id
    assert (None if found is NO_ID else msgspec.msgpack.decode(bytes(found))) == request_id


@given(st.binary())
def test_no_bytes_at_all_do_worse_than_being_refused(message: bytes) -> None:
    with pytest.raises(BadMessageError):
        FORMAT.request(message)


@pytest.mark.parametrize("header", [b"\x83", b"\xde\x00\x03", b"\xdf\x00\x00\x00\x03"])
def test_a_name_that_comes_twice_is_refused_whatever_form_the_map_has(header: bytes) -> None:
    encode = msgspec.msgpack.encode
    twice = header + b"".join(map(encode, ("type", "ping", "id", 1, "id", 2)))
    with pytest.raises(BadMessageError, match="a name comes twice"):
        MessagePackFormat().request(twice)
    resume = encode({"type": "subscribe", "resume": {"epoch": "a", "seq": 1}})
    again = resume.replace(b"\x82\xa5epoch\xa1a", b"\x83\xa5epoch\xa1a\xa5epoch\xa1b")
    with pytest.raises(BadMessageError, match="a name comes twice"):
        MessagePackFormat().request(again)


@pytest.mark.parametrize("header", [b"\x83", b"\xde\x00\x03", b"\xdf\x00\x00\x00\x03"])
def test_a_map_may_have_any_form(header: bytes) -> None:
    encode = msgspec.msgpack.encode
    message = header + b"".join(map(encode, ("type", "subscribe", "resume", None, "id", 1)))
    assert bytes(MessagePackFormat().request(message).id) == encode(1)
