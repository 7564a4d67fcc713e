"""Which requests of plain HTTP go on, and when."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from ticker import limits
from ticker.http.gate import Gate
from ticker.http.head import Head, HeadParser
from ticker.http.refusal import Refusal, RefusedError
from ticker.metrics import Metrics
from ticker.rate_limit import Rate

ADDRESS = "192.0.2.1"
BURST = 20 * limits.HTTP_BURST_TIMES


def gate(count: int = 20, *, hops: int = 0, origins: tuple[str, ...] = ()) -> Gate:
    return Gate(Rate(count, 1.0), Metrics(), trusted_hops=hops, allowed_origins=origins)


def request(path: str = "/", **fields: str) -> Head:
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()]
    head = HeadParser().feed(f"GET {path} HTTP/1.1\r\nHost: a\r\n{''.join(lines)}\r\n".encode())
    assert head is not None
    return head


async def refused(subject: Gate, head: Head, peer: str = ADDRESS) -> Refusal | None:
    try:
        await subject.admit(head, peer, encrypted=False)
    except RefusedError as error:
        return error.refusal
    return None


async def count_admitted(subject: Gate, head: Head, peer: str = ADDRESS) -> int:
    """Ask until refused."""
    count = 0
    while await refused(subject, head, peer) is None:
        count += 1
    return count


async def test_an_address_may_ask_in_a_burst_and_then_at_its_rate(
    autojump_clock: MockClock,
) -> None:
    subject = gate()
    assert await count_admitted(subject, request()) == BURST
    answer = await refused(subject, request())
    # A refusal takes half a second, in which ten more requests are within the rate.
    assert answer is None
    autojump_clock.jump(0.25)
    assert await count_admitted(subject, request()) == pytest.approx(15, abs=1)


async def test_beyond_that_it_hears_when_to_ask_again_and_hears_it_late(
    autojump_clock: MockClock,
) -> None:
    del autojump_clock
    subject = gate(1)
    assert await count_admitted(subject, request()) == limits.HTTP_BURST_TIMES
    began = trio.current_time()
    answer = await refused(subject, request())
    assert answer is not None
    assert (answer.status, answer.error) == (429, "too many requests")
    assert answer.headers == {"retry-after": "1"}
    assert trio.current_time() - began == limits.HTTP_REFUSED_SECONDS


async def test_other_addresses_are_not_concerned_and_an_ipv6_network_is_one(
    autojump_clock: MockClock,
) -> None:
    del autojump_clock
    subject = gate()
    await count_admitted(subject, request())
    assert await refused(subject, request(), "192.0.2.2") is None
    assert await count_admitted(subject, request(), "2001:db8::1") == BURST
    assert await count_admitted(subject, request(), "2001:db8::2") <= 10


async def test_behind_a_proxy_it_is_the_client_that_counts(autojump_clock: MockClock) -> None:
    del autojump_clock
    subject = gate(hops=1)
    await count_admitted(subject, request(X_Forwarded_For="198.51.100.1"))
    assert await refused(subject, request(X_Forwarded_For="198.51.100.2")) is None


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_what_operators_ask_has_a_bucket_of_its_own(
    path: str, autojump_clock: MockClock
) -> None:
    del autojump_clock
    subject = gate()
    assert await count_admitted(subject, request("/")) == BURST
    assert await count_admitted(subject, request(path)) == BURST


@pytest.mark.parametrize("path", ["/main.js", "/style.css", "/vendor/charts.js"])
async def test_twenty_people_behind_one_address_may_open_the_page_together(
    path: str, autojump_clock: MockClock
) -> None:
    del autojump_clock
    subject = gate()
    assert await count_admitted(subject, request("/")) == BURST
    assert await count_admitted(subject, request(path)) == BURST * limits.PAGE_FILES_TIMES


async def test_a_rate_of_nothing_lifts_the_limit(autojump_clock: MockClock) -> None:
    del autojump_clock
    subject = gate(0)
    for _ in range(1000):
        assert await refused(subject, request()) is None


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
    {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
]


@pytest.mark.parametrize("fields", FOREIGN, ids=str)
async def test_a_foreign_page_is_refused_and_counts_against_no_address(
    fields: dict[str, str], autojump_clock: MockClock
) -> None:
    del autojump_clock
    subject = gate(1)
    for _ in range(50):
        answer = await refused(subject, request("/prices", **fields))
        assert answer is not None
        assert (answer.status, answer.error) == (403, "origin not allowed")
    assert await count_admitted(subject, request()) == limits.HTTP_BURST_TIMES


OWN = [
    {},
    {"Origin": "http://a"},
    {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"},
    {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"},
    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
]


@pytest.mark.parametrize("fields", OWN, ids=str)
async def test_our_own_page_and_who_follows_a_link_to_it_are_welcome(
    fields: dict[str, str], autojump_clock: MockClock
) -> None:
    del autojump_clock
    assert await refused(gate(), request(**fields)) is None


async def test_an_allowed_page_is_welcome_with_all_that_it_loads(
    autojump_clock: MockClock,
) -> None:
    del autojump_clock
    subject = gate(origins=("https://app.example",))
    allowed = {"Origin": "https://app.example", "Sec_Fetch_Site": "cross-site"}
    assert await refused(subject, request(**allowed)) is None
    script = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert await refused(subject, request("/client.js", **script)) is None
    assert await refused(subject, request(Origin="https://evil.example")) is not None


async def test_requests_go_on_one_in_each_pass_of_the_loop(autojump_clock: MockClock) -> None:
    del autojump_clock
    subject = gate(0)
    passes: list[int] = []
    now = 0

    async def ask() -> None:
        await subject.admit(request(), ADDRESS, encrypted=False)
        passes.append(now)

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask)
        while len(passes) < 50:
            now += 1
            await trio.lowlevel.checkpoint()
    assert max(map(passes.count, passes)) == 1


@pytest.mark.parametrize(
    ("target", "location"), [("/below", "/below/"), ("/below?a=1", "/below/?a=1")]
)
async def test_the_root_without_its_slash_leads_to_the_one_with_it(
    target: str, location: str
) -> None:
    head = attrs.evolve(request(target), root="/below")
    answer = await refused(gate(), head)
    assert answer is not None
    assert (answer.status, answer.headers) == (308, {"location": location})
    assert await refused(gate(), attrs.evolve(request("/below/"), root="/below")) is None
    elsewhere = await refused(gate(), attrs.evolve(request("/belowdeck"), root="/below"))
    assert elsewhere is not None
    assert elsewhere.status == 404


@pytest.mark.parametrize("origins", [("https://app.example",), ("*",)], ids=["listed", "any"])
@pytest.mark.usefixtures("autojump_clock")
async def test_a_page_that_may_ask_can_read_that_it_asks_too_often(
    origins: tuple[str, ...],
) -> None:
    subject = gate(1, origins=origins)
    page = request(Origin="https://app.example")
    answer = None
    while answer is None:
        answer = await refused(subject, page)
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["access-control-allow-origin"] in {"*", "https://app.example"}
    assert answer.headers["access-control-expose-headers"] == "retry-after"
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "%"])
@pytest.mark.usefixtures("autojump_clock")
async def test_no_other_page_can_read_it(origin: str) -> None:
    answer = await refused(gate(origins=("https://app.example",)), request(Origin=origin))
    assert answer is not None
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("raw", "status", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400, "bad request"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "not implemented",
        ),
    ],
    ids=["no host", "space before the colon", "other coding"],
)
@pytest.mark.parametrize("root", ["", "/below"], ids=["at the root", "below a path"])
async def test_what_is_no_request_hears_why_in_the_shape_of_all_errors(
    raw: bytes, status: int, text: str, root: str
) -> None:
    head = HeadParser().feed(raw)
    assert head is not None
    answer = await refused(gate(), attrs.evolve(head, root=root))
    assert answer is not None
    assert (answer.status, answer.error) == (status, text)
