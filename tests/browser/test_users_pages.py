"""The way in, one's own account, users and tokens: in a browser, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from ops import logins, tokens, users
from ops.http.app import make_app
from ops.language import Language
from ops.logins import Browser as From
from simulators.core.server import running
from tests.browser.desk import Desk
from tests.browser.look import NARROW, Look, Visits
from tests.fixtures.asking import PASSWORD
from tests.integration.ops.conftest import scalar

Axe = Callable[[Look], None]
_numbers = count(1)


@pytest.fixture(scope="module")
def guarded(desk: Desk) -> Iterator[str]:
    """The console of the desk where a login is asked for."""
    with running(make_app(login=True)) as url:
        yield url


@pytest.fixture
def guest(visits: Visits, guarded: str) -> Iterator[Look]:
    """A visitor who has not logged in."""
    visitor = Look(visits, guarded)
    yield visitor
    visitor.close()


@pytest.fixture
def anna(desk: Desk) -> str:
    """An admin of her own for each test."""
    name = f"anna{next(_numbers)}@example.nl"
    users.add(name, "admin", None, PASSWORD)
    return name


def log_in(look: Look, name: str, password: str = PASSWORD) -> None:
    look.find("#f-name").fill(name)
    look.find("#f-password").fill(password)
    look.find("form[action='/login'] button").click()
    look.page.wait_for_load_state()


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without"])
@pytest.mark.parametrize(
    ("language", "title", "wrong", "out"),
    [
        ("en", "Log in", "do not fit together", "Sign out"),
        ("nl", "Inloggen", "horen niet bij elkaar", "Uitloggen"),
    ],
)
def test_somebody_logs_in_where_they_wanted_to_go_and_out_again(
    guest: Look, anna: str, *, language: Language, title: str, wrong: str, out: str, javascript: bool
) -> None:
    page = guest.open("/settings/tokens", language=language, javascript=javascript)
    assert title in guest.text()
    assert page.locator("nav").count() == 0  # nothing to go to yet
    guest.expect(422)
    log_in(guest, anna, "a wrong guess at it")
    assert wrong in guest.text()
    assert guest.find("#f-name").input_value() == anna
    assert guest.find("#f-password").input_value() == ""
    log_in(guest, anna)
    assert page.url.endswith("/settings/tokens")
    guest.find("details.menu summary").click()
    page.get_by_role("button", name=out).click()
    page.wait_for_load_state()
    assert "/login" in page.url
    assert title in guest.text()


def test_ones_own_sessions_are_listed_and_ended(guest: Look, anna: str) -> None:
    logins.login(anna, PASSWORD, From("192.0.2.7", "<script>alert(1)</script> another browser"))
    page = guest.open("/account")
    log_in(guest, anna)
    rows = guest.find("table.list tbody tr")
    assert rows.count() == 2
    assert "another browser" in guest.text()
    rows.filter(has_text="another browser").get_by_role("button").click()
    page.wait_for_load_state()
    assert "That session is over." in guest.text()
    assert guest.find("table.list tbody tr").count() == 1
    page.get_by_role("button", name="Sign out everywhere").click()
    page.wait_for_load_state()
    assert "/login" in page.url


def test_a_password_is_changed_by_who_knows_the_present_one(guest: Look, anna: str) -> None:
    page = guest.open("/account")
    log_in(guest, anna)
    for before, second, said in (
        ("a wrong guess at it", "een andere zin", "not the present password"),
        (PASSWORD, "een heel andere zin", "not the same"),
        (PASSWORD, "een andere zin", "The password is changed"),
    ):
        if "changed" not in said:
            guest.expect(422)
        guest.find("#f-before").fill(before)
        guest.find("#f-first").fill("een andere zin")
        guest.find("#f-second").fill(second)
        page.get_by_role("button", name="Change the password").click()
        page.wait_for_load_state()
        assert said in guest.text()


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without"])
def test_a_user_is_added_changed_disabled_and_removed(look: Look, anna: str, javascript: bool) -> None:
    name = f"vera{next(_numbers)}@example.nl"
    page = look.open("/settings/users", javascript=javascript)
    look.find("#f-name").fill(name)
    look.find("#f-role").select_option("operator")
    look.find("#f-scope").select_option("some")
    look.find("#f-slugs").fill("acme")
    look.find("#f-first").fill("short")
    look.expect(422)
    page.get_by_role("button", name="Add a user").click()
    page.wait_for_load_state()
    assert "12 to 1000" in look.text()
    assert look.find("#f-name").input_value() == name
    look.find("#f-first").fill(PASSWORD)
    page.get_by_role("button", name="Add a user").click()
    page.wait_for_load_state()
    assert name in look.find("h1").inner_text()
    assert "added this user as operator" in look.text()

    look.find("#f-role").select_option("viewer")
    page.get_by_role("button", name="Change what they may").click()
    page.wait_for_load_state()
    assert "Changed." in look.text()
    assert scalar("SELECT role FROM console_user WHERE name = :n", n=name) == "viewer"

    page.get_by_role("button", name="Disable").click()
    page.wait_for_load_state()
    assert "all sessions are over" in look.text()
    page.get_by_role("button", name="Enable again").click()
    page.wait_for_load_state()

    look.expect(422)
    page.get_by_role("button", name="Remove the user").click()
    page.wait_for_load_state()
    assert "Tick the box" in look.text()
    look.find("#f-sure").check()
    page.get_by_role("button", name="Remove the user").click()
    page.wait_for_load_state()
    assert "The user is removed." in look.text()
    assert name not in look.text()


@pytest.mark.parametrize(
    ("language", "said", "button"),
    [
        ("en", "carol changed this user first", "Change what they may"),
        ("nl", "carol heeft deze gebruiker", "Rechten veranderen"),
    ],
)
def test_a_form_that_somebody_overtook_is_shown_again_with_who_it_was(
    look: Look, anna: str, language: Language, said: str, button: str
) -> None:
    name = f"vera{next(_numbers)}@example.nl"
    number = users.add(name, "viewer", None, PASSWORD)["id"]
    page = look.open(f"/settings/users/{number}", language=language)
    users.edit(name, "viewer", ["acme"], who="carol")
    look.find("#f-role").select_option("operator")
    look.expect(409)
    page.get_by_role("button", name=button).click()
    page.wait_for_load_state()
    assert said in look.text()
    assert "acme" in look.find("dl.facts").inner_text()  # what holds now
    was = {
        "en": "before: viewer, every tenant; then: viewer, acme",
        "nl": "eerst: kijker, alle tenants; daarna: kijker",
    }
    assert was[language] in look.find(".history").inner_text()
    assert look.find("#f-role").input_value() == "operator"  # what was chosen
    look.shot(f"user-overtaken-{language}")
    page.get_by_role("button", name=button).click()
    page.wait_for_load_state()
    assert scalar("SELECT role FROM console_user WHERE id = :id", id=number) == "operator"


def test_the_last_admin_is_kept_with_a_sentence_why(look: Look, desk: Desk) -> None:
    name = f"last{next(_numbers)}@example.nl"
    users.add(name, "admin", None, PASSWORD)
    others = [one["name"] for one in users.listing(1000).items if one["name"] != name and one["disabled_at"] is None]
    for other in others:
        users.disable(other)
    try:
        page = look.open(f"/settings/users/{scalar('SELECT id FROM console_user WHERE name = :n', n=name)}")
        look.expect(422)
        page.get_by_role("button", name="Disable").click()
        page.wait_for_load_state()
        assert "is the last admin" in look.text()
    finally:
        for other in others:
            users.enable(other)


def test_a_token_is_shown_once_and_revoked(look: Look, desk: Desk) -> None:
    name = f"reports{next(_numbers)}"
    page = look.open("/settings/tokens", language="nl")
    look.find("#f-name").fill(name)
    look.find("#f-role").select_option("viewer")
    page.get_by_role("button", name="Token maken").click()
    page.wait_for_load_state()
    token = look.find(".note code.id").inner_text()
    assert tokens.actor_of(token) is not None
    look.shot("token-made-nl")
    page.goto(look.url + "/settings/tokens")
    assert token not in page.content()
    look.find("tr").filter(has_text=name).get_by_role("button").click()
    page.wait_for_load_state()
    assert tokens.actor_of(token) is None
    assert "ingetrokken" in look.find("tr").filter(has_text=name).inner_text()


def test_a_viewer_is_shown_no_way_to_users_and_is_told_why_by_its_address(guest: Look, desk: Desk) -> None:
    name = f"vera{next(_numbers)}@example.nl"
    users.add(name, "viewer", ["acme"], PASSWORD)
    page = guest.open("/")
    log_in(guest, name)
    assert "acme" in guest.text()
    assert "gamma" not in guest.text()
    guest.find("details.menu summary").click()
    assert guest.find("a[href='/settings/users']").count() == 0
    guest.open("/settings/users", status=403)
    assert "admin" in guest.text()
    guest.open("/tenants/gamma", status=404)
    assert page.url.endswith("/tenants/gamma")


@pytest.mark.parametrize(
    ("language", "title", "role", "advice", "way"),
    [
        ("en", "You may not do that", "needs the role admin, and {name} is viewer", "an admin for", "To the overview"),
        ("nl", "Dat mag hier niet", "vraagt de rol beheerder, en {name} is kijker", "een beheerder om", "overzicht"),
    ],
)
def test_who_may_not_is_told_why_and_where_to_go(
    guest: Look, desk: Desk, axe: Axe, *, language: Language, title: str, role: str, advice: str, way: str
) -> None:
    name = f"vera{next(_numbers)}@example.nl"
    users.add(name, "viewer", ["acme"], PASSWORD)
    guest.open("/", language=language)
    log_in(guest, name)
    guest.open("/settings/users", language=language, status=403)
    for said in (title, role.format(name=name), advice, way):
        assert said in guest.text()
    axe(guest)
    guest.shot(f"problem-403-{language}")
    guest.turn("dark", NARROW)
    axe(guest)
    guest.shot(f"problem-403-{language}-dark")


def test_the_pages_can_be_used_by_everybody(look: Look, guest: Look, axe: Axe, anna: str) -> None:
    number = scalar("SELECT id FROM console_user WHERE name = :n", n=anna)
    logins.login(anna, PASSWORD, From("192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"))
    tokens.create("reports", "viewer", ["acme"], None)
    for path, shot in (
        ("/settings/users", "users"),
        (f"/settings/users/{number}", "user"),
        ("/settings/tokens", "tokens"),
        ("/account", "account-local"),
    ):
        for seen in look.walk(path):
            axe(look)
            look.shot(f"{shot}-{seen}")
    for seen in guest.walk("/login"):
        axe(guest)
        guest.shot(f"login-{seen}")
    log_in(guest, anna)
    for seen in guest.walk("/account"):
        axe(guest)
        guest.shot(f"account-{seen}")
