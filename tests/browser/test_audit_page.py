"""Who did what: every verb there is, with all that is recorded of it, in the language of who looks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.session import transaction
from ops import audit
from ops.language import Language
from tests.browser.desk import Desk
from tests.browser.look import NARROW, WIDE, Look
from tests.fixtures.world import World
from tests.unit.ops.test_deeds import DETAILS, RAW, SAME


@pytest.fixture(scope="module")
def recorded(desk: Desk) -> World:
    """A tenant in whose record each verb stands, in every form that its details have."""
    world = desk.tenant("recorded")
    with transaction() as connection:
        for verb, forms in DETAILS.items():
            for detail in forms:
                audit.record(
                    connection, who="anna", verb=verb, tenant_id=world.tenant_id, subject="80", detail=detail or None
                )
    return world


@pytest.mark.parametrize("language", ["en", "nl"])
def test_every_verb_and_its_details_are_sentences_of_the_readers_language(
    recorded: World, look: Look, axe: Callable[[Look], None], language: Language
) -> None:
    look.open("/audit?tenant=recorded", language=language)
    rows = look.find("table.list tbody tr")
    assert rows.count() >= sum(map(len, DETAILS.values()))
    for row in rows.all():
        did, besides = row.locator("td:nth-child(3)"), row.locator("td:nth-child(6)")
        verb = did.locator("code").inner_text()
        said = f"{did.inner_text().removesuffix(verb)} {besides.inner_text()}"
        assert set(RAW.findall(said)) <= SAME[language], f"{verb}: {said}"
        assert did.inner_text().strip() != verb, "a sentence, and the verb below it"
    for theme, width in (("light", WIDE), ("dark", NARROW)):
        look.turn(theme, width)
        axe(look)
        look.shot(f"audit-every-verb-{language}-{theme}-{width}")
