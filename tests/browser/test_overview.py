"""The overview and the inbox: what needs a person, and what can be done from there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.desk import Desk
from tests.browser.look import Look

Check = Callable[[Look], None]


@pytest.mark.parametrize("path", ["/", "/inbox"])
def test_everybody_can_use_it(look: Look, axe: Check, path: str) -> None:
    for seen in look.walk(path):
        axe(look)
        look.shot(f"{'overview' if path == '/' else 'inbox'}-{seen}")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["need you", "removals held", "dead letters", "ambiguous people", "Enrollments stopped by itself"]),
        (
            "nl",
            ["vragen aandacht", "uitschrijvingen vastgehouden", "dead letters", "onzekere personen", "vanzelf gestopt"],
        ),
    ],
)
def test_it_says_in_words_what_needs_a_person_the_most_urgent_first(
    look: Look, language: str, words: list[str]
) -> None:
    page = look.open("/", language=language)
    text = look.text()
    for word in words:
        assert word in text
    assert "_refused" not in text, "a code is no sentence"
    slugs = page.locator("table.tenants th[scope=row] a").all_inner_texts()
    assert slugs.index("gamma") < slugs.index("acme") < slugs.index("beta"), "what is stopped comes before what waits"


def test_a_tile_leads_to_what_it_counts_and_others_are_not_there(look: Look) -> None:
    page = look.open("/")
    tiles = page.locator(".tiles a")
    assert {tile.get_attribute("href") for tile in tiles.all()} >= {"/holds", "/ambiguous", "/dead-letters"}
    assert page.locator(".tiles b", has_text="0").filter(has_text="^0$").count() == 0


def test_names_that_are_attacks_are_only_names(look: Look) -> None:
    look.open("/")
    assert "<b>Blauw</b>" in look.find("body").inner_text()
    assert look.find("main b", has_text="Blauw").count() == 0


@pytest.mark.parametrize("javascript", [True, False])
def test_chosen_tenants_are_run_and_paused(desk: Desk, look: Look, javascript: bool) -> None:
    slug = f"chosen-{'with' if javascript else 'without'}"
    world = desk.tenant(slug)
    page = look.open("/", javascript=javascript)
    if not page.locator(f"input[value={slug}]").is_visible():
        page.click("#calm > summary")
    page.check(f"input[name=tenant][value={slug}]")
    page.click("button[value=run]")
    page.wait_for_url("**/?asked=2")
    assert "2 runs were asked for." in look.text()

    if not page.locator(f"input[value={slug}]").is_visible():
        page.click("#calm > summary")
    page.check(f"input[name=tenant][value={slug}]")
    look.expect(422)
    page.click("button[value=pause]")
    assert page.locator("[role=alert]").is_visible(), "a pause needs a reason"
    assert page.is_checked(f"input[name=tenant][value={slug}]"), "what was chosen stays chosen"
    page.fill("input[name=reason]", "the customer moves <b>house</b>")
    page.click("button[value=pause]")
    page.wait_for_url("**/?paused=2")

    states = world.rows("SELECT state, reason FROM tenant_direction WHERE tenant_id = :id", id=world.tenant_id)
    assert [row["state"] for row in states] == ["paused", "paused"]
    assert "the customer moves <b>house</b>" in (page.text_content("main") or "")
    done = world.rows(
        "SELECT who FROM operator_action WHERE tenant_id = :id AND verb LIKE '%pause%'", id=world.tenant_id
    )
    assert [row["who"] for row in done] == ["local"]


def test_the_button_says_how_many_and_rows_are_chosen_by_key(look: Look) -> None:
    page = look.open("/")
    run = page.locator("button[value=run]")
    assert run.is_disabled()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert run.inner_text() == "Run 2 now"
    page.keyboard.press("x")
    assert run.inner_text() == "Run 1 now"


def test_the_inbox_leads_from_each_thing_to_where_it_is_decided(look: Look) -> None:
    page = look.open("/inbox", language="nl")
    text = look.text()
    assert "uitschrijvingen vastgehouden" in text
    places = {link.get_attribute("href") for link in page.locator("td a.button").all()}
    assert {"/holds?tenant=acme", "/dead-letters?tenant=acme", "/ambiguous?tenant=acme", "/tenants/gamma"} <= places
