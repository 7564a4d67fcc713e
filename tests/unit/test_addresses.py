"""Every spelling of an address, and the name that limits count it under."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.addresses import canonical, is_loopback, limit_key, parse_address

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]:_p", "2001:db8::1"),
        ("2001:db8::1:80", "2001:db8::1:80"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("[fe80::1%25eth0]:80", "fe80::1%25eth0"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("[::FFFF:c000:201]", "192.0.2.1"),
        ("::ffff:192.0.2.1%eth0", "192.0.2.1"),
        ("::1", "::1"),
        ("::", "::"),
    ],
)
def test_an_address_is_read_in_every_spelling(text: str, address: str) -> None:
    assert str(parse_address(text)) == address
    assert canonical(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "_hidden",
        "localhost",
        "unix:",
        "unix:/run/ticker.sock",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "0x7f.0.0.1",
        "2130706433",
        "\u0661.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:port",
        "1.2.3.4:123456",
        "1.2.3.4:80:80",
        "1.2.3.4/24",
        "[1.2.3.4]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[[2001:db8::1]]",
        "[2001:db8::1]80",
        "[2001:db8::1]:",
        "2001:db8::1::2",
        "2001:db8::g",
        ":",
        "fe80::1%",
        "fe80::1%a b",
        "fe80::1%" + "a" * 33,
        "fe80::1%e\nforged",
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None
    assert canonical(text) == text
    assert limit_key(text) == text


@given(IPV4 | IPV6, st.none() | st.integers(0, 65535))
def test_any_address_is_read_with_a_port_and_without(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int | None
) -> None:
    text = f"[{address}]" if address.version == 6 else str(address)
    parsed = parse_address(text if port is None else f"{text}:{port}")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert parsed == (mapped or address)
    assert parse_address(str(address)) == parsed


@given(st.text(max_size=60) | st.text("0123456789abcdef.:[]%/", max_size=40))
def test_any_text_is_an_address_or_none(text: str) -> None:
    parsed = parse_address(text)
    assert parsed is None or parse_address(str(parsed)) == parsed
    assert limit_key(text) == limit_key(canonical(text))


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:80", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:80", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::1", "::/64"),
        ("2002:102:304:5::6", "1.2.3.4"),
        ("64:ff9b::1.2.3.4", "1.2.3.4"),
        ("64:ff9b:1::1", "64:ff9b:1::/64"),
        ("unknown", "unknown"),
    ],
)
def test_limits_count_by_who_an_address_belongs_to(address: str, key: str) -> None:
    assert limit_key(address) == key


@given(IPV6, st.integers(0, 2**64 - 1))
def test_a_network_of_64_bits_has_one_key(address: ipaddress.IPv6Address, host: int) -> None:
    if address in ipaddress.IPv6Network("::/32") or address in ipaddress.IPv6Network("64::/16"):
        return  # what carries IPv4
    neighbour = ipaddress.IPv6Address((int(address) >> 64 << 64) | host)
    assert limit_key(str(neighbour)) == limit_key(str(address))
    assert "." not in limit_key(str(address)) or address.sixtofour is not None


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("0.0.0.0", False),  # noqa: S104 - the subject
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_all_else(host: str, is_one: bool) -> None:  # noqa: FBT001 - a table
    assert is_loopback(host) is is_one
