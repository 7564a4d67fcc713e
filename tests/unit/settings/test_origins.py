"""Which origins may be allowed, and in which form they are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.settings.loader import SettingsError, load
from ticker.settings.origins import read_origin, read_origins


@pytest.mark.parametrize(
    ("raw", "origins"),
    [
        ("", ()),
        ("same origin", ()),
        ("*", ("*",)),
        (["*"], ("*",)),
        (
            "https://A.example:443,http://b.example:8080",
            ("https://a.example", "http://b.example:8080"),
        ),
        ("http://a.example:80", ("http://a.example",)),
        ("http://a.example:443", ("http://a.example:443",)),
        ("https://[2001:DB8:0:0::1]:8443", ("https://[2001:db8::1]:8443",)),
        ("https://xn--mller-kva.example", ("https://xn--mller-kva.example",)),
        ("http://localhost:3000", ("http://localhost:3000",)),
        ("http://my_host", ("http://my_host",)),
        # apps and extensions
        ("capacitor://localhost,ionic://localhost", ("capacitor://localhost", "ionic://localhost")),
        ("tauri://localhost", ("tauri://localhost",)),
        ("chrome-extension://abcdefghijklmnop", ("chrome-extension://abcdefghijklmnop",)),
        ("app://obsidian.md", ("app://obsidian.md",)),
        ("capacitor://localhost:8100", ("capacitor://localhost:8100",)),
        ("file://", ("file://",)),
        ("http://127.0.0.1:3000", ("http://127.0.0.1:3000",)),
        # Electron: https://github.com/sindresorhus/electron-serve, and what Vue's plugin makes
        ("app://-,app://.", ("app://-", "app://.")),
        ("https://a.example.", ("https://a.example.",)),
    ],
)
def test_origins_are_read_in_the_form_that_browsers_send(raw: object, origins: object) -> None:
    assert read_origins(raw) == origins


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("https://*.a.com", "a pattern would match none"),
        ("*.a.com", "a pattern would match none"),
        ("*,https://a.example", "a pattern would match none"),
        ("https://a.example:*", "a pattern would match none"),
        ("null", "sandboxed"),
        ("https://a.example,null", "sandboxed"),
        ("wss://a.example", "also where it opens wss://"),
        ("ws://a.example", "also where it opens wss://"),
        ("https://müller.example", "xn--"),
        ("https://a.example/", "exact"),
        ("https://a.example/x", "exact"),
        ("https://a.example?x", "exact"),
        ("https://a.example#x", "exact"),
        ("https://u@a.example", "exact"),
        ("a.example", "exact"),
        ("localhost:3000", "exact"),
        ("https:a.example", "exact"),
        ("https://", "exact"),
        ("https://127.1", "exact"),
        ("https://1.2.3.4.", "exact"),
        ("https://0x7f", "exact"),
        (f"https://{'a' * 64}.example", "exact"),
        ("capacitor:", "exact"),
        ("file:///home/ada", "exact"),
        ("https://a.example:99999", "exact"),
        ("https://a.example:port", "exact"),
        ("https://a b.example", "exact"),
        ("https://a..example", "exact"),
        ("https://-a.example", "exact"),
        ("https://a-.example", "exact"),
        ("https://.example", "exact"),
        ("https://-", "exact"),
        ("https://[::g]", "exact"),
        ("https://a.example https://b.example", "exact"),
        ("https://a.example,", "entry empty"),
        ("https://a.example,https://a.example:443", "each origin once"),
        (7, "comma-separated"),
    ],
)
def test_what_could_never_match_is_refused_with_the_reason(raw: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_origins(raw)


@given(
    st.sampled_from(["http", "https", "capacitor"]),
    st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
)
def test_the_canonical_form_of_an_origin_is_its_own(scheme: str, host: str) -> None:
    form = read_origin(f"{scheme.upper()}://{host.upper()}")
    assert form == f"{scheme}://{host}"
    assert read_origin(form) == form


@given(st.text(max_size=40) | st.text("htps:/w.[]0a@*#?", max_size=20))
def test_any_text_is_an_origin_or_a_value_error(text: str) -> None:
    try:
        form = read_origin(text)
    except ValueError:
        return
    assert read_origin(form) == form


def test_any_origin_together_with_a_cookie_is_refused_at_start() -> None:
    environ = {"TICKER_ALLOWED_ORIGINS": "*", "TICKER_TOKEN_FROM": "header,cookie"}
    with pytest.raises(SettingsError, match="in its visitor's name"):
        load(environ=environ)
    load(environ={**environ, "TICKER_ALLOWED_ORIGINS": "https://a.example"})
    load(environ={**environ, "TICKER_TOKEN_FROM": "header,query"})
