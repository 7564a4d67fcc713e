"""The table of `ticker watch`, as it is drawn."""

from __future__ import annotations

from decimal import Decimal

import pytest
from rich.console import Console

from ticker.cli.board import Board
from ticker.client import ClientStatistics, Price, State, Status, Subscribed, Ticker


def tick(board: Board, **prices: str) -> None:
    board.take(
        Ticker(
            data=tuple(
                Price(symbol=f"{name}-USD", price=Decimal(price), timestamp=1000)
                for name, price in prices.items()
            ),
            seq=1,
            time=1_000_000,
        )
    )


def drawn(board: Board, counts: ClientStatistics, *, now: float = 1000, at: float = 0) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(board.show(counts, now, at))
    return capture.get()


def row(text: str, symbol: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(symbol)]
    return line.split()


def test_each_price_has_its_direction_and_its_change_since_the_start() -> None:
    board = Board()
    tick(board, BTC="42000.00", ETH="2500.00", SHIB="0.00001023")
    tick(board, BTC="42420.00", ETH="2499.00", SHIB="0.00001023")
    text = drawn(board, ClientStatistics(state=State.OPEN))
    assert row(text, "BTC-USD")[1:4] == ["42,420.00", "▲", "+1.00%"]
    assert row(text, "ETH-USD")[1:4] == ["2,499.00", "▼", "-0.04%"]
    assert row(text, "SHIB-USD")[1:4] == ["0.00001023", "•", "+0.00%"]


def test_a_direction_stays_until_the_price_moves_the_other_way() -> None:
    board = Board()
    for price in ("1.00", "2.00", "2.00"):
        tick(board, BTC=price)
    assert "▲" in drawn(board, ClientStatistics())


def test_the_age_of_a_price_is_told_in_words_and_never_below_zero() -> None:
    board = Board()
    tick(board, BTC="1.00")
    ages = [drawn(board, ClientStatistics(), now=1000 + age) for age in (-5, 59, 60, 7200)]
    assert [" ".join(row(text, "BTC-USD")[4:6]) for text in ages] == ["0 s", "59 s", "1 min", "2 h"]


def test_a_symbol_that_is_no_longer_subscribed_to_is_no_longer_shown() -> None:
    board = Board()
    tick(board, BTC="1.00", ETH="1.00")
    board.take(Subscribed(symbols=("ETH-USD",)))
    text = drawn(board, ClientStatistics())
    assert "ETH-USD" in text
    assert "BTC-USD" not in text


def test_the_pace_is_of_the_last_second() -> None:
    board = Board()
    for tenth in range(31):
        text = drawn(board, ClientStatistics(received=min(tenth, 20) * 10), at=tenth / 10)
        if tenth == 20:
            assert "100 messages/s" in text
    assert " 0 messages/s" in text


def test_trouble_is_said_while_it_lasts() -> None:
    board = Board()
    lost = ClientStatistics(state=State.WAITING, connections=3, last_fault="the connection is lost")
    text = drawn(board, lost)
    for words in ("waiting", "2 reconnects", "the connection is lost"):
        assert words in text
    assert "lost" not in drawn(board, ClientStatistics(state=State.OPEN, last_fault="lost"))


def test_a_stale_source_is_named_until_it_is_live() -> None:
    board = Board()
    board.take(Status(state="stale", source="coinbase", reason="no route"))
    assert "coinbase is stale: no route" in drawn(board, ClientStatistics())
    board.take(Status(state="live", source="coinbase"))
    assert "stale" not in drawn(board, ClientStatistics())


def test_a_source_that_is_stale_in_some_symbols_is_said_to_be_so_in_those_alone() -> None:
    board = Board()
    board.take(Status(state="stale", source="kraken", reason="silent", symbols=("A-USD", "B-USD")))
    text = drawn(board, ClientStatistics())
    assert "kraken is stale in A-USD, B-USD: silent" in text


def test_each_reason_is_told_with_the_symbols_it_holds_for() -> None:
    board = Board()
    board.take(
        Status(
            state="stale",
            source="kraken",
            reason="several reasons",
            symbols=("A-USD", "B-USD", "C-USD"),
            reasons={"A-USD": "halted", "B-USD": "silent", "C-USD": "halted"},
        )
    )
    text = drawn(board, ClientStatistics())
    assert "kraken is stale in A-USD, C-USD: halted\n" in text
    assert "kraken is stale in B-USD: silent\n" in text
    assert "several reasons" not in text
    assert "prices stand still" not in text


def screen(board: Board, width: int, height: int, state: State = State.OPEN) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(board.show(ClientStatistics(state=state), 1000, 0, size=(width, height)))
    return [line.rstrip() for line in capture.get().splitlines()]


def forty() -> Board:
    board = Board()
    tick(board, **{f"COIN{number:02}": f"{number}1234.5" for number in range(40)})
    return board


@pytest.mark.parametrize("height", range(5, 50))
def test_the_status_stays_on_a_screen_of_five_lines_or_more(height: int) -> None:
    lines = screen(forty(), 60, height)
    assert len(lines) <= height
    assert lines[-1].startswith("open ")
    shown = sum(line.startswith("COIN") for line in lines)
    assert shown == 40 or f"… {40 - shown} more symbols" in lines
    assert shown >= 1


@pytest.mark.parametrize("height", range(5, 15))
def test_the_status_stays_whatever_else_is_to_be_said(height: int) -> None:
    board = forty()
    for number in range(20):
        board.take(Status(state="stale", source=f"source{number}", reason="no route " * 20))
    lines = screen(board, 60, height)
    assert len(lines) <= height
    assert any(line.startswith("open ") for line in lines)
    assert any(line.startswith("COIN") or "more symbols" in line for line in lines)


def test_on_a_narrow_screen_columns_give_way_to_the_symbol_and_its_price() -> None:
    titles = {width: screen(forty(), width, 20)[0].split() for width in range(100, 20, -1)}
    seen = list(dict.fromkeys(tuple(words) for words in titles.values()))
    assert seen == [
        ("SYMBOL", "PRICE", "CHANGE", "AGE", "SOURCE"),
        ("SYMBOL", "PRICE", "CHANGE", "AGE"),
        ("SYMBOL", "PRICE", "CHANGE"),
        ("SYMBOL", "PRICE"),
    ]
    [row] = [line for line in screen(forty(), 28, 20) if line.startswith("COIN09")]
    assert row.split()[:2] == ["COIN09-USD", "91,234.5"]


def colours(board: Board, state: State) -> str:
    console = Console(width=100, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(board.show(ClientStatistics(state=state), 1000, 0))
    return capture.get().partition("messages/s")[0]


def test_a_price_that_is_old_is_grey() -> None:
    board = Board()
    tick(board, BTC="1.00", ETH="2.00")
    tick(board, BTC="2.00", ETH="1.00")
    green, red = "\x1b[32m", "\x1b[31m"
    assert green in colours(board, State.OPEN)
    assert red in colours(board, State.OPEN)
    assert not {green, red} & {
        code for code in (green, red) if code in colours(board, State.WAITING)
    }
    board.take(Status(state="stale", symbols=("BTC-USD",)))
    assert colours(board, State.OPEN).count(green) == 1  # that of the status
    assert red in colours(board, State.OPEN)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "no-such"])
def test_a_terminal_that_cannot_show_an_arrow_gets_another_sign(encoding: str) -> None:
    board = Board(encoding)
    tick(board, BTC="1.00", ETH="2.00")
    tick(board, BTC="2.00", ETH="1.00")
    drawn(board, ClientStatistics()).encode("ascii")
    assert row(drawn(board, ClientStatistics()), "BTC-USD")[2] == "^"
