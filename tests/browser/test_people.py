"""People in a browser: found without their names in an address, explained, decided about, linked from a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.people import links, links_check
from tests.browser.desk import Desk
from tests.browser.look import Look
from tests.browser.seed import HOSTILE

Axe = Callable[[Look], None]


def search(look: Look, words: str) -> None:
    look.find("#f-q").fill(words)
    look.find("main form.filters button").click()


# ------------------------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize(
    ("language", "title", "nobody"), [("nl", "Mensen", "Niemand past"), ("en", "People", "Nobody")]
)
def test_people_are_searched_in_both_languages_and_no_address_names_them(
    look: Look, language: str, title: str, nobody: str
) -> None:
    look.open("/people", language=language)
    assert look.page.inner_text("h1") == title
    search(look, "persoon")
    assert re.fullmatch(r".*/people\?search=[0-9A-Z]{26}", look.page.url)
    assert "Persoon 12" in look.text()
    look.shot(f"people-{language}")
    search(look, "qwertzuiop")
    assert nobody in look.text()
    assert "qwertz" not in look.page.url


def test_an_id_leads_straight_to_the_person_from_any_page(look: Look) -> None:
    look.open("/", javascript=False)
    look.find("#search").fill("p3@example.nl")
    look.find("#search").press("Enter")
    # two tenants have somebody with that address
    assert "/people?search=" in look.page.url
    look.open("/people", javascript=False)
    look.find("#f-q").fill("p12@example.nl")
    look.find("#f-tenant").fill("acme")
    look.find("main form.filters button").click()
    assert look.page.url.endswith("/tenants/acme/people/12")


def test_hostile_names_are_found_and_shown_as_they_are(look: Look, desk: Desk) -> None:
    world = desk.tenant("hostile")
    for number, name in enumerate(HOSTILE, 80):
        world.person(number, name=name)
    desk.sync("hostile")
    for number, name in enumerate(HOSTILE, 80):
        look.open("/people?tenant=hostile")
        search(look, name[:190])
        assert look.page.url.endswith(f"/tenants/hostile/people/{number}")
        assert look.page.inner_text("h1")[:60] == name[:60]
        assert look.find("main script, main img").count() == 0


def test_what_is_refused_is_said_beside_what_was_typed(look: Look) -> None:
    look.open("/people", language="nl", javascript=False)
    look.expected.append("status of 422")
    look.find("#f-q").fill("a b c d e f g h i j")
    look.find("main form.filters button").click()
    assert "te lang" in look.text()
    assert look.find("#f-q").input_value() == "a b c d e f g h i j"


def test_a_search_of_somebody_else_or_of_yesterday_is_over(look: Look) -> None:
    look.open("/people?search=01J00000000000000000000000", status=404)
    assert "search again" in look.text()


# ------------------------------------------------------------------------------------------------------------- a person


def test_what_pluvo_refused_is_not_told_as_an_operators_decision(look: Look) -> None:
    look.open("/tenants/acme/people/41")
    assert "Pluvo refuses this record." in look.find(".lead").inner_text()
    assert "Pluvo refuses this record." in look.find("#timeline").inner_text()
    assert "An operator refused" not in look.text()


@pytest.mark.parametrize("language", ["nl", "en"])
def test_a_person_has_one_sentence_both_sides_and_one_time_line(look: Look, language: str) -> None:
    look.open("/tenants/acme/people/6", language=language)
    assert look.page.inner_text("h1") == "Persoon 6"
    assert look.find(".lead").count() == 1
    told = look.page.inner_text("#timeline")
    for word in ("Planned", "Called", "Completed", "Written") if language == "en" else ("Gepland", "Voltooid"):
        assert word in told
    assert "p6@example.nl" in look.text()
    # who looked is written down, and shown
    assert "local" in look.again().inner_text(".history")
    look.shot(f"person-{language}")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("people", "/people"),
        ("person", "/tenants/acme/people/1"),
        ("unseen", "/tenants/acme/people/1070?ask=true"),
        ("ambiguous", "/ambiguous"),
        ("decide", "/tenants/acme/people/31/decide"),
        ("links", "/links"),
        ("import", "/links/import"),
    ],
)
def test_everybody_can_use_these_pages(look: Look, axe: Axe, name: str, path: str) -> None:
    for seen in look.walk(path):
        axe(look)
        assert look.too_wide() <= 0, "the page is wider than the screen"
        look.shot(f"{name}-{seen}")


@pytest.mark.parametrize("number", range(1, 6))
def test_hostile_names_are_harmless_on_a_persons_page(look: Look, number: int) -> None:
    look.open(f"/tenants/acme/people/{number}")
    assert look.find("h1 bdi").count() == 1
    assert look.find("main script, main img").count() == 0
    assert "49" not in look.page.inner_text("h1")


def test_a_person_is_worked_on_now_without_javascript(look: Look, desk: Desk) -> None:
    world = desk.tenant("sync")
    world.person(80)
    desk.sync("sync")
    world.afas.rename(80, "Nieuwe Naam")
    look.open("/tenants/sync/people/80", javascript=False)
    look.find("button[value=sync]").first.click()
    assert "A run for this person is asked for" in look.text()
    desk.sync("sync", person="80")
    look.page.goto(f"{desk.url}/tenants/sync/people/80")
    assert "Nieuwe Naam" in look.text()


def test_erasing_needs_a_reason_and_leaves_nobody_to_be_found(look: Look, desk: Desk) -> None:
    world = desk.tenant("erase")
    world.person(80, name="Quirijn Zoek")
    world.person(81)
    desk.sync("erase")
    look.open("/tenants/erase/people/80", javascript=False)
    look.find(
        "summary",
    ).filter(has_text="Erase the person").click()
    look.find("#f-erase").select_option("asked")
    look.find(
        "button",
    ).filter(has_text="Erase 80 for good").click()
    assert "erased from erase" in look.text()
    search(look, "quirijn zoek")
    assert "Nobody fits" in look.text()
    assert world.rows("SELECT id FROM person WHERE internal_id = '80' AND tenant_id = :t", t=world.tenant_id) == []


def test_who_was_never_seen_gets_causes_and_afas_is_asked(look: Look, desk: Desk) -> None:
    world = desk.tenant("unseen")
    world.person(80)
    desk.sync("unseen")
    world.person(1070, 555)
    look.open("/people", language="nl", javascript=False)
    search(look, "1070")
    look.find("input[name=tenant]").last.fill("unseen")
    look.find("main .empty button").click()
    assert look.page.url.endswith("/tenants/unseen/people/1070")
    assert "Waarschijnlijke oorzaken" in look.text()
    look.find("button[name=ask]").click()
    assert "1070 zit in evenement 555, dat niet gekoppeld is." in look.text()
    look.shot("unseen-asked-nl")


@pytest.mark.parametrize("path", ["/tenants/nope/people/1", "/tenants/acme/people/a@example.nl"])
def test_what_is_not_there_is_told_as_such(look: Look, path: str) -> None:
    look.open(path, status=404)


# ----------------------------------------------------------------------------------------------------------- a decision


@pytest.mark.parametrize(("language", "words"), [("nl", "Van wie is het account?"), ("en", "Whose account is it?")])
def test_who_waits_for_a_decision_is_listed_with_the_reason(look: Look, language: str, words: str) -> None:
    look.open("/ambiguous?tenant=acme", language=language)
    assert look.page.inner_text("h1") == words
    assert "Persoon 31" in look.text()


def test_a_decision_shows_what_follows_and_stays_on_the_page(look: Look, desk: Desk) -> None:
    world = desk.tenant("decide")
    for number in (80, 81):
        world.person(number, name="<img src=x onerror=alert(1)>")
        world.pluvo.add_user(f"p{number}@example.nl", '"><script>alert(1)</script>', afasContactId=f"9{number}")
    desk.sync("decide")
    look.open("/ambiguous?tenant=decide", javascript=False)
    look.find("tbody a").first.click()
    assert "In Pluvo it gets the name" in look.text()
    assert "No account can be made" in look.text()
    look.find("button").filter(has_text="Link to this account").click()
    assert "It is decided." in look.text()
    assert "This is the account that 80 has." in look.text()
    look.shot("decided")
    look.find("a").filter(has_text="Next person").click()
    assert look.page.url.endswith("/tenants/decide/people/81/decide")


def test_who_decides_second_is_told_who_was_first(look: Look, desk: Desk) -> None:
    world = desk.tenant("second")
    world.person(80)
    world.pluvo.add_user("p80@example.nl", "Iemand", afasContactId="980")
    desk.sync("second")
    look.open("/tenants/second/people/80/decide", language="nl", javascript=False)
    links_check.decide_checked("second", "80", "ignore", None, who="anna", reason=None)
    look.expected.append("status of 409")
    look.find("#f-reason").fill("zeker weten")
    look.find("button").filter(has_text="Koppel aan dit account").click()
    assert "anna besliste als eerste over 80" in look.text()
    assert look.find("#f-reason").input_value() == "zeker weten"
    assert links.show("second", "80")["state"] == "ignored"


# ---------------------------------------------------------------------------------------------------------------- links


def test_somebody_is_linked_and_the_link_removed(look: Look, desk: Desk) -> None:
    world = desk.tenant("mapping")
    account = world.pluvo.add_user("anna@example.nl", "Anna Bos")["id"]
    look.open("/links?tenant=mapping", javascript=False)
    look.find("#f-set-tenant").fill("mapping")
    look.find("#f-internal_id").fill("0080")
    look.find("#f-pluvo_id").fill(account)
    look.find("button").filter(has_text=re.compile("^Link$")).click()
    assert look.page.url.endswith("/tenants/mapping/people/80")
    look.find("summary").filter(has_text="Remove the link").click()
    look.find("#f-reason").fill("a mistake")
    look.find("button.risky").filter(has_text="Remove the link").click()
    assert links.show("mapping", "80")["state"] is None
    assert "removed the link" in look.page.inner_text(".history")


def test_a_refused_link_says_why_beside_what_was_typed(look: Look, desk: Desk) -> None:
    desk.tenant("refused")
    look.open("/links", language="nl", javascript=False)
    look.expected.append("status of 422")
    look.find("#f-set-tenant").fill("refused")
    look.find("#f-internal_id").fill("80")
    look.find("#f-pluvo_id").fill("p.jansen@example.nl")
    look.find("button").filter(has_text=re.compile("^Koppel$")).click()
    assert "is geen Pluvo-id" in look.text()
    assert look.find("#f-internal_id").input_value() == "80"


def test_a_file_is_looked_at_before_it_is_imported(look: Look, axe: Axe, desk: Desk, tmp_path: Path) -> None:
    world = desk.tenant("import")
    one, two = (world.pluvo.add_user(f"a{n}@example.nl", f"A {n}")["id"] for n in (1, 2))
    file = tmp_path / "links.csv"
    file.write_text(f"tenant,internal_id,pluvo_id\nimport,80,{one}\nimport,81,{two}\nimport,<b>82,{two}\n")
    look.open("/links/import", javascript=False)
    look.expected.append("status of 422")
    look.find("#f-file").set_input_files(file)
    look.find("button").filter(has_text="Look at it").click()
    assert "is no internal id" in look.text()
    file.write_text(f"tenant,internal_id,pluvo_id\nimport,80,{one}\nimport,81,{two}\nimport,82,{two}\n")
    look.find("#f-file").set_input_files(file)
    look.find("button").filter(has_text="Look at it").click()
    assert "1 lines can't be imported" in look.text()
    assert links.listing(tenant="import").items == []
    look.find("button").filter(has_text="Look again").click()
    look.shot("import-preview")
    # when somebody links one of them first, then it is shown once more
    links.set_link("import", "80", two, who="bert")
    look.expected.append("status of 409")
    look.find("button").filter(has_text="Import 3 links").click()
    assert "changed since it was looked at: nothing is stored" in look.text()
    assert f"was linked to {two}" in look.text()
    look.find("button").filter(has_text="Import 3 links").click()
    assert "Imported: 2 linked, 1 moved" in look.text()
    assert [item["internal_id"] for item in links.listing(tenant="import").items] == ["80", "81", "82"]


def test_a_file_that_is_none_or_too_large_is_refused(look: Look, desk: Desk, tmp_path: Path) -> None:
    look.open("/links/import", language="nl")
    look.expected += ["status of 422", "status of 413"]
    for content, told in ((b"\xff\xfe\x00", "geen tekst"), (b"x" * 500_001, "groter dan"), (b"a,b\n", "kop")):
        file = tmp_path / "links.csv"
        file.write_bytes(content)
        look.find("#f-file").set_input_files(file)
        look.find("button").filter(has_text="Bekijk het").click()
        assert told in look.text()
