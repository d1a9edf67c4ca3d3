"""A run, a worker and an operator's verb may want the same rows at once: they lock them in one order."""

from __future__ import annotations

from typing import LiteralString

from tests.fixtures.beside import beside
from tests.fixtures.world import World


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
