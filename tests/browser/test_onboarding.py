"""A support person sets up a customer without the command line; what can't be right is told, nothing half stored."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Literal

import pytest

from ops.language import say, template
from ops.tenants import export, onboarding, onboarding_store
from ops.tenants.check import check
from tests.browser.customers import SECRETS, Customer, new_customer
from tests.browser.desk import Desk
from tests.browser.look import Look
from tests.integration.ops.conftest import scalar

Language = Literal["nl", "en"]
STEPS = ("customer", "afas", "key", "pluvo", "connector", "columns", "events", "completions", "begin")
PATIENCE_SECONDS = 120.0


def literal(code: str, language: Language) -> str:
    """The longest part of a sentence that holds for all its parameters."""
    sentence = template(code, language)
    text = sentence if isinstance(sentence, str) else sentence[0]
    return max(re.split(r"\{[^}]*\}", text), key=len).strip()


@pytest.fixture
def customer(desk: Desk) -> Customer:
    return new_customer(desk)


def fill(look: Look, answers: dict[str, str]) -> None:
    """Type what is known of the form that is open."""
    for name, value in answers.items():
        row = look.find(f'main form [name="{name}"]')
        if not row.count():
            continue
        if row.evaluate("one => one.tagName") == "SELECT":
            row.select_option(value)
        else:
            row.fill(value)


def go_on(look: Look) -> None:
    with look.page.expect_navigation():
        look.find("main form button.main").first.click()


def press(look: Look, selector: str) -> None:
    """Click and wait for the page that comes."""
    with look.page.expect_navigation():
        look.find(selector).first.click()


def until(look: Look, selector: str) -> None:
    """Look again until it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not look.find(selector).count():
        assert time.monotonic() < deadline, look.text()
        time.sleep(0.2)
        look.again()


def wait_for_run(preview: str) -> None:
    """Wait for the run that carries out what a preview shows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    sql = "SELECT status FROM run WHERE options ->> 'looked_at' = :preview"
    while (status := scalar(sql, preview=preview)) != "done":
        assert time.monotonic() < deadline, status
        time.sleep(0.1)


def here(look: Look) -> str:
    return look.page.url.rpartition("/")[2]


@pytest.mark.parametrize("language", ["nl", "en"])
def test_a_customer_is_set_up_without_the_command_line_and_without_javascript(
    look: Look, customer: Customer, language: Language
) -> None:
    look.open("/onboard", language=language, javascript=False)
    seen = []
    for _ in range(20):
        fill(look, customer.right)
        go_on(look)
        seen.append(here(look))
        if seen[-1] == "live":
            break
        assert not look.find(".problem, .field.wrong").count(), look.text()
    assert list(dict.fromkeys(seen)) == [*STEPS[1:], "live"]
    assert (customer.stored, scalar("SELECT count(*) FROM onboarding WHERE slug = :s", s=customer.slug)) == (1, 0)
    found = export.document(customer.slug)
    assert [one["event_id"] for one in found["courses"]] == ["340", "341"]
    assert found["courses"][0]["pluvo"]["completion_title"] == "Training 340"
    assert found["course_defaults"]["fields"]["email_secondary"] == "Email_prive"
    assert scalar("SELECT state FROM tenant_direction WHERE tenant_id = (SELECT max(id) FROM tenant) LIMIT 1") == "new"

    look.open("/onboard", language=language, javascript=False)
    press(look, f'a[href="/onboard/{customer.slug}/live"]')

    # then it is checked, who comes to which account is told, and the first run is looked at before it is done
    press(look, "#check button")
    assert say("wizard.live_check_ok", language) in look.text()
    press(look, 'a[href$="/adoption"]')
    assert "p1001@example.nl" in look.text()
    look.page.go_back()
    press(look, 'form[action$="/preview"] button')
    preview = look.page.url.rpartition("/")[2].partition("?")[0]
    until(look, 'form[action$="/execute"] button')
    press(look, 'form[action$="/execute"] button')
    wait_for_run(preview)
    look.open(f"/onboard/{customer.slug}/live", language=language, javascript=False)
    assert say("wizard.live_begun", language, name="Nova Opleidingen") in look.text()
    assert {one["email"] for one in customer.pluvo.users.values()} == {"p1001@example.nl", "p1002@example.nl"}


def elsewhere(customer: Customer, desk: Desk) -> None:
    customer.right["afas.base_url"] = f"{desk.first.afas_url}/t/99999/ProfitRestServices"


Wrong = tuple[str, dict[str, str], str, Callable[[Customer, Desk], Any]]
WRONG: dict[str, Wrong] = {
    "wrong host": (
        "pluvo", {"pluvo.base_url": "http://127.0.0.1:9/t/nova"}, "connect_failed", lambda c, d: None,
    ),
    "not this environment's address": (
        "key", {}, "not_found", elsewhere,
    ),
    "foreign keys": (
        "key", {}, "environment_mismatch", lambda c, d: setattr(c.afas, "envid", "O99999AA"),
    ),
    "wrong secret": ("key", {"afas.client_secret": "fout-geheim"}, "client_refused", lambda c, d: None),
    "expired": ("key", {}, "token_ended", lambda c, d: setattr(c.afas, "token_expiry", "2020-01-01")),
    "wrong pluvo secret": ("pluvo", {"pluvo.client_secret": "fout-geheim"}, "credentials_refused", lambda c, d: None),
    "wrong connector": ("connector", {"getconnector": "Anders"}, "connector_missing", lambda c, d: None),
    "description for a name": (
        "connector", {"getconnector": "Deelnemers per cursusevenement"}, "connector_description", lambda c, d: None,
    ),
    "misspelt column": ("columns", {"fields.name": "Naan"}, "column_near", lambda c, d: None),
    "wrong type": ("columns", {"fields.name": "Gewijzigd"}, "column_type", lambda c, d: None),
    "unknown event": ("events", {"events": "999"}, "event_unknown", lambda c, d: None),
    "an event's name": ("events", {"events": "BHV"}, "event_number", lambda c, d: None),
    "group for an offer event": ("events", {"target.340": "groep-1"}, "target_is_group", lambda c, d: None),
    "unknown place": ("events", {"target.340": "nergens"}, "offer_event_unknown", lambda c, d: None),
    "unknown title": ("completions", {"title.340": "Trainnig 340"}, "title_unknown", lambda c, d: None),
    "field of another type": ("completions", {"write_back": "U" + "0" * 32}, "field_type", lambda c, d: None),
    "no short name": ("customer", {"slug": "Nova Opleidingen"}, "form_slug", lambda c, d: None),
    "a short name that is taken": ("customer", {"slug": "acme"}, "slug_taken", lambda c, d: None),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_answer_is_told_in_its_sentence_keeps_what_was_typed_and_stores_nothing(
    look: Look, desk: Desk, customer: Customer, what: str
) -> None:
    # given somebody who came as far as this step
    step, wrong, code, spoil = WRONG[what]
    spoil(customer, desk)
    language: Language = "nl" if len(what) % 2 else "en"
    if step == "customer":
        look.open("/onboard", language=language)
    else:
        customer.until(step)
        look.open(f"/onboard/{customer.slug}", language=language)
    typed = customer.right | wrong
    if step == "events" and "events" not in wrong:
        fill(look, customer.right)
        go_on(look)  # the events; then their places are asked
    if step == "completions" and "write_back" not in wrong:
        fill(look, {"title.340": ""})
    for name, value in wrong.items():  # what no list offers comes all the same, from whoever changes the page
        look.page.evaluate(
            """([name, value]) => { const row = document.querySelector(`main form [name="${name}"]`);
                if (row && row.tagName === "SELECT") row.add(new Option(value, value)); }""",
            [name, value],
        )
    before = scalar("SELECT count(*) FROM tenant")
    look.expected.append("status of 422")

    # when
    fill(look, typed)
    go_on(look)

    # then
    told = look.find(".problem, p.error").first.inner_text()
    assert literal(f"cause.{code}", language) in told
    assert scalar("SELECT count(*) FROM tenant") == before
    assert customer.stored == 0
    shown = look.page.content()
    assert not [secret for secret in (*SECRETS, "fout-geheim") if secret in shown]
    for name, value in wrong.items():
        row = look.find(f'main form [name="{name}"]')
        if row.count() and row.get_attribute("type") != "password" and row.evaluate("one => one.tagName") == "INPUT":
            assert row.input_value() == value
    kept = scalar("SELECT answers FROM onboarding WHERE slug = :slug", slug=customer.slug) or {}
    assert not set(wrong.values()) & {str(value) for value in kept.values()}

    # and the right answer goes on
    if step != "customer":
        return
    fill(look, customer.right)
    go_on(look)
    assert here(look) == "afas"


def test_a_draft_goes_from_the_terminal_to_the_browser_and_back(look: Look, customer: Customer) -> None:
    # given what somebody began in the terminal
    customer.until("pluvo")
    look.open("/onboard")
    look.find(f'a[href="/onboard/{customer.slug}"]').first.click()
    assert here(look) == "pluvo"
    fill(look, customer.right)
    go_on(look)
    assert here(look) == "connector"
    # then the terminal goes on where the browser left
    draft = onboarding_store.resumed(customer.slug)
    question = onboarding.pending(draft)
    assert question is not None
    assert question.name == "getconnector"
    assert draft.by == "local"
    while question := onboarding.pending(draft):
        draft = onboarding_store.give(draft, question.name, customer.right.get(question.name, ""), "terminal")
    look.again()
    look.find('a[href$="/begin"]').click()
    go_on(look)
    assert here(look) == "live"
    assert customer.stored == 1


def test_the_second_of_two_people_is_told_and_keeps_what_was_typed(look: Look, customer: Customer) -> None:
    # given two who look at the same step
    draft = customer.until("pluvo")
    look.open(f"/onboard/{customer.slug}/pluvo", language="nl")
    assert "terminal heeft hier" in look.text()
    # when the other one answers first
    onboarding_store.give(draft, "pluvo.organisation", customer.slug, "bert")
    look.expected.append("status of 409")
    fill(look, customer.right)
    go_on(look)
    # then
    assert say("page.draft_moved", "nl", name="bert") in look.text()
    assert look.find('[name="pluvo.client_id"]').input_value() == "id"
    assert look.find('[name="pluvo.client_secret"]').input_value() == ""
    fill(look, customer.right)
    go_on(look)
    assert here(look) == "connector"


def forget(look: Look) -> None:
    button = look.find('form[action$="/forget"] button')
    button.evaluate("one => one.closest('details').open = true")
    with look.page.expect_navigation():
        button.click()


def test_what_somebody_else_answered_meanwhile_is_not_forgotten_unseen(look: Look, customer: Customer) -> None:
    draft = customer.until("pluvo")
    look.open(f"/onboard/{customer.slug}/pluvo", language="nl")
    onboarding_store.give(draft, "pluvo.organisation", customer.slug, "bert")
    look.expected.append("status of 409")
    forget(look)
    assert say("page.draft_moved", "nl", name="bert") in look.text()
    # and whoever has seen it may
    forget(look)
    assert look.page.url.endswith("/onboard")
    assert customer.slug not in [one["slug"] for one in onboarding_store.listing()]


def test_who_stores_second_is_shown_what_comes_then(look: Look, customer: Customer) -> None:
    customer.until("")
    look.open(f"/onboard/{customer.slug}/begin")
    onboarding_store.finish(onboarding_store.resumed(customer.slug), "bert")
    go_on(look)
    assert here(look) == "live"
    assert customer.stored == 1


def test_an_answer_of_before_is_changed_and_what_was_tried_with_it_is_tried_again(
    look: Look, customer: Customer
) -> None:
    customer.until("events")
    look.open(f"/onboard/{customer.slug}/key")
    look.expected.append("status of 422")
    fill(look, {"afas.client_id": "other"})
    go_on(look)
    assert literal("cause.client_refused", "en") in look.text()
    fill(look, customer.right)
    go_on(look)
    for step in ("connector", "columns"):  # what was chosen there is proposed again
        assert here(look) == step
        go_on(look)
    assert here(look) == "events"
    assert onboarding_store.resumed(customer.slug).answers["pluvo.reached"] == "yes"


def test_the_mail_to_the_administrator_asks_for_what_was_refused_in_both_languages(
    look: Look, customer: Customer
) -> None:
    customer.afas.oauth_clients["app"].blocked = True
    customer.until("key")
    look.open(f"/onboard/{customer.slug}/key", language="nl")
    look.expected.append("status of 422")
    fill(look, customer.right)
    go_on(look)
    dutch, english = (look.find(f"#mail-{one}").input_value() for one in ("nl", "en"))
    assert dutch.startswith(say("handover.greeting", "nl"))
    assert say("ask.client_refused", "nl") in dutch
    assert say("ask.client_refused", "en") in english
    assert not [secret for secret in SECRETS if secret in dutch + english]


def test_a_name_that_is_an_attack_is_only_text(look: Look, customer: Customer) -> None:
    hostile = '"><img src=x onerror=alert(1)>{{7*7}}<script>alert(2)</script>'
    customer.right["name"] = hostile
    customer.until("pluvo")
    look.open(f"/onboard/{customer.slug}")
    assert hostile[:40] in look.text()
    look.open("/onboard")
    assert hostile[:40] in look.text()


def test_a_draft_is_forgotten(look: Look, customer: Customer) -> None:
    customer.until("pluvo")
    look.open(f"/onboard/{customer.slug}", javascript=False)
    look.find("details.fold summary").last.click()
    look.find("button.risky").click()
    assert look.page.url.endswith("/onboard")
    assert scalar("SELECT count(*) FROM onboarding WHERE slug = :slug", slug=customer.slug) == 0


def test_every_step_can_be_used_by_everybody(look: Look, customer: Customer, axe: Callable[[Look], None]) -> None:
    draft = customer.until("")
    for step in ("", *STEPS):
        for seen in look.walk(f"/onboard/{customer.slug}/{step}" if step else "/onboard", languages=("nl", "en")):
            axe(look)
            look.shot(f"onboard-{step}-{seen}" if step else f"onboard-{seen}")

    onboarding_store.finish(draft, "terminal")
    customer.pluvo.add_user("p1001@example.nl", "<b>Anders</b>")
    customer.pluvo.trainings.clear()
    check(customer.slug)
    for place in ("live", "adoption"):
        for seen in look.walk(f"/onboard/{customer.slug}/{place}", languages=("nl", "en")):
            axe(look)
            look.shot(f"onboard-{place}-{seen}")
