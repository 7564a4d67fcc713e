"""The whole program on several exchanges: blips, what each has, and a price of several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.exchange_standin import BITSTAMP, COINBASE, KRAKEN, DistantExchange, StandIn, in_a_thread
from tests.support.server import Server, started
from tests.support.waiting import wait_until

MANNERS = {manners.name: manners for manners in (COINBASE, KRAKEN, BITSTAMP)}


@contextmanager
def exchanges(
    directory: Path, *names: str
) -> Iterator[tuple[list[DistantExchange], dict[str, str]]]:
    """Play these exchanges; gives them, and the environment that leads to them."""
    with ExitStack() as stack:
        found: list[DistantExchange] = []
        env: dict[str, str] = {}
        for name in names:
            standin = in_a_thread(StandIn(MANNERS[name]), directory / name, MANNERS[name].path)
            found.append(stack.enter_context(standin))
            env |= found[-1].environment(name)
        authorities = directory / "authorities.pem"
        authorities.write_bytes(b"".join(e.exchange.authority.read_bytes() for e in found))
        yield found, env | {"SSL_CERT_FILE": str(authorities), "TICKER_SOURCE": ",".join(names)}


def trade(exchange: DistantExchange, price: str, symbol: str = "BTC-USD") -> None:
    exchange.run(exchange.exchange.standin.trade, symbol, price)


def quote(server: Server, symbol: str = "BTC-USD") -> Mapping[str, Any]:
    """Return the newest quote of a symbol; empty before its first."""
    authorization = {"Authorization": f"Bearer {server.token()}"}
    status, _, body = server.request("GET", f"/prices/{symbol}", headers=authorization)
    found: dict[str, Any] = json.loads(body) if status == 200 else {}
    return found


def test_a_blip_moves_no_price_to_the_other_exchange(tmp_path: Path) -> None:
    with exchanges(tmp_path, "coinbase", "kraken") as (found, env):
        first, second = found
        env |= {"TICKER_SYMBOLS": "BTC-USD", "TICKER_RESTART_JITTER": "0"}
        with started("serve", tmp_path / "data", env=env) as server:
            for each, price in ((first, "42000.10"), (second, "42000.90")):
                each.run(each.exchange.standin.subscribed)
                trade(each, price)
            wait_until(lambda: quote(server).get("source") == "coinbase", "the first price")
            seen = set()
            first.run(first.exchange.standin.break_off)

            def back() -> bool:
                trade(second, "42000.91")
                seen.add(quote(server).get("source"))
                return first.exchange.standin.accepted > 1

            wait_until(back, "the connection to be opened again")
            first.run(first.exchange.standin.subscribed)
            trade(first, "42000.20")
            wait_until(lambda: quote(server).get("price") == 42000.2, "the price after the blip")
            assert seen == {"coinbase"}


def test_a_price_of_several_names_who_was_counted_and_who_was_left_out(tmp_path: Path) -> None:
    with exchanges(tmp_path, "coinbase", "kraken", "bitstamp") as (found, env):
        env |= {"TICKER_SYMBOLS": "BTC-USD", "TICKER_SELECT": "median"}
        with started("serve", tmp_path / "data", env=env) as server:
            for each, price in zip(found, ("0.00000100", "1.50", "0.00000102"), strict=True):
                each.run(each.exchange.standin.subscribed)
                trade(each, price)
            wait_until(lambda: quote(server).get("left_out"), "all three prices")
            shown = quote(server)
            assert (shown["source"], shown["counted"]) == ("median", ["coinbase", "bitstamp"])
            assert shown["left_out"] == ["kraken"]
            authorization = {"Authorization": f"Bearer {server.token()}"}
            _, _, body = server.request("GET", "/prices", headers=authorization)
            assert b'"price":0.00000101,' in body
