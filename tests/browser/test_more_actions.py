"""Buttons that stand on pages beside others: each is pressed in both languages, in one of them without JavaScript."""

from __future__ import annotations

import time
from itertools import count

import pytest

from ops import completions, logins, users
from ops.dead_letters import inbox, replay_batch
from ops.dead_letters.inbox import Filters
from ops.language import Language, say
from ops.people import links
from ops.runs import history
from simulators.afas.tenant import COMPLETION_FIELD
from tests.browser.desk import Desk
from tests.browser.look import Look
from tests.browser.seed import EVENT, FINISHED, HOSTILE
from tests.fixtures.asking import PASSWORD
from tests.fixtures.world import World
from tests.integration.ops.conftest import scalar

_numbers = count(1)
LANGUAGES: list[Language] = ["nl", "en"]


def press(look: Look, selector: str) -> None:
    """Click, and wait for the page that comes."""
    with look.page.expect_navigation():
        look.find(selector).first.click()


def open_(look: Look, path: str, language: Language) -> None:
    look.open(path, language=language, javascript=language == "en")


def refused(desk: Desk, slug: str) -> World:
    """A tenant of one person, whose account Pluvo refuses to make."""
    world = desk.tenant(slug)
    world.person(1, EVENT, name=HOSTILE[1])
    match = {"operation": "createUser", "body_contains": "p1@example.nl"}
    world.fault("pluvo", "graphql_error", tenant=slug, match=match, code="ValidationError", message="No")
    desk.sync(slug)
    return world


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_is_asked_for_once_more_and_a_preview_is_made_anew(desk: Desk, look: Look, language: Language) -> None:
    slug = f"again-{language}"
    world = desk.tenant(slug)
    world.person(1, EVENT)
    (run,) = desk.sync(slug)["runs"]
    open_(look, f"/runs/{run['run']}", language)
    press(look, "form[action$='/again'] button")
    asked = look.page.url.rpartition("/")[2]
    assert asked != run["run"]
    assert history.show(asked)["tenant"] == slug
    open_(look, f"/runs/{run['run']}", language)
    assert say("did.runs_again", language, run=asked) in look.find(".history").inner_text()

    open_(look, f"/tenants/{slug}", language)
    press(look, "form[action='/previews'] button")
    first = look.page.url.rpartition("/")[2]
    scalar_until(f"SELECT status FROM run WHERE id = '{first}'", "dry_run")
    look.again()
    press(look, "form[action$='/again'] button")
    look.page.wait_for_url("**/previews/*")
    assert look.page.url.rpartition("/")[2] != first


def scalar_until(sql: str, wanted: str) -> None:
    """Wait until a value is there."""
    end = time.monotonic() + 120
    while (now := scalar(sql)) != wanted:
        assert time.monotonic() < end, now
        time.sleep(0.1)  # between two looks


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_dead_letter_is_discarded_with_a_reason(desk: Desk, look: Look, language: Language) -> None:
    refused(desk, f"one-{language}")
    letter = inbox.choose([], Filters(f"one-{language}"), everything=False)[0]
    open_(look, f"/dead-letters/{letter}", language)
    look.find("summary").filter(has_text=say("letters.discard_one", language)).click()
    look.find("[name=reason]").fill("   ")
    look.expect(422)
    press(look, "button[value=discard]")
    assert say("page.reason_empty", language, why=say("why.dead_letter", language)) in look.text()
    look.find("[name=reason]").fill("she <b>left</b>")
    press(look, "button[value=discard]")
    assert "she <b>left</b>" in look.text()
    assert say("letters.state_discarded", language) in look.text()
    assert look.find("button[value=discard]").count() == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_completion_is_tried_again(desk: Desk, look: Look, language: Language) -> None:
    slug = f"date-{language}"
    world = desk.tenant(slug)
    world.person(1, EVENT)
    desk.sync(slug)
    account = world.pluvo.find_user(email="p1@example.nl")
    assert account is not None
    world.pluvo.complete(account["id"], f"Training {EVENT}", FINISHED)
    world.afas.change(EVENT, 1, free={COMPLETION_FIELD: "2026-01-31"})
    desk.completions(slug)
    (one,) = completions.listing(tenant=slug).items
    # given that somebody empties the field in AFAS
    world.afas.change(EVENT, 1, free={COMPLETION_FIELD: None})
    open_(look, f"/completions/{one['id']}", language)
    press(look, "button[value=retry]")
    assert look.page.url.endswith(f"/completions/{one['id']}")
    assert say("did.completions_retry", language) in look.find(".history").inner_text()
    scalar_until(f"SELECT (state IN ('written', 'verified'))::text FROM completion WHERE id = {one['id']}", "true")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_gave_up_of_a_person_is_sent_again_from_their_page(desk: Desk, look: Look, language: Language) -> None:
    slug = f"resend-{language}"
    world = refused(desk, slug)
    world.clear_faults()
    open_(look, f"/tenants/{slug}/people/1", language)
    press(look, "button[value=replay]")
    assert say("person.replay_asked", language) in look.text()
    batch = look.page.url.rpartition("batch=")[2]
    replay_batch.drive(batch, until_settled=True, timeout_seconds=60)
    assert world.roster()[str(EVENT)] == {"p1@example.nl"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("choice", ["create", "ignore"])
def test_a_person_gets_an_account_of_their_own_or_none(desk: Desk, look: Look, language: Language, choice: str) -> None:
    slug = f"{choice}-{language}"
    world = desk.tenant(slug)
    # given two accounts that both carry the id of one person
    world.person(70, EVENT)
    for number in (1, 2):
        world.pluvo.add_user(f"anna{number}@example.org", f"Anna {number}", afasContactId="70")
    desk.sync(slug)
    assert links.show(slug, "70")["state"] == "ambiguous"
    open_(look, f"/tenants/{slug}/people/70/decide", language)
    look.find("#f-reason").fill('"><img src=x onerror=alert(1)>')
    press(look, f"button[value='{choice}']")
    assert say("decide.done", language) in look.text()
    assert '"><img src=x onerror=alert(1)>' in look.find(".history").inner_text()
    desk.sync(slug)
    expected = {"p70@example.nl"} if choice == "create" else set()
    assert world.roster()[str(EVENT)] == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_admin_gives_a_user_another_password_and_ends_their_sessions(
    desk: Desk, look: Look, language: Language
) -> None:
    name = f"wim{next(_numbers)}@example.nl"
    users.add(name, "viewer", ["acme"], PASSWORD)
    number = scalar("SELECT id FROM console_user WHERE name = :n", n=name)
    logins.login(name, PASSWORD, logins.Browser("192.0.2.7", "<script>alert(1)</script>"))
    open_(look, f"/settings/users/{number}", language)
    press(look, "form[action$='/sign-out'] button")
    assert say("users.done_signed_out", language) in look.text()
    assert users.show(name)["opened"] == []
    look.find("#f-first").fill("kort")
    look.expect(422)
    press(look, "form[action$='/password'] button")
    assert look.find("[role=alert]").count() == 1
    assert look.find("#f-first").input_value() == ""
    look.find("#f-first").fill("een andere lange zin")
    press(look, "form[action$='/password'] button")
    assert say("users.done_changed", language) in look.text()
    logins.login(name, "een andere lange zin", logins.Browser("192.0.2.7", "x"))


def test_a_rate_that_can_not_be_is_told_and_what_was_typed_stays(desk: Desk, look: Look) -> None:
    world = desk.tenant("rates")
    for number in range(1, 28):
        world.person(number, EVENT)
        match = {"operation": "createUser", "body_contains": f"p{number}@example.nl"}
        world.fault("pluvo", "graphql_error", tenant="rates", match=match, code="ValidationError", message="No")
    desk.sync("rates")
    look.open("/dead-letters/preview?tenant=rates", language="nl")
    look.find("#f-reason").fill("Pluvo is er weer")
    look.find("#f-rate").fill("0")
    look.expect(422)
    press(look, "form[action='/dead-letters/replay'] button")
    assert "getallen van meer dan 0" in look.text()
    assert (look.find("#f-rate").input_value(), look.find("#f-reason").input_value()) == ("0", "Pluvo is er weer")


@pytest.mark.parametrize(
    "path", ["/audit", "/completions", "/dead-letters", "/links", "/ambiguous", "/alerts", "/runs", "/holds"]
)
def test_a_filter_that_fits_nothing_keeps_what_was_typed(look: Look, path: str) -> None:
    look.open(path, language="nl", javascript=False)
    field = "form.filters[method=get] [name=tenant]"
    look.find(field).fill("niemand")
    if path != "/audit":  # whose rows stay after their tenant
        look.expect(404)
    press(look, "form.filters[method=get] button")
    assert look.find(field).input_value() == "niemand"
    if path != "/audit":
        assert "niemand" in look.find("[role=alert]").inner_text()


def test_a_day_that_is_none_is_told_and_what_was_typed_stays(look: Look) -> None:
    for path in ("/audit?since=gisteren&who=anna", "/runs?since=gisteren"):
        look.open(path, language="nl", status=422)
        assert look.find("[role=alert]").count() == 1
    look.open("/audit?since=gisteren&who=anna", status=422)
    assert look.find("#f-who").input_value() == "anna"


def test_of_a_name_that_nobody_has_the_likely_causes_are_told(desk: Desk, look: Look) -> None:
    look.open("/people", language="nl", javascript=False)
    look.find("#f-q").fill("niemand@example.nl")
    press(look, "main form.filters button")
    assert "example" not in look.page.url
    # when its tenant is named
    look.find("main .empty input[name=tenant]").fill("acme")
    press(look, "main .empty button")
    assert "Waarschijnlijke oorzaken" in look.text()
    assert "340" in look.text()
    assert "example" not in look.page.url
