"""What was set up is changed on pages: settings, credentials, more events; each tried before, nothing half stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from ops.language import say, template
from ops.tenants import edit, export, manage, onboarding_credentials, onboarding_steps, onboarding_store
from simulators.afas.tenant import OAuthClient
from simulators.pluvo.switches import ApiClient
from tests.browser.desk import Desk
from tests.browser.look import NARROW, WIDE, Look
from tests.fixtures.world import World
from tests.integration.ops.conftest import run_sql, scalar

Language = Literal["nl", "en"]


@pytest.fixture(scope="module")
def world(desk: Desk) -> World:
    """A tenant of these tests, with one event that is not linked yet."""
    made = desk.tenant("edita", events=("340",))
    training = made.pluvo.add_training("Training 341", "training-341")
    made.pluvo.add_offer_event("Event 341", "afas-341", trainings=[training["id"]])
    for event in (340, 341):
        made.person(80, event)
    return made


def settings() -> dict[str, str]:
    return edit.read("edita")["values"]


def save(look: Look, **typed: str) -> None:
    for name, value in typed.items():
        look.find(f'[name="{name.replace("__", ".")}"]').fill(value)
    with look.page.expect_navigation():
        look.find("main button.main").click()


@pytest.mark.parametrize("language", ["nl", "en"])
def test_settings_are_changed_and_what_changed_is_told(look: Look, world: World, language: Language) -> None:
    run_sql("UPDATE tenant SET interval_seconds = 3600, name = 'Edita', blackout = '[]' WHERE slug = 'edita'")
    look.open("/tenants/edita/edit", language=language, javascript=False)
    look.find('[name="removals.policy"]').select_option("keep" if language == "nl" else "unenroll")
    hours = "ma-vr 08:00-17:30; zo 22:00-07:00" if language == "nl" else "mon-fri 08:00-17:30; sun 22:00-07:00"
    save(look, interval="30m", name="Edita B.V.", removals__limits__creates_count="7", blackout=hours)
    assert look.page.url.endswith("/tenants/edita/edit")
    found = settings()
    assert found["blackout"] == "mon-fri 08:00-17:30; sun 22:00-07:00"
    assert (found["interval"], found["name"], found["removals.limits.creates_count"]) == ("30m", "Edita B.V.", "7")
    assert found["removals.policy"] == ("keep" if language == "nl" else "unenroll")
    told = look.find(".history").inner_text()
    assert "interval_seconds: 3600 → 1800" in told
    assert f"blackout: {'geen' if language == 'nl' else 'none'} → mon-fri 08:00-17:30; sun 22:00-07:00" in told
    look.open("/tenants/edita", language=language)
    assert hours in look.text()


def test_what_changed_is_told_in_the_readers_language_whoever_recorded_it(look: Look, world: World) -> None:
    run_sql("UPDATE tenant SET webhook_secret = NULL WHERE slug = 'edita'")
    edit.change("edita", {"pluvo.webhook_secret": "geheim"}, edit.read("edita")["version"], "anna")
    run_sql(  # as a release of before recorded it
        "INSERT INTO operator_action (tenant_id, who, verb, detail)"
        """ VALUES (:t, 'bert', 'tenants import', '{"changes": ["course 340: added"]}')""",
        t=world.tenant_id,
    )
    said: list[tuple[Language, str]] = [("nl", "ingesteld"), ("en", "set")]
    for language, word in said:
        look.open("/tenants/edita/edit", language=language)
        assert f"pluvo.webhook_secret: {word}" in look.find(".history").inner_text()
        assert "course 340: added" in look.find(".history").inner_text()
        look.open("/audit", language=language)
        assert f"pluvo.webhook_secret: {word}" in look.text()
        assert "codes" not in look.text()


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("interval", "5s"),
        ("timezone", "Mars/Olympus"),
        ("blackout", "elke dag"),
        ("blackout", "ma-vr 8:00-17:30"),
        ("afas.parallel_calls", "9"),
        ("afas.secret_ends", "morgen"),
        ("pluvo.people_per_call", "veel"),
        ("removals.confirm_after", "99d"),
        ("removals.limits.event_percent", "101"),
        ("name", ""),
    ],
)
def test_a_value_that_cannot_be_is_told_beside_it_and_nothing_is_stored(
    look: Look, world: World, key: str, typed: str
) -> None:
    before = scalar("SELECT to_jsonb(t) FROM tenant t WHERE slug = 'edita'")
    look.open("/tenants/edita/edit", language="nl")
    look.expected.append("status of 422")
    look.find(f'[name="{key}"]').evaluate("one => one.removeAttribute('required')")
    save(look, **{key.replace(".", "__"): typed, "pluvo__calls_per_second": "3"})
    row = look.find(f'.field.wrong [name="{key}"]')
    assert row.input_value() == typed
    assert look.find('[name="pluvo.calls_per_second"]').input_value() == "3"
    assert say("page.wrong_values", "nl") in look.text()
    assert scalar("SELECT to_jsonb(t) FROM tenant t WHERE slug = 'edita'") == before


def test_a_number_without_end_breaks_nothing(look: Look, world: World) -> None:
    look.open("/tenants/edita/edit")
    look.find('[name="version"]').evaluate("one => one.value = '9'.repeat(5000)")
    look.expected.append("status of 409")
    save(look, interval="45m")
    assert "edita was changed by" in look.text()


def test_the_second_of_two_who_change_settings_is_told(look: Look, world: World) -> None:
    look.open("/tenants/edita/edit")
    edit.change("edita", {"interval": "2h"}, edit.read("edita")["version"], "bert")
    look.expected.append("status of 409")
    save(look, interval="45m")
    assert "edita was changed by bert meanwhile" in look.text()
    assert settings()["interval"] == "2h"
    assert look.find('[name="interval"]').input_value() == "45m"
    # and sees what the other one stored, before it is written over
    assert say("edit.stored_now", "en", value="2h") in look.text()
    assert look.find(".field.wrong").count() == 1
    save(look)
    assert settings()["interval"] == "45m"


def test_the_secret_of_webhooks_is_taken_and_never_shown(look: Look, world: World) -> None:
    look.open("/tenants/edita/edit")
    save(look, pluvo__webhook_secret="webhook-geheim")
    assert "webhook-geheim" not in look.page.content()
    assert scalar("SELECT webhook_secret IS NOT NULL FROM tenant WHERE slug = 'edita'") is True
    save(look, interval="1h")
    assert scalar("SELECT webhook_secret IS NOT NULL FROM tenant WHERE slug = 'edita'") is True


@pytest.mark.parametrize("language", ["nl", "en"])
def test_credentials_are_replaced_when_they_work_and_only_then(look: Look, world: World, language: Language) -> None:
    world.afas.oauth_clients["nieuw"] = OAuthClient(["nieuw-geheim"])
    look.open("/tenants/edita/credentials/afas", language=language, javascript=False)
    look.expected.append("status of 422")
    before = scalar("SELECT afas_client_secret FROM tenant WHERE slug = 'edita'")
    save(look, afas__client_id="nieuw", afas__client_secret="fout-geheim")
    assert str(template("cause.client_refused", language)).partition("{")[0].strip()[:25] in look.text()
    assert look.find('[name="afas.client_id"]').input_value() == "nieuw"
    assert "fout-geheim" not in look.page.content()
    assert scalar("SELECT afas_client_secret FROM tenant WHERE slug = 'edita'") == before
    save(look, afas__client_id="nieuw", afas__client_secret="nieuw-geheim", afas__secret_ends="2027-05-01")
    assert say("keys.done", language, system="AFAS") in look.text()
    assert say("keys.ends", language, day="2027-05-01") in look.text()
    assert manage.show("edita")["afas"]["client_id"] == "nieuw"


def test_the_second_of_two_who_replace_credentials_is_told_who_was_first(look: Look, world: World) -> None:
    world.afas.oauth_clients["eerste"] = OAuthClient(["eerste-geheim"])
    look.open("/tenants/edita/credentials/afas", language="nl")
    draft = onboarding_credentials.credentials_of("edita", "afas")
    typed = {"afas.auth": "oauth", "afas.client_id": "eerste", "afas.client_secret": "eerste-geheim"}
    draft = onboarding_steps.answered(draft, typed | {"afas.secret_ends": ""}, "carol")
    onboarding_credentials.change_credentials(draft, "afas", "carol")
    before = scalar("SELECT afas_client_secret FROM tenant WHERE slug = 'edita'")
    world.afas.oauth_clients["tweede"] = OAuthClient(["tweede-geheim"])
    look.expected.append("status of 409")
    save(look, afas__client_id="tweede", afas__client_secret="tweede-geheim")
    assert "edita is ondertussen gewijzigd door carol" in look.text()
    assert look.find('[name="afas.client_id"]').input_value() == "tweede"
    assert "tweede-geheim" not in look.page.content()
    assert scalar("SELECT afas_client_secret FROM tenant WHERE slug = 'edita'") == before
    # who was told may go on
    save(look, afas__client_id="tweede", afas__client_secret="tweede-geheim")
    assert say("keys.done", "nl", system="AFAS") in look.text()


def test_credentials_of_pluvo_are_replaced_too(look: Look, world: World) -> None:
    world.pluvo.clients["nieuw"] = ApiClient("pluvo-geheim")
    look.open("/tenants/edita/credentials")
    look.find('a[href$="/credentials/pluvo"]').click()
    save(look, pluvo__client_id="nieuw", pluvo__client_secret="pluvo-geheim")
    assert say("keys.done", "en", system="Pluvo") in look.text()
    assert manage.show("edita")["pluvo"]["client_id"] == "nieuw"


def test_an_event_is_added_once_all_of_it_is_right(look: Look, world: World) -> None:
    look.open("/tenants/edita/courses/add", language="nl", javascript=False)
    look.expected.append("status of 422")
    save(look, events="999")
    assert "999" in look.find("p.error").inner_text()
    save(look, events="341")
    assert scalar("SELECT count(*) FROM course WHERE event_id = '341' AND tenant_id = :t", t=world.tenant_id) == 0
    save(look, target__341="nergens")
    assert look.find("p.error").count() == 1
    save(look, target__341="afas-341", title__341="Training 341")
    assert say("add.done", "nl") in look.text()
    assert scalar("SELECT active FROM course WHERE event_id = '341' AND tenant_id = :t", t=world.tenant_id) is True


@pytest.mark.parametrize("language", ["nl", "en"])
def test_a_course_is_changed_and_the_next_step_is_a_preview(look: Look, world: World, language: Language) -> None:
    ref = f"groep-{language}"
    world.pluvo.add_group("Groep", ref)
    look.open("/tenants/edita/courses/340", language=language, javascript=False)
    look.find("a[href$='/courses/340/edit']").click()
    save(look, pluvo__group_ref=ref, pluvo__offer_event_ref="", fields__email_secondary="Email_anders")
    assert look.page.url.partition("?")[0].endswith("/tenants/edita/courses/340")
    assert say("course_edit.done", language) in look.text()
    found = export.document("edita")["courses"][0]
    assert (found["pluvo"].get("group_ref"), found["pluvo"].get("offer_event_ref")) == (ref, None)
    assert found["fields"]["email_secondary"] == "Email_anders"
    look.open("/tenants/edita/edit", language=language)
    assert say("did.courses_edit", language) in look.find(".history").inner_text()
    look.open("/tenants/edita/courses/340", language=language, javascript=False)
    with look.page.expect_navigation():
        look.find("form[action='/previews'] button").click()
    assert "/previews/" in look.page.url


def test_a_course_that_could_not_be_is_told_and_the_second_is_told_who_was_first(look: Look, world: World) -> None:
    before = export.document("edita")["courses"]
    look.open("/tenants/edita/courses/340/edit")
    look.expected += ["status of 422", "status of 409"]
    save(look, pluvo__offer_event_ref="", pluvo__group_ref="", fields__name='"><img src=x onerror=alert(1)>')
    assert look.find(".field.wrong [name='pluvo.offer_event_ref']").count() == 1
    assert look.find("[name='fields.name']").input_value() == '"><img src=x onerror=alert(1)>'
    save(look, pluvo__offer_event_ref="afas-340", fields__internal_id="Deelnemer.Id", fields__name="Naam")
    assert look.find(".field.wrong [name='fields.internal_id']").count() == 1
    assert export.document("edita")["courses"] == before
    edit.change("edita", {"interval": "3h"}, edit.read("edita")["version"], "bert")
    save(look, fields__internal_id="Intern_ID", pluvo__offer_event_ref="afas-340")
    assert "edita was changed by bert meanwhile, at " in look.text()
    save(look)
    assert export.document("edita")["courses"][0]["pluvo"]["offer_event_ref"] == "afas-340"


def test_a_course_of_a_rule_or_none_has_no_page_to_change_it(look: Look, world: World) -> None:
    look.open("/tenants/edita/courses/999/edit", status=404)
    assert "edita has no active course 999" in look.text()


def test_another_tenant_is_not_there_and_a_draft_is_no_tenant(look: Look, world: World) -> None:
    for path in ("edit", "credentials", "credentials/afas", "courses/add"):
        look.open(f"/tenants/nobody/{path}", status=404)
    assert onboarding_store.listing() is not None


@pytest.mark.parametrize(
    "path", ["edit", "credentials", "credentials/afas", "credentials/pluvo", "courses/add", "courses/340/edit"]
)
def test_the_pages_can_be_used_by_everybody(look: Look, world: World, axe: Callable[[Look], None], path: str) -> None:
    for language, theme, width in (("nl", "light", WIDE), ("en", "dark", NARROW)):
        look.open(f"/tenants/edita/{path}", language=language, theme=theme, width=width)
        axe(look)
        look.shot(f"tenant-{path.replace('/', '-')}-{theme}-{width}")
