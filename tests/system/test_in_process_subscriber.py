"""The example of a subscriber in the market's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "in_process_subscriber.py"


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 50


def test_the_example_prints_what_a_channel_is_given(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, str(EXAMPLE), "5"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("TICKER")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [line for line in shown.stdout.splitlines() if line.startswith("{")]
    messages = [json.loads(line) for line in lines]
    assert len(messages) == 5
    assert messages[0]["snapshot"] is True
    seqs = [message["seq"] for message in messages]
    assert seqs == sorted(set(seqs))
    assert {entry["symbol"] for entry in messages[-1]["data"]} == {"BTC-USD", "ETH-USD", "SOL-USD"}
