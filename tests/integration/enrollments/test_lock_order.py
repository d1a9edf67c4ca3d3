"""A run, a worker and an operator's verb may want the same rows at once: they lock them in one order."""

from __future__ import annotations

from typing import LiteralString

from tests.fixtures.beside import beside
from tests.fixtures.world import World, now_removals


def test_a_first_run_and_an_import_of_the_tenants_file_go_on_beside_each_other(world: World) -> None:
    # given
    world.person(80)
    # when an import has the tenant, and then wants its courses
    statements: list[tuple[LiteralString, int | str]] = [
        ("SELECT 1 FROM tenant WHERE id = %s FOR NO KEY UPDATE", world.tenant_id),
        ("SELECT 1 FROM course WHERE tenant_id = %s ORDER BY id FOR NO KEY UPDATE", world.tenant_id),
    ]
    failed = beside(statements, world.begin)
    # then both go on
    assert failed == []
    assert world.rows("SELECT first_complete_at IS NOT NULL AS learnt FROM tenant") == [{"learnt": True}]


def test_courses_are_locked_in_one_order_whatever_their_events(world: World) -> None:
    # given an event with a lower number whose course is the newer one
    world.reset(events=("341", "340"))
    world.person(80, 340)
    world.person(81, 341)
    older, newer = (row["id"] for row in world.rows("SELECT id FROM course ORDER BY id"))
    # when an import has the older course, and then wants the newer
    statements: list[tuple[LiteralString, int | str]] = [
        ("UPDATE course SET active = active WHERE id = %s", older),
        ("UPDATE course SET active = active WHERE id = %s", newer),
    ]
    failed = beside(statements, world.begin)
    # then both go on
    assert failed == []
    assert world.rows("SELECT 1 FROM course WHERE base_rows = 1 AND width > 0") == [{"?column?": 1}] * 2


def test_who_leaves_a_shared_account_is_settled_beside_a_verb_about_both_who_had_it(world: World) -> None:
    # given two people with one account, of whom the primary leaves, who came here last
    world.set_tenant(removals=now_removals())
    world.person(81, 341, name="Samen", email_primary="samen@example.nl")
    world.sync()
    world.person(80, name="Samen", email_primary="samen@example.nl")
    world.person(82)
    world.sync()
    world.afas.set_email(81, "p81@example.nl")
    world.sync()
    world.afas.remove(340, 80)
    world.begin()
    first, then = (
        row["id"] for row in world.rows("SELECT id FROM person WHERE internal_id IN ('80', '81') ORDER BY id")
    )
    world.clear_log()
    # when a verb has the one who came first, and then wants the other
    statements: list[tuple[LiteralString, int | str]] = [
        ("UPDATE person SET seen_at = now() WHERE id = %s", first),
        ("UPDATE person SET seen_at = now() WHERE id = %s", then),
    ]
    failed = beside(statements, world.drain)
    # then both go on, and the worker does not begin again
    assert failed == []
    assert world.writes() == ["unenrollUserFromOfferEvent"]
