"""Runs, previews and holds in the browser: looked at, stopped, carried out, released and refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ops import holds
from ops.runs import batches, history, previews, start
from tests.browser.desk import Desk
from tests.browser.look import Look
from tests.browser.seed import EVENT, HOSTILE
from tests.fixtures.world import World, now_removals
from tests.integration.ops.conftest import run_sql, scalar

Check = Callable[[Look], None]


def newest(slug: str, direction: str) -> str:
    """The newest run of a tenant."""
    return str(history.listing(1, tenant=slug, direction=direction).items[0]["id"])


def open_hold(slug: str) -> str:
    """The newest hold of a tenant that is open."""
    return str(holds.listing(1, tenant=slug, state="open").items[0]["id"])


def held(desk: Desk, slug: str, leavers: int = 4) -> World:
    """A tenant of thirty people of whom some leave at once, which a guard holds."""
    world = desk.tenant(slug)
    world.set_tenant(removals=now_removals(event_count=3, event_percent=0))
    for number in range(1, 31):
        world.person(number, EVENT)
    desk.sync(slug)
    for number in range(1, leavers + 1):
        world.afas.remove(EVENT, number)
    desk.sync(slug)
    return world


@pytest.fixture(scope="module")
def preview(desk: Desk) -> str:
    """Of a tenant whose people have names that are attacks, before its first run."""
    world = desk.tenant("looked-at")
    for number, name in enumerate(HOSTILE, 1):
        world.person(number, EVENT, name=name)
    for number in range(10, 20):
        world.person(number, EVENT)
    world.person(30, EVENT, email_primary="")
    world.pluvo.add_user("p10@example.nl", "Persoon 10")
    world.pluvo.add_user("docent@example.org", "<script>alert(9)</script>")
    started = previews.begin(["looked-at"], everyone=False, options={}, need_worker=True)
    assert start.wait(started, 120)
    return started.run_ids[0]


@pytest.fixture(scope="module")
def places(desk: Desk, preview: str) -> dict[str, str]:
    """Something on each page."""
    return {
        "runs": "/runs",
        "run": f"/runs/{newest('acme', 'enrollments')}",
        "run-dates": f"/runs/{newest('acme', 'completions')}",
        "preview": f"/previews/{preview}",
        "batches": "/batches",
        "batch": f"/batches/{batches.full_id('last')}",
        "holds": "/holds",
        "hold": f"/holds/{open_hold('acme')}",
    }


@pytest.mark.parametrize("name", ["runs", "run", "run-dates", "preview", "batches", "batch", "holds", "hold"])
def test_everybody_can_use_it(look: Look, axe: Check, places: dict[str, str], name: str) -> None:
    for seen in look.walk(places[name]):
        axe(look)
        look.shot(f"{name}-{seen}")
        assert look.too_wide() <= 0, "nothing makes the page wider"


WORDS = {
    "runs": (["Runs", "the timetable", "Enrollments", "done"], ["Runs", "de dienstregeling", "Inschrijvingen"]),
    "run": (["Read", "Judge", "Plan", "Apply", "Verify", "Lines"], ["Lezen", "Beoordelen", "Uitvoeren", "Controleren"]),
    "preview": (
        ["Run exactly this: 15 changes", "First run", "accounts only in Pluvo", "within the limit"],
        ["Voer precies dit uit: 15 wijzigingen", "Eerste run", "accounts alleen in Pluvo", "binnen de grens"],
    ),
    "batches": (["Batches", "Tenants done", "2 / 2", "done"], ["Batches", "Tenants klaar", "2 / 2", "klaar"]),
    "batch": (
        ["2 of 2 tenants are done", "Needs somebody", "6 held", "acme", "beta", "koppeling batches show"],
        ["2 van 2 tenants zijn klaar", "Heeft iemand nodig", "6 vastgehouden", "acme", "beta"],
    ),
    "holds": (["Held back", "a short listing", "20 rows"], ["Vastgehouden", "een korte lijst", "20 rijen"]),
    "hold": (
        ["Is it real?", "doubted below 80 %", "If released now, 6 of 6 go on", "Release all 6 removals", "Refuse"],
        ["Klopt het?", "onder 80 % wordt getwijfeld", "Geef alle 6 uitschrijvingen vrij", "Weigeren"],
    ),
}


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("language", ["en", "nl"])
def test_it_speaks_both_languages(look: Look, places: dict[str, str], name: str, language: str) -> None:
    look.open(places[name], language=language)
    text = look.find("body").inner_text()
    for word in WORDS[name][language == "nl"]:
        assert word in text


@pytest.mark.parametrize(
    ("language", "nothing", "again", "took", "lines"),
    [
        (
            "en",
            "Nothing was done: it was refused while it read",
            "begun again by itself",
            "less than a second",
            "no plan",
        ),
        ("nl", "Er is niets gedaan: het lezen werd geweigerd", "vanzelf opnieuw", "minder dan een seconde", "een plan"),
    ],
)
def test_a_run_that_was_refused_says_what_became_of_it_and_what_to_do(
    look: Look, *, language: str, nothing: str, again: str, took: str, lines: str
) -> None:
    refused = newest("gamma", "enrollments")
    run_sql("UPDATE run SET started_at = finished_at - interval '20 ms' WHERE id = :run", run=refused)
    look.open(f"/runs/{refused}", language=language)
    for said in (nothing, again, took, lines):
        assert said in look.text()
    assert "counted yet" not in look.text()
    assert look.find("form.filters").count() == 0
    look.shot(f"run-refused-{language}")
    look.find("main a[href='/tenants/gamma']").first.click()
    assert look.page.url.endswith("/tenants/gamma")


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("quarantined", "secret_damaged", "A stored secret of this tenant is damaged"),
        ("quarantined", "settings_unread", "The stored settings of this tenant can't be read"),
        ("failed", "crashed", "It broke off three times"),
        ("failed", "internal_error: KeyError at x.py:3", "Koppeling itself went wrong"),
        ("stopped", None, "Nothing was done before it stopped"),
        ("done", None, "There was nothing to do"),
    ],
)
def test_however_a_run_without_outcomes_ended_a_sentence_says_so(
    look: Look, status: str, reason: str | None, said: str
) -> None:
    refused = newest("gamma", "enrollments")
    before = scalar("SELECT ARRAY[status, reason] FROM run WHERE id = :run", run=refused)
    run_sql("UPDATE run SET status = :s, reason = :r WHERE id = :run", run=refused, s=status, r=reason)
    try:
        look.open(f"/runs/{refused}", language="en")
        assert said in look.text()
        assert "counted yet" not in look.text()
    finally:
        run_sql("UPDATE run SET status = :s, reason = :r WHERE id = :run", run=refused, s=before[0], r=before[1])


def test_names_that_are_attacks_are_only_names(look: Look, places: dict[str, str]) -> None:
    look.open(places["preview"])
    text = look.text()
    for name in HOSTILE[:3]:
        assert name in text
    assert look.find("main script, main img").count() == 0


def test_a_segment_of_the_bar_opens_its_lines(look: Look, places: dict[str, str]) -> None:
    page = look.open(places["preview"])
    page.click(".legend a:has-text('rejected')")
    page.wait_for_url("**outcome=rejected*")
    rows = page.locator("#lines tbody tr")
    assert rows.count() == 1
    assert "30" in rows.first.inner_text()
    page.click("#lines .filters a")
    assert page.locator("#lines tbody tr").count() > 10


@pytest.mark.parametrize("javascript", [True, False])
def test_a_preview_is_asked_for_and_carried_out(desk: Desk, look: Look, javascript: bool) -> None:
    slug = f"exactly-{'with' if javascript else 'without'}"
    world = desk.tenant(slug)
    for number in range(1, 4):
        world.person(number, EVENT)
    page = look.open(f"/tenants/{slug}", javascript=javascript)
    page.click("form[action='/previews'] button")
    page.wait_for_url("**/previews/*")
    execute = page.locator("form[action$='/execute'] button")
    for _ in range(240):  # with JavaScript the page goes on by itself, without it has a link
        if execute.count():
            break
        if not javascript and page.locator("a.refresh").count():
            page.click("a.refresh")
        page.wait_for_timeout(250)
    assert execute.inner_text() == "Run exactly this: 3 changes"
    execute.click()
    page.wait_for_url("**/runs/*")
    for _ in range(240):
        if "Run again" in look.text():
            break
        if not javascript:
            look.again()
        page.wait_for_timeout(250)
    assert "exactly a preview" in look.text()
    assert world.roster()[str(EVENT)] == {f"p{number}@example.nl" for number in range(1, 4)}
    if javascript:
        look.shot("run-done")


def test_a_run_is_stopped_from_its_page(desk: Desk, look: Look) -> None:
    world = desk.tenant("to-stop")
    for number in range(1, 4):
        world.person(number, EVENT)
    # given an AFAS that answers slowly, so that there is time to stop it
    world.fault("afas", "delay", tenant=world.afas.member_id, seconds=2, times=8)
    page = look.open("/tenants/to-stop")
    page.click("form[action='/tenants/to-stop/run'] button >> nth=0")
    page.wait_for_url("**/runs/*")
    page.click("form[action$='/stop'] button")
    page.wait_for_selector("form[action$='/again']", timeout=60_000)
    assert "stopped" in page.locator(".head").first.inner_text()
    assert "stopped the run" in look.again().inner_text("main")
    assert world.roster()[str(EVENT)] == set()


def test_a_run_that_nobody_looks_at_keeps_no_connection_and_is_followed_again(desk: Desk, look: Look) -> None:
    world = desk.tenant("unseen")
    world.person(1, EVENT)
    # given an AFAS that answers slowly, so that the run is under way for a while
    world.fault("afas", "delay", tenant=world.afas.member_id, seconds=2, times=4)
    page = look.open("/tenants/unseen")
    page.click("form[action='/tenants/unseen/run'] button >> nth=0")
    page.wait_for_url("**/runs/*")
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    assert page.evaluate("streams.size") == 1
    page.evaluate(hide, True)
    assert page.evaluate("streams.size") == 0
    page.evaluate(hide, False)
    assert page.evaluate("streams.size") == 1
    page.wait_for_selector("form[action$='/again']", timeout=60_000)


@pytest.mark.parametrize("javascript", [True, False])
def test_some_of_a_hold_is_released_and_the_rest_refused(desk: Desk, look: Look, javascript: bool) -> None:
    slug = f"held-{'with' if javascript else 'without'}"
    world = held(desk, slug)
    # somebody is back by now: the newest listing says so
    world.person(4, EVENT)
    desk.sync(slug, person="4")
    place = f"/holds/{open_hold(slug)}"
    page = look.open(place, javascript=javascript)
    release = page.locator("button[value=chosen]")
    assert release.inner_text() == "Release the selected removals"
    page.check("tr:has-text('Persoon 2') input[name=line]")
    if javascript:
        assert release.inner_text() == "Release 1 of 3 removals"
        look.shot("hold-chosen")
    page.fill("#f-reason", "she left <b>us</b>")
    release.click()
    page.wait_for_url(f"**{place}")
    assert "released: 1 go on, 0 were dropped, 2 still held" in look.text()
    dropped = page.locator("tr:has-text('Persoon 4')").inner_text()
    assert "dropped" in dropped
    assert "The person is back in AFAS." in dropped
    page.fill("#f-why", "the filter was wrong")
    page.click("form[action$='/refuse'] button")
    page.wait_for_url(f"**{place}")
    assert "the filter was wrong" in look.text()
    assert page.locator("form[action$='/release']").count() == 0
    assert page.locator("b", has_text="us").count() == 0


def test_who_decides_second_is_told_who_was_first(desk: Desk, look: Look) -> None:
    held(desk, "decided-twice")
    hold = open_hold("decided-twice")
    page = look.open(f"/holds/{hold}")
    holds.release(hold, events=[], persons=[], reason="they left", who="anna")
    page.fill("#f-reason", "mine")
    look.expect(409)
    page.click("button[value=all]")
    assert "is released already, by anna" in page.locator("[role=alert]").inner_text()
    assert "they left" in look.text()


def test_a_hold_of_many_lines_is_paged(desk: Desk, look: Look) -> None:
    world = desk.tenant("many-held")
    world.set_tenant(removals=now_removals(event_count=1, event_percent=0))
    for number in range(1, 131):
        world.person(number, EVENT)
    desk.sync("many-held")
    for number in range(1, 111):
        world.afas.remove(EVENT, number)
    desk.sync("many-held")
    page = look.open(f"/holds/{open_hold('many-held')}")
    assert page.locator("#lines tbody tr").count() == 100
    assert page.locator("button[value=all]").inner_text() == "Release all 110 removals"
    page.check("#lines tbody tr >> nth=0 >> input")
    assert page.locator("button[value=chosen]").inner_text() == "Release 1 of 110 removals"
    page.click("a[rel=next]")
    assert page.locator("#lines tbody tr").count() == 10
