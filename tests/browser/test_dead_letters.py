"""Dead letters in the browser: groups, previews, replays, discards; with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ops.dead_letters import inbox, replay_batch, replays
from ops.dead_letters.inbox import Filters
from ops.tenants import manage
from tests.browser.desk import Desk
from tests.browser.look import NARROW, Look
from tests.browser.seed import HOSTILE
from tests.fixtures.world import World

EVENT = 340


def letters_of(desk: Desk, slug: str, faults: dict[str, int]) -> World:
    """A tenant of its own: so many people whose accounts Pluvo refuses to make, with these words."""
    world = desk.tenant(slug)
    number = 0
    for words, count in faults.items():
        for _ in range(count):
            number += 1
            world.person(number, EVENT, name=HOSTILE[number % len(HOSTILE)])
            world.fault(
                "pluvo",
                "graphql_error",
                tenant=slug,
                match={"operation": "createUser", "body_contains": f"p{number}@example.nl"},
                code="ValidationError",
                message=words,
            )
    desk.sync(slug)
    return world


def first(slug: str) -> str:
    return inbox.choose([], Filters(slug), everything=False)[0]


@pytest.mark.parametrize(("language", "words"), [("nl", "Dead letters"), ("en", "Dead letters")])
def test_each_page_is_there_in_both_languages(desk: Desk, look: Look, language: str, words: str) -> None:
    letter = first("acme")
    group = inbox.groups(Filters("acme", state="open"))[0]["fingerprint"]
    for path in (
        "/dead-letters",
        "/dead-letters?tenant=acme",
        f"/dead-letters?group={group}",
        f"/dead-letters?group={group}&state=discarded",
        f"/dead-letters/preview?group={group}",
        f"/dead-letters/{letter}",
        "/replays",
    ):
        page = look.open(path, language=language)
        assert page.locator("h1").count() == 1, path
    look.open("/dead-letters", language=language)
    assert words in look.text()


def test_a_letter_and_its_attempts_are_told_in_the_readers_language_with_pluvos_own_words(look: Look) -> None:
    look.open(f"/dead-letters/{first('acme')}", language="nl")
    told = look.find(".timeline").first.inner_text()
    assert "Pluvo weigert dit record. ValidationError: " in told
    assert "refuses" not in look.text()


def test_everybody_can_use_them(desk: Desk, look: Look, axe: Callable[[Look], None]) -> None:
    letter = first("acme")
    group = inbox.groups(Filters("acme", state="open"))[0]["fingerprint"]
    for name, path in (
        ("dead-letters", "/dead-letters?tenant=acme"),
        ("dead-letter-group", f"/dead-letters?group={group}&tenant=acme"),
        ("dead-letter", f"/dead-letters/{letter}"),
        ("replay-preview", "/dead-letters/preview?tenant=acme"),
    ):
        for seen in look.walk(path):
            axe(look)
            look.shot(f"{name}-{seen}")


@pytest.mark.parametrize("javascript", [True, False])
def test_an_inbox_of_two_faults_is_emptied_group_by_group(desk: Desk, look: Look, javascript: bool) -> None:
    # given
    slug = f"empties-{javascript}".lower()
    letters_of(desk, slug, {"Enter a valid email address": 3, "No such group": 2})
    page = look.open(f"/dead-letters?tenant={slug}", language="en", javascript=javascript)
    assert page.locator("section.card").count() == 2
    # when one is discarded without a reason, it says so and keeps the form open
    card = page.locator("section.card").first
    card.locator("summary", has_text="Discard 3").click()
    look.expected.append("status of 422")
    if javascript:
        page.evaluate("document.querySelectorAll('[required]').forEach((one) => one.removeAttribute('required'))")
        card.get_by_role("button", name="Discard 3").click()
        assert page.locator(".problem").inner_text().count("reason") >= 1
        card = page.locator("section.card").first
    card.get_by_label("Reason").fill("addresses come from <b>AFAS</b>")
    card.get_by_role("button", name="Discard 3").click()
    # then what was decided stays visible
    page.wait_for_url(re.compile("state=discarded"))
    assert "3 discarded by local" in look.text()
    assert "addresses come from <b>AFAS</b>" in look.text()
    look.open(f"/dead-letters?tenant={slug}", language="en", javascript=javascript)
    assert page.locator("section.card").count() == 1
    page.locator("summary", has_text="Discard 2").click()
    page.get_by_label("Reason").fill("no more")
    page.get_by_role("button", name="Discard 2").click()
    look.open(f"/dead-letters?tenant={slug}", language="en", javascript=javascript)
    assert "No dead letters are open" in look.text()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_few_are_replayed_without_a_word(desk: Desk, look: Look, javascript: bool) -> None:
    # given
    slug = f"few-{javascript}".lower()
    world = letters_of(desk, slug, {"Enter a valid email address": 2})
    world.clear_faults()
    page = look.open(f"/dead-letters?tenant={slug}", language="en", javascript=javascript)
    # when
    page.get_by_role("link", name="Preview a replay of 2").click()
    assert "2 of 2 would be sent again" in look.text()
    assert page.get_by_label("Reason").count() == 0
    page.get_by_role("button", name="Replay 2").click()
    page.wait_for_url(re.compile("/replays/"))
    batch = page.url.rsplit("/", 1)[1]
    replay_batch.drive(batch, until_settled=True, timeout_seconds=60)
    # then
    look.again()
    assert "All 2 are sent; 0 failed again" in look.text()
    assert replays.show(batch)["counts"] == {"done": 2}
    assert inbox.count(Filters(slug))["count"] == 0


def test_many_ask_for_a_reason_and_show_what_fails_again(desk: Desk, look: Look, axe: Callable[[Look], None]) -> None:
    # given more than go without a word; Pluvo still refuses them
    letters_of(desk, "many", {"Enter a valid email address": 27})
    page = look.open("/dead-letters?tenant=many", language="en")
    page.get_by_role("link", name="Preview a replay of 27").click()
    look.shot("replay-preview-many")
    axe(look)
    page.get_by_label("Reason").fill("Pluvo is back")
    page.get_by_label("Rate").fill("20")
    # when
    page.get_by_role("button", name="Replay 27").click()
    page.wait_for_url(re.compile("/replays/"))
    batch = page.url.rsplit("/", 1)[1]
    replay_batch.drive(batch, until_settled=True, timeout_seconds=60)
    # then the canary failed, nothing else was sent, and the page that is open comes to say so by itself
    page.get_by_text("stopped by failures").first.wait_for()
    assert "1 new failure" in look.text()
    assert "Pluvo is back" in look.text()
    shown = replays.show(batch)
    assert (shown["state"], shown["counts"]) == ("stopped", {"failed": 1, "not_sent": 26})
    new = shown["failures"][0]["again"]
    page.get_by_role("link", name=str(new)).click()
    assert "Earlier dead letters of the same work" in look.text()
    look.open(f"/replays/{batch}", theme="dark", width=NARROW)
    axe(look)
    look.shot("replay-stopped-dark-narrow")
    look.open(f"/replays/{batch}", language="nl")
    assert "Pluvo weigert dit record. ValidationError: Enter a valid email address" in look.text()
    assert "refuses" not in look.text()
    look.open(f"/replays/{batch}")
    axe(look)
    look.shot("replay-stopped")


def test_a_replay_under_way_is_cancelled_and_says_by_whom(desk: Desk, look: Look) -> None:
    letters_of(desk, "cancels", {"Enter a valid email address": 3})
    ids = inbox.choose([], Filters("cancels"), everything=False)
    batch = replay_batch.create(ids, rate=0.001, who="anna")
    page = look.open(f"/replays/{batch}", language="en")
    page.get_by_role("button", name="Send nothing more").click()
    page.get_by_text("cancelled it").wait_for()
    assert "cancelled" in look.text()
    assert replays.show(batch)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("language", "button", "title", "first", "again", "way"),
    [
        ("en", "Send nothing more", "Somebody was first", "carol cancelled", "Nothing of this was done", "Look at it"),
        (
            "nl",
            "Niets meer versturen",
            "Iemand was eerder",
            "carol heeft",
            "Hiervan is niets gedaan",
            "Opnieuw bekijken",
        ),
    ],
)
def test_who_comes_second_is_told_who_was_first_and_led_back_to_look(
    desk: Desk, look: Look, *, language: str, button: str, title: str, first: str, again: str, way: str
) -> None:
    slug = f"second-{language}"
    letters_of(desk, slug, {"Enter a valid email address": 2})
    batch = replay_batch.create(inbox.choose([], Filters(slug), everything=False), rate=0.001, who="anna")
    page = look.open(f"/replays/{batch}", language=language, javascript=False)
    replay_batch.cancel(batch, who="carol")
    look.expect(409)
    page.get_by_role("button", name=button).click()
    for said in (title, first, again):
        assert said in look.text()
    look.shot(f"problem-409-{language}")
    look.turn("dark", NARROW)
    look.shot(f"problem-409-{language}-dark")
    page.get_by_role("link", name=way).click()
    assert page.url.endswith(f"/replays/{batch}")
    assert "carol" in look.text()


def test_what_a_pause_kept_from_being_sent_is_told_once_a_replay_is_over(desk: Desk, look: Look) -> None:
    letters_of(desk, "holiday", {"Enter a valid email address": 2})
    batch = replay_batch.create(inbox.choose([], Filters("holiday"), everything=False), who="anna")
    manage.pause("holiday", reason="closed until Monday", direction=None, who="anna")
    replay_batch.advance(batch)
    look.open(f"/replays/{batch}", language="en")
    assert "Over: still open, as they could not be sent: 2 of 2. 0 failed again." in look.text()


def test_what_is_ticked_is_replayed_or_discarded(desk: Desk, look: Look) -> None:
    world = letters_of(desk, "ticks", {"Enter a valid email address": 3})
    group = inbox.groups(Filters("ticks", state="open"))[0]["fingerprint"]
    page = look.open(f"/dead-letters?group={group}&tenant=ticks", language="en")
    look.shot("dead-letter-group-ticks")
    page.locator("input[data-row]").nth(0).check()
    look.expected.append("status of 422")
    page.get_by_role("button", name="Discard 1").click()
    assert page.locator(".problem").count() == 1
    assert page.locator("input[data-row]").nth(0).is_checked()
    page.get_by_label("Reason, to discard").fill("not wanted")
    page.get_by_role("button", name="Discard 1", exact=True).click()
    page.wait_for_url(re.compile("state=discarded"))
    world.clear_faults()
    look.open(f"/dead-letters?group={group}&tenant=ticks", language="en")
    page.locator("input[data-row]").nth(0).check()
    page.get_by_role("button", name="Replay 1", exact=True).click()
    page.wait_for_url(re.compile("/replays/"))


def test_one_letter_shows_its_attempts_and_what_a_remote_typed_is_harmless(desk: Desk, look: Look) -> None:
    hostile = "<img src=x onerror=alert(9)>{{7*7}} \u202egnp"
    world = letters_of(desk, "hostile", {hostile: 1})
    letter = first("hostile")
    page = look.open(f"/dead-letters/{letter}", language="en")
    assert "{{7*7}}" in look.text()
    assert page.locator("main img").count() == 0
    look.shot("dead-letter-hostile")
    page.locator("summary", has_text="The last call").click()
    # when it is replayed and fails again
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_url(re.compile("/dead-letters/"))
    batch = replays.listing(1).items[0]["id"]
    replay_batch.drive(batch, until_settled=True, timeout_seconds=60)
    look.again()
    assert "gave up again as" in look.text()
    # and once Pluvo takes it
    world.clear_faults()
    look.open(f"/dead-letters/{first('hostile')}", language="nl")
    assert "Eerdere dead letters" in look.text()
    for path in ("/dead-letters?group=%3Cscript%3E", "/dead-letters?tenant=nobody", "/dead-letters/nothing"):
        look.open(path, status=404 if "group" not in path else 200)
