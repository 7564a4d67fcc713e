"""Signing in and out: every refusal says what to do, and no secret is kept longer than said."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Tab
from tests.browser.driver import Page, expect
from tests.browser.program import Program

pytestmark = pytest.mark.browser

VIEW = re.compile(r"/#BTC-USD/5m$")  # what the address names once a key has left it


def try_key(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def state(page: Page, text: str) -> None:
    expect(page.locator("#state")).to_have_text(text)


def open_with_key(tab: Tab, server: Program, key: str) -> Page:
    """Open the page by an address that holds a key, as `ticker serve` prints it."""
    page = tab.open(server)
    page.goto("about:blank")
    page.goto(f"{server.url}/#key={key}")
    return page


def test_an_address_with_the_key_signs_in_by_itself(tab: Tab, shared: Program) -> None:
    page = open_with_key(tab, shared, shared.demo_key)
    state(page, "Live")
    expect(page.locator("#user")).to_have_text("user:demo")


def test_a_key_in_the_address_leaves_it_at_once_and_reaches_no_server(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared)
    page.goto("about:blank")
    seen: list[str] = []
    page.on("request", lambda request: seen.append(f"{request.url} {request.headers}"))
    page.goto(f"{shared.url}/#key={shared.demo_key}")
    state(page, "Live")
    expect(page).to_have_url(VIEW)
    assert seen
    assert not [each for each in seen if shared.demo_key in each.replace("#", "?")]
    page.go_back()
    page.go_forward()
    expect(page).to_have_url(VIEW)


def test_a_key_put_into_the_address_of_an_open_page_signs_in(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    page.evaluate("(key) => (location.hash = `key=${key}`)", shared.demo_key)
    state(page, "Live")
    expect(page).to_have_url(VIEW)


def test_a_refused_key_in_the_address_is_explained(tab: Tab, shared: Program) -> None:
    page = open_with_key(tab, shared, "tk_mistyped")
    expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
    assert page.url == f"{shared.url}/"
    state(page, "Signed out")


def test_a_key_is_hidden_until_it_is_asked_to_show(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    key, show = page.get_by_label("API key"), page.get_by_role("button", name="Show")
    expect(key).to_have_attribute("type", "password")
    show.click()
    expect(key).to_have_attribute("type", "text")
    expect(show).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("", "Enter your API key"),
        ("tk_mistyped", "unknown, revoked or expired. Paste all of it"),
        ("k" * 5000, "Paste the key alone"),
    ],
)
def test_a_refused_key_is_explained(tab: Tab, shared: Program, key: str, advice: str) -> None:
    page = tab.open(shared)
    try_key(page, key)
    expect(page.get_by_role("alert")).to_contain_text(advice)
    expect(page.get_by_label("API key")).to_be_focused()
    state(page, "Signed out")


def test_a_revoked_key_is_refused_and_a_good_one_then_helps(
    tab: Tab, program: Callable[..., Program]
) -> None:
    server = program()
    revoked, good = server.create_key(), server.create_key()
    server.revoke_key(revoked)
    page = tab.open(server)
    try_key(page, revoked)
    expect(page.get_by_role("alert")).to_contain_text("revoked")
    try_key(page, good)
    state(page, "Live")


def test_too_many_tries_are_told_how_long_to_wait(
    tab: Tab, program: Callable[..., Program]
) -> None:
    page = tab.open(program(TICKER_AUTH_RATE="1/minute"))
    try_key(page, "tk_first")
    expect(page.get_by_role("alert")).to_contain_text("unknown")
    try_key(page, "tk_second")
    expect(page.get_by_role("alert")).to_contain_text(
        re.compile(r"Too many tries.*Try again in \d+ s")
    )


def test_an_unavailable_database_is_explained(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    page.route(
        "**/auth/token",
        lambda route: route.fulfill(status=503, json={"error": "database unavailable"}),
    )
    try_key(page, shared.demo_key)
    expect(page.get_by_role("alert")).to_contain_text("database is unavailable. Try again")


def test_a_server_out_of_reach_is_explained(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    page.context.set_offline(True)
    try_key(page, shared.demo_key)
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_the_key_is_remembered_for_the_tab_and_the_token_nowhere(tab: Tab, shared: Program) -> None:
    page = tab.open(shared)
    with page.expect_response("**/auth/token") as exchanged:
        try_key(page, shared.demo_key)
    token = exchanged.value.json()["token"]
    state(page, "Live")
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert token not in stored
    assert shared.demo_key not in page.evaluate("JSON.stringify({...localStorage})")
    expect(page).to_have_url(VIEW)
    assert page.context.cookies() == []
    page.reload()
    state(page, "Live")


def test_a_second_tab_signs_in_by_itself_and_both_sign_out_together(
    tab: Tab, shared: Program
) -> None:
    page = tab.open(shared, key=shared.demo_key)
    other = page.context.new_page()
    other.goto(shared.url)
    state(other, "Live")
    assert shared.demo_key not in other.evaluate("JSON.stringify({...localStorage})")
    other.get_by_role("button", name="Sign out").click()
    state(other, "Signed out")
    state(page, "Signed out")
    assert page.evaluate("sessionStorage.length") == 0


def test_a_tab_of_another_browser_profile_is_not_signed_in(tab: Tab, shared: Program) -> None:
    tab.open(shared, key=shared.demo_key)
    stranger = tab.open(shared)
    expect(stranger.get_by_label("API key")).to_be_focused()
    state(stranger, "Signed out")


def test_signing_out_forgets_the_key(tab: Tab, shared: Program) -> None:
    page = tab.open(shared, key=shared.demo_key)
    page.get_by_role("button", name="Sign out").click()
    state(page, "Signed out")
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()
    state(page, "Signed out")
