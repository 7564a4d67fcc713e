"""Try the installed package as a user would: start it in an empty folder, fetch, stream, stop.

Run by `nox -s package` with the wheel installed and nothing else of the checkout in sight.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import trio

import ticker

PATIENCE_SECONDS = 30


def start() -> tuple[subprocess.Popen[str], str]:
    """Start `ticker serve` and return it with its address."""
    environment = {**os.environ, "TICKER_LOG_FORMAT": "json"}
    process = subprocess.Popen(
        ["ticker", "serve", "--port", "0"], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    for line in process.stderr:
        event = msgspec.json.decode(line)
        if event["event"] == "listening":
            return process, event["url"]
    raise SystemExit("ticker serve ended before it listened")


async def stream(url: str, key: str) -> int:
    """Read a few ticks with the package's own client."""
    count = 0
    with trio.fail_after(PATIENCE_SECONDS):
        async with ticker.connect(url, api_key=key) as client:
            async for _ in client:
                count += 1
                if count == 10:
                    break
    return count


def main() -> None:
    """Start, look, stop."""
    assert not Path("ticker").exists(), "run this away from the checkout"
    process, url = start()
    try:
        page = httpx.get(url)
        assert page.status_code == 200, page
        assert "<html" in page.text
        key = Path("data/demo-api-key").read_text("ascii").strip()
        assert trio.run(stream, url, key) == 10
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE_SECONDS)
    assert code == 0, code
    print(f"ticker {ticker.__version__} works from {ticker.__file__}", file=sys.stderr)


if __name__ == "__main__":
    main()
