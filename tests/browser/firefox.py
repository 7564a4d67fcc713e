"""Firefox, driven by WebDriver BiDi over its own remote debugging port.

Debian's Firefox comes without geckodriver, and Playwright drives only a Firefox of its own. What
the tests need of the protocol (https://www.w3.org/TR/webdriver-bidi/) is one WebSocket and a dozen
commands.
"""

from __future__ import annotations

import json
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs
from websockets.sync.client import ClientConnection, connect

COMMAND: Final = shutil.which("firefox-esr") or shutil.which("firefox")
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 30.0
MESSAGE_MOST_BYTES: Final = 64 * 2**20  # a screenshot is a message

#: No first-run pages, no updates, no calls home; notifications are allowed without a question.
PREFERENCES: Final[Mapping[str, object]] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "media.autoplay.default": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "permissions.default.desktop-notification": 1,
    "services.settings.server": "",
    "toolkit.telemetry.enabled": False,
}

#: What WebDriver calls the keys that write nothing.
KEYS: Final = {
    "ArrowDown": "\ue015",
    "Control": "\ue009",
    "End": "\ue010",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Home": "\ue011",
    "Tab": "\ue004",
}

_LISTENING: Final = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_WATCH: Final = """() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
        violations.push(`${violatedDirective} ${blockedURI}`));
}"""


class BidiError(Exception):
    """Firefox refused a command; the text is its own."""


@attrs.define
class Firefox:
    """A headless Firefox, as `running` starts it."""

    _socket: ClientConnection
    errors: list[str] = attrs.field(factory=list)
    _last: int = 0

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its result; BidiError where it is refused."""
        self._last += 1
        self._socket.send(
            json.dumps({"id": self._last, "method": method, "params": parameters}),
        )
        while True:
            message = json.loads(self._socket.recv(ANSWER_SECONDS))
            if message.get("method") == "log.entryAdded":
                self._hear(message["params"])
            elif message.get("id") == self._last:
                if message["type"] == "error":
                    raise BidiError(f"{method}: {message['message']}")
                result: dict[str, Any] = message["result"]
                return result

    def _hear(self, entry: dict[str, Any]) -> None:
        text = str(entry["text"])
        lost = text.startswith("Firefox can\u2019t establish")  # a server that is away is no fault
        if entry["level"] == "error" and entry["type"] == "javascript" and not lost:
            self.errors.append(text)

    def open(self, url: str, *, width: int = 1366, height: int = 768) -> FirefoxPage:
        """Open a page in a container of its own, with no storage of earlier ones."""
        container = self.command("browser.createUserContext")["userContext"]
        created = self.command("browsingContext.create", type="tab", userContext=container)
        page = FirefoxPage(self, created["context"], container)
        size = {"width": width, "height": height}
        self.command("browsingContext.setViewport", context=page.context, viewport=size)
        page.goto(url)
        return page


@contextmanager
def running() -> Iterator[Firefox]:
    """Run Firefox with a profile of its own; RuntimeError where it does not come up."""
    assert COMMAND is not None
    profile = Path(tempfile.mkdtemp(prefix="ticker-firefox-"))
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines), "utf-8")
    options = ["--headless", "--no-remote", "--remote-debugging-port", "0"]
    process = subprocess.Popen(
        [COMMAND, *options, "--profile", str(profile), "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    # It reads to the end, which is Firefox's: a full pipe would stop it.
    reader = threading.Thread(target=_read_lines, args=(process, said))
    reader.start()
    try:
        url = f"{_address(said)}/session"
        with connect(url, max_size=MESSAGE_MOST_BYTES, compression=None, proxy=None) as socket:
            firefox = Firefox(socket)
            firefox.command("session.new", capabilities={})
            firefox.command("session.subscribe", events=["log.entryAdded"])
            firefox.command("script.addPreloadScript", functionDeclaration=_WATCH)
            yield firefox
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(STOP_SECONDS)
        shutil.rmtree(profile, ignore_errors=True)


def _read_lines(process: subprocess.Popen[bytes], said: queue.SimpleQueue[str]) -> None:
    """Pass on what Firefox says, and an empty line at its end; for a thread."""
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            said.put(line.decode("utf-8", "replace"))
    said.put("")


def _address(said: queue.SimpleQueue[str]) -> str:
    """Wait until Firefox says where it listens; RuntimeError where it does not in time."""
    deadline = time.monotonic() + START_SECONDS
    heard: list[str] = []
    with suppress(queue.Empty):
        while line := said.get(timeout=max(0.0, deadline - time.monotonic())):
            found = _LISTENING.search(line)
            if found is not None:
                return found[1]
            heard.append(line)
    raise RuntimeError(f"Firefox does not listen: {''.join(heard)}")


@attrs.frozen
class FirefoxPage:
    """One page of Firefox."""

    firefox: Firefox
    context: str
    container: str

    def goto(self, url: str) -> None:
        """Load an address and wait until all of it is there."""
        self.firefox.command(
            "browsingContext.navigate", context=self.context, url=url, wait="complete"
        )

    def evaluate(self, expression: str) -> Any:
        """Return what an expression gives, or what its promise fulfils with, through JSON."""
        answer = self.firefox.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})) ?? 'null')()",
            target={"context": self.context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise BidiError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        middle = f"""(() => {{
            const node = document.querySelector({json.dumps(selector)});
            node.scrollIntoView({{ block: "nearest", behavior: "instant" }});
            const {{ x, y, width, height }} = node.getBoundingClientRect();
            return [Math.round(x + width / 2), Math.round(y + height / 2)];
        }})()"""
        x, y = self.evaluate(middle)
        steps = [
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._perform({"type": "pointer", "id": "mouse", "actions": steps})

    def type(self, text: str) -> None:
        """Press a key for each letter."""
        self._press([[letter] for letter in text])

    def press(self, keys: str) -> None:
        """Press a key, or several together, as in `Control+k`."""
        self._press([[KEYS.get(key, key) for key in keys.split("+")]])

    def _press(self, chords: list[list[str]]) -> None:
        steps = []
        for chord in chords:
            steps += [{"type": "keyDown", "value": key} for key in chord]
            steps += [{"type": "keyUp", "value": key} for key in reversed(chord)]
        self._perform({"type": "key", "id": "keyboard", "actions": steps})

    def _perform(self, source: dict[str, object]) -> None:
        self.firefox.command("input.performActions", context=self.context, actions=[source])

    def close(self) -> list[str]:
        """Close the page; return what was wrong: exceptions and violations of its policy."""
        wrongs: list[str] = self.firefox.errors + self.evaluate("globalThis.violations ?? []")
        self.firefox.errors.clear()
        self.firefox.command("browser.removeUserContext", userContext=self.container)
        return wrongs
