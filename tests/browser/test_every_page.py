"""Every page there is, from the list of routes itself: in both languages, for everybody, and telling of nobody."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ops import audit, completions, holds
from ops.dead_letters import inbox, replay_batch
from ops.dead_letters.inbox import Filters
from ops.http.needs import NEEDED
from ops.language import SENTENCES, Language, template
from ops.runs import batches, history, previews, start
from ops.tenants import onboarding_store
from ops.tenants.onboarding import Draft
from tests.browser.desk import Desk
from tests.browser.look import NARROW, WIDE, Look
from tests.fixtures.asking import is_page
from tests.integration.ops.conftest import run_sql

Axe = Callable[[Look], None]
# Where names and addresses of people stand, as these pages are about them
OF_PEOPLE = {
    "/people",
    "/tenants/{slug}/people/{person}",
    "/tenants/{slug}/people/{person}/decide",
    "/ambiguous",
    "/holds/{hold_id}",
    "/previews/{run_id}",
    "/dead-letters/{letter}",
    "/tenants/{slug}/quality",
    "/onboard/{slug}/adoption",
    "/links/import",
}
# Pages that no command shows (that of one's own account names one where somebody is logged in)
NO_COMMAND = {"/help", "/api/docs", "/account"}
# Described in English, as the document of the API is
IN_ENGLISH = {"/api/docs"}
PERSON = re.compile(r"Persoon \d|\bp\d+@example\.nl|onerror=alert")


# But for the way in, which tests/browser/test_users_pages.py walks
PAGES = sorted(route.removeprefix("GET ") for route in NEEDED if is_page(route))


@pytest.fixture(scope="module")
def places(desk: Desk) -> dict[str, str]:
    """The address of each page, with something on it."""
    looked_at = previews.begin(["acme"], everyone=False, options={}, need_worker=True)
    assert start.wait(looked_at, 120)
    letter = inbox.choose([], Filters("acme"), everything=False)[0]
    replay = replay_batch.create([letter], who="anna")
    replay_batch.cancel(replay, who="bert")
    alert = run_sql(
        "INSERT INTO alert (tenant_id, kind, text) SELECT id, 'no_room', 'x' FROM tenant WHERE slug = 'acme'"
        " RETURNING id"
    )
    user = run_sql("INSERT INTO console_user (name, role, created_by) VALUES ('vera', 'viewer', 'anna') RETURNING id")
    onboarding_store.give(Draft(), "slug", "every-page", "anna")
    return {
        **{page: page for page in PAGES if "{" not in page},
        "/tenants/{slug}": "/tenants/acme",
        "/tenants/{slug}/courses/{event}": "/tenants/acme/courses/340",
        "/tenants/{slug}/courses/{event}/edit": "/tenants/acme/courses/340/edit",
        "/tenants/{slug}/courses/add": "/tenants/acme/courses/add",
        "/tenants/{slug}/credentials": "/tenants/acme/credentials",
        "/tenants/{slug}/credentials/{system}": "/tenants/acme/credentials/afas",
        "/tenants/{slug}/edit": "/tenants/acme/edit",
        "/tenants/{slug}/quality": "/tenants/acme/quality",
        "/tenants/{slug}/people/{person}": "/tenants/acme/people/1",
        "/tenants/{slug}/people/{person}/decide": "/tenants/acme/people/31/decide",
        "/people": "/people?id=2",
        "/alerts/{number}": f"/alerts/{alert}",
        "/runs/{run_id}": f"/runs/{history.listing(1, tenant='acme', trigger='operator').items[0]['id']}",
        "/batches/{batch}": f"/batches/{batches.full_id('last')}",
        "/previews/{run_id}": f"/previews/{looked_at.run_ids[0]}",
        "/holds/{hold_id}": f"/holds/{holds.listing(1, tenant='acme', state='open').items[0]['id']}",
        "/dead-letters/preview": "/dead-letters/preview?tenant=acme",
        "/dead-letters/{letter}": f"/dead-letters/{letter}",
        "/replays/{batch}": f"/replays/{replay}",
        "/completions/{number}": f"/completions/{completions.listing(1, tenant='acme').items[0]['id']}",
        "/onboard/{slug}": "/onboard/every-page",
        "/onboard/{slug}/{step}": "/onboard/every-page/customer",
        "/onboard/{slug}/live": "/onboard/acme/live",
        "/onboard/{slug}/adoption": "/onboard/delta/adoption",
        "/settings/users/{number}": f"/settings/users/{user}",
    }


def test_no_page_is_forgotten(places: dict[str, str]) -> None:
    assert sorted(places) == sorted(PAGES)
    assert len(PAGES) > 45


# A page in one language, one size and one set of colours, and once more with all three turned
LOOKS: list[tuple[Language, str, int]] = [("nl", "light", WIDE), ("en", "dark", NARROW)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_used_by_everybody_in_both_languages(
    look: Look, axe: Axe, places: dict[str, str], page: str
) -> None:
    for language, theme, width in LOOKS:
        shown = look.open(places[page], language=language, theme=theme, width=width)
        axe(look)
        assert shown.get_attribute("html", "lang") == language
        assert shown.locator("h1").count() == 1
        assert (shown.locator(".terminal").count() == 0) == (page in NO_COMMAND)
        text = shown.inner_text("body")
        assert [sentence for sentence in of_the_other(language) if sentence in text and page not in IN_ENGLISH] == []
        # what people are called is text wherever it stands, and stands on no other page
        assert shown.locator("main script, main img").count() == 0
        if page not in OF_PEOPLE:
            assert PERSON.findall(shown.content()) == []


def of_the_other(language: Language) -> list[str]:
    """Whole sentences that this language does not have."""
    other: Language = "en" if language == "nl" else "nl"
    found = {code: (template(code, other), template(code, language)) for code in SENTENCES}
    ours = " ".join(one if isinstance(one, str) else " ".join(one) for _, one in found.values())
    told = {one for one, _ in found.values() if isinstance(one, str) and one.count(" ") > 2 and "{" not in one}
    return sorted(one for one in told if one not in ours)


def test_who_looked_at_whom_is_recorded_for_each_page_about_one_person(look: Look, places: dict[str, str]) -> None:
    for page, person in (("/tenants/{slug}/people/{person}", "1"), ("/tenants/{slug}/people/{person}/decide", "31")):
        look.open(places[page])
        assert "local" in {one["who"] for one in audit.of(person, "acme") if one["verb"] == "people open"}
