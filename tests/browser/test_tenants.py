"""The pages of tenants and courses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ops.tenants import manage
from tests.browser.desk import Desk
from tests.browser.look import Look

Check = Callable[[Look], None]
PATHS = ["/tenants", "/tenants/acme", "/tenants/beta", "/tenants/gamma", "/tenants/acme/courses/340"]


@pytest.mark.parametrize("path", PATHS)
def test_everybody_can_use_them(look: Look, axe: Check, path: str) -> None:
    for seen in look.walk(path, languages=("nl", "en")):
        axe(look)
        look.shot(f"{path[1:].replace('/', '-')}-{seen}")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["stopped by itself", "Failing call", "Next try", "Check now"]),
        ("nl", ["vanzelf gestopt", "Mislukte aanroep", "Volgende poging", "Nu controleren"]),
    ],
)
def test_a_quarantine_says_which_call_failed_since_when_and_when_it_is_tried_again(
    look: Look, language: str, words: list[str]
) -> None:
    look.open("/tenants/gamma", language=language)
    banner = look.find(".quarantine").first.inner_text()
    for word in words:
        assert word in banner


def test_a_quarantine_says_in_words_what_was_refused_and_leads_to_other_credentials(look: Look) -> None:
    look.open("/tenants/gamma")
    code = look.find(".quarantine dd code").last.inner_text()
    assert code.endswith("_refused")
    assert code not in look.find("section.card").first.inner_text()
    look.find(".quarantine a.button.main").click()
    assert look.page.url.endswith("/tenants/gamma/credentials/afas")


def test_what_a_check_tried_stands_there_in_dutch_with_the_tenant_in_commands(look: Look) -> None:
    look.open("/tenants/gamma", language="nl")
    told = look.find("#check").inner_text()
    assert "AFAS-token" in told
    assert "SLUG" not in look.text()


def test_who_looked_at_whom_does_not_push_out_what_was_done_with_a_tenant(desk: Desk, look: Look) -> None:
    desk.tenant("looked-at").person(1)
    desk.sync("looked-at")
    manage.pause("looked-at", reason="kept in sight", direction="completions", who="anna")
    look.open("/tenants/looked-at/people/1")
    look.open("/tenants/looked-at")
    done = look.find(".history").inner_text()
    assert "kept in sight" in done
    assert "looked at" not in done


def test_a_test_environment_is_banded(look: Look) -> None:
    look.open("/tenants/beta")
    assert "TEST environment: nobody is mailed" in look.find(".band").inner_text()
    look.open("/tenants/acme")
    assert look.find(".band").count() == 0


def test_no_secret_stands_on_a_page(look: Look) -> None:
    for path in PATHS:
        look.open(path)
        assert "geheim" not in look.page.content().replace("webhookgeheim", "")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_tenant_is_paused_with_a_reason_resumed_and_run(desk: Desk, look: Look, javascript: bool) -> None:
    slug = f"acts-{'with' if javascript else 'without'}"
    world = desk.tenant(slug)
    world.person(1)
    page = look.open(f"/tenants/{slug}", javascript=javascript)
    page.fill("input[name=reason]", '"><img src=x onerror=alert(1)>')
    page.select_option("select[name=direction]", "completions")
    page.click("form[action$='/pause'] button")
    assert 'Somebody paused it: "><img src=x onerror=alert(1)>' in look.text()

    page.click("form[action$='/resume'] button")
    assert "Somebody paused it" not in look.find("main .cards").first.inner_text()
    assert "local" in look.find(".history").inner_text()

    look.expect(404)
    page.click("form[action$='/run']:has(input[value=enrollments]) button")
    assert "/runs/" in page.url
    runs = world.rows("SELECT trigger FROM run WHERE tenant_id = :id", id=world.tenant_id)
    assert [row["trigger"] for row in runs] == ["operator"]


def test_a_check_is_done_from_the_page_and_what_it_found_stays(desk: Desk, look: Look) -> None:
    desk.tenant("checked", afas_client_secret="wrong")
    page = look.open("/tenants/checked")
    assert "not checked yet" in look.find("#check").inner_text()
    page.click("#check button")
    page.wait_for_url("**/tenants/checked#check")
    found = look.find("#check")
    assert "bad_client" in found.inner_text() or found.locator("tbody tr").count() > 0
    look.again()
    assert look.find("#check tbody tr").count() > 0


def test_a_course_shows_its_columns_beside_those_of_afas_now(look: Look) -> None:
    page = look.open("/tenants/acme/courses/340")
    assert "Intern_ID" in look.text()
    page.get_by_role("button", name="Compare with AFAS now").click()
    page.wait_for_url("**live=1")
    assert "there" in look.find("table:has(caption:has-text('GetConnector'))").inner_text()
    assert "p1@example.nl" not in look.text(), "examples are masked"


def test_a_course_says_what_does_not_go_on_and_leads_there(look: Look) -> None:
    page = look.open("/tenants/acme/courses/340", language="nl")
    assert page.locator("a[href^='/holds/']").count() > 0
    assert page.locator("a[href='/tenants/acme/people/31']").count() == 1
    assert "@example.nl" not in page.content(), "no addresses on this page"
