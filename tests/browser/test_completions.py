"""Completions, data quality and who did what in the browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from models.tenant_settings import AlertSettings
from ops import completions
from simulators.afas.tenant import COMPLETION_FIELD
from tests.browser.desk import Desk
from tests.browser.look import Look
from tests.browser.seed import HOSTILE
from tests.fixtures.world import World

EVENT = 340
NAMES = ("completions", "completions-conflict", "quality", "audit", "completion")
PAGES = ("/completions", "/completions?state=conflict&tenant=acme", "/tenants/acme/quality", "/audit")


def conflict(desk: Desk, slug: str, people: int = 1) -> World:
    """A tenant of its own, where AFAS has another day than Pluvo of so many."""
    world = desk.tenant(slug)
    for number in range(1, people + 1):
        world.person(number, EVENT, name=HOSTILE[number % len(HOSTILE)])
    desk.sync(slug)
    for number in range(1, people + 1):
        user = world.pluvo.find_user(email=f"p{number}@example.nl")
        assert user is not None
        world.pluvo.complete(user["id"], f"Training {EVENT}", "2026-06-30T21:30:00.000Z")
        world.afas.change(EVENT, number, free={COMPLETION_FIELD: "2026-01-31"})
    desk.completions(slug)
    assert completions.counts(slug)["conflict"] == people
    return world


@pytest.mark.parametrize(("language", "words"), [("nl", "Voltooiingen"), ("en", "Completions")])
def test_each_page_is_there_in_both_languages(desk: Desk, look: Look, language: str, words: str) -> None:
    one = completions.listing(1, tenant="acme").items[0]
    for path in (*PAGES, f"/completions/{one['id']}"):
        page = look.open(path, language=language)
        assert page.locator("h1").count() == 1, path
    look.open("/completions", language=language)
    assert words in look.text()


def test_everybody_can_use_them(desk: Desk, look: Look, axe: Callable[[Look], None]) -> None:
    one = completions.listing(1, tenant="acme", state="conflict").items[0]
    for name, path in zip(NAMES, (*PAGES, f"/completions/{one['id']}"), strict=True):
        for seen in look.walk(path):
            axe(look)
            look.shot(f"{name}-{seen}")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_conflict_is_closed_with_a_reason_and_stays_told(desk: Desk, look: Look, javascript: bool) -> None:
    # given
    slug = f"closes-{javascript}".lower()
    conflict(desk, slug)
    one = completions.listing(tenant=slug).items[0]
    page = look.open(f"/completions/{one['id']}", language="en", javascript=javascript)
    assert "AFAS holds 2026-01-31" in look.text()
    # when
    page.locator("summary", has_text="Close").click()
    page.get_by_label("Reason").fill("AFAS has the <b>exam</b>")
    page.get_by_role("button", name="Close: AFAS keeps what it has").click()
    # then
    page.get_by_text("Closed by local").wait_for()
    assert "AFAS has the <b>exam</b>" in look.text()
    assert page.get_by_role("button", name="Close: AFAS keeps what it has").count() == 0
    look.open(f"/completions?tenant={slug}", language="en", javascript=javascript)
    assert "No completion is in this list" in look.text()
    look.open(f"/completions?tenant={slug}&state=closed", language="en", javascript=javascript)
    assert "closed by an operator" in look.text()


@pytest.mark.parametrize("javascript", [True, False])
def test_what_is_ticked_is_tried_again_or_closed(desk: Desk, look: Look, javascript: bool) -> None:
    # given two conflicts, of which one is emptied in AFAS
    slug = f"ticks-{javascript}".lower()
    world = conflict(desk, slug, people=2)
    world.afas.change(EVENT, 1, free={COMPLETION_FIELD: None})
    page = look.open(f"/completions?tenant={slug}", language="en", javascript=javascript)
    look.shot(f"completions-ticks-{javascript}")
    retry, close = ("Try 1 again", "Close 1") if javascript else ("Try again what is chosen", "Close what is chosen")
    # when
    page.locator("tr", has_text="conflict").or_(page.locator("tr", has=page.locator("input[data-row]"))).last.locator(
        "input[data-row]"
    ).check()
    page.get_by_role("button", name=retry).click()
    page.wait_for_load_state()
    assert "Completions" in look.text()
    # then a close without a reason is refused, and what was ticked stays so
    look.open(f"/completions?tenant={slug}&state=conflict", language="en", javascript=javascript)
    page.locator("input[data-row]").first.check()
    look.expected.append("status of 422")
    page.get_by_role("button", name=close).click()
    assert page.locator(".problem").count() == 1
    assert page.locator("input[data-row]").first.is_checked()
    page.get_by_label("Reason, to close").fill("AFAS is right")
    page.get_by_role("button", name=close).click()
    page.wait_for_load_state()
    assert completions.counts(slug)["closed"] == 1


def test_of_two_who_look_at_the_same_the_second_is_told_who_was_first(desk: Desk, look: Look) -> None:
    conflict(desk, "twice")
    one = completions.listing(tenant="twice").items[0]
    page = look.open(f"/completions/{one['id']}", language="nl")
    completions.close([one["id"]], reason="AFAS klopt", who="anna")
    page.locator("summary", has_text="Afsluiten").click()
    page.get_by_label("Reden").fill("ik ook")
    look.expected.append("status of 409")
    page.get_by_role("button", name="Afsluiten: AFAS houdt").click()
    assert "al afgesloten door anna" in look.text()


def test_files_for_a_spreadsheet_are_in_the_language_and_run_no_formula(desk: Desk, look: Look) -> None:
    world = desk.tenant("sheets")
    world.person(1, EVENT, name="=1+1", email_primary="=2+2")
    desk.sync("sheets")
    look.open("/tenants/sheets/quality", language="nl")
    for path in ("/tenants/sheets/quality.csv", "/completions.csv?tenant=acme", "/audit.csv?tenant=acme"):
        answer = look.page.request.get(look.url + path)
        assert answer.ok
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert "attachment" in answer.headers["content-disposition"]
        text = answer.text()
        assert text.startswith("\ufeff")
        assert ";" in text.splitlines()[0]
    assert "'=2+2" in look.page.request.get(look.url + "/tenants/sheets/quality.csv").text()


def test_data_quality_names_who_and_what_to_do_and_hostile_names_are_harmless(desk: Desk, look: Look) -> None:
    world = desk.tenant("poor")
    for number, name in enumerate(HOSTILE, 1):
        world.person(number, EVENT, name=name, email_primary="")
    world.person(9, EVENT, email_primary='"><img src=x onerror=alert(1)>')
    desk.sync("poor")
    page = look.open("/tenants/poor/quality", language="en")
    assert "Enter an e-mail address in AFAS." in look.text()
    assert "<script>alert(1)</script>" in look.text()
    assert page.locator("main img").count() == 0
    page.get_by_role("link", name=re.compile("unusable e-mail address")).click()
    assert "no e-mail address" in look.text()
    assert page.locator("section.card").count() == 1
    look.shot("quality-poor")
    look.open("/tenants/poor/quality?code=nonsense", status=422)
    look.open("/tenants/nobody/quality", status=404)


def test_who_did_what_is_filtered_by_its_form(desk: Desk, look: Look) -> None:
    conflict(desk, "audited")
    one = completions.listing(tenant="audited").items[0]
    completions.close([one["id"]], reason='"><script>alert(3)</script>', who="Ångström & <b>zoon</b>")
    page = look.open("/audit", language="en")
    page.get_by_label("Tenant").fill("audited")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("tenant=audited"))
    assert "Ångström & <b>zoon</b>" in look.text()
    assert '"><script>alert(3)</script>' in look.text()
    page.get_by_role("link", name=f"completion:{one['id']}").click()
    page.wait_for_url(re.compile(f"/completions/{one['id']}"))
    look.open("/audit?since=yesterday", status=422)
    look.open("/audit?cursor=then", status=422)


@pytest.mark.parametrize("javascript", [True, False])
def test_the_list_is_mailed_to_whom_the_tenant_names_or_says_that_there_is_nobody(
    desk: Desk, look: Look, javascript: bool
) -> None:
    slug = f"mails-{javascript}".lower()
    world = desk.tenant(slug)
    world.person(1, EVENT, email_primary="")
    desk.sync(slug)
    page = look.open(f"/tenants/{slug}/quality", language="en", javascript=javascript)
    look.expected.append("status of 422")
    page.get_by_role("button", name="Mail it now").click()
    assert "names nobody who keeps AFAS" in page.locator(".problem").inner_text()
    assert "no e-mail address" in look.text()
    world.set_tenant(alerts=AlertSettings(quality_mail=("afas@example.org",)))
    page.get_by_role("button", name="Mail it now").click()
    page.get_by_text("1 mail goes out").wait_for()
    assert [row["number"] for row in world.rows("SELECT count(*) AS number FROM alert_delivery")] >= [1]
