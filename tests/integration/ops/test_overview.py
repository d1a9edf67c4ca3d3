"""What needs a person over all tenants: sorted by that, in pages, within what one may see, and in few statements."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import event

import settings
from models.session import engine
from ops import access, overview
from ops.access import Actor, Role
from ops.problems import Problem
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql


def neighbour(slug: str, **directions: str) -> int:
    """Another tenant; ``enrollments="quarantined"``."""
    tenant = int(
        run_sql(
            "INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)"
            " VALUES (:slug, :slug, 'Europe/Amsterdam', 3600, '{\"member_id\": \"1\"}', '{}') RETURNING id",
            slug=slug,
        )
    )
    for direction in ("enrollments", "completions"):
        run_sql(
            "INSERT INTO tenant_direction (tenant_id, direction, state, reason) VALUES (:t, :d, :s, 'unauthorized')",
            t=tenant,
            d=direction,
            s=directions.get(direction, "healthy"),
        )
    return tenant


def ambiguous(tenant: int, internal_id: str) -> None:
    run_sql(
        "INSERT INTO link (tenant_id, person_id, state)"
        " SELECT tenant_id, id, 'ambiguous' FROM person WHERE tenant_id = :t AND internal_id = :i",
        t=tenant,
        i=internal_id,
    )


@pytest.fixture
def three(acme: int) -> int:
    """acme with a dead letter and somebody ambiguous; ``stopped`` in quarantine; ``well`` in step."""
    run_sql("UPDATE tenant_direction SET state = 'healthy' WHERE tenant_id = :t", t=acme)
    add_dead_letter(acme, add_enrollment(acme, "80"))
    add_dead_letter(acme, add_enrollment(acme, "81"), 2)
    ambiguous(acme, "81")
    neighbour("stopped", enrollments="quarantined")
    neighbour("well")
    return acme


def slugs(found: overview.Overview) -> list[str]:
    return [item["tenant"] for item in found["items"]]


def test_the_most_urgent_tenant_comes_first_and_who_is_in_step_last(three: int) -> None:
    found = overview.document()
    assert slugs(found) == ["stopped", "acme", "well"]
    assert (found["needing"], found["in_step"], found["resting"]) == (2, 1, 0)
    assert [(need["code"], need["count"]) for need in found["items"][1]["needs"]] == [("dead", 2), ("ambiguous", 1)]
    assert found["tiles"] == {"held_removals": 0, "ambiguous": 1, "dead_letters": 1, "conflicts": 0, "stopped": 1}


def test_pages_have_every_tenant_once_in_that_order(three: int) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        found = overview.document(1, cursor)
        seen += slugs(found)
        cursor = found["next"]
        if cursor is None:
            break
    assert seen == ["stopped", "acme", "well"]


@pytest.mark.parametrize("cursor", ["", "x", "1", "-1.acme", "99999999999.acme", "1."])
def test_a_cursor_that_is_none_is_refused(acme: int, cursor: str) -> None:
    with pytest.raises(Problem):
        overview.document(10, cursor)


def test_a_pause_is_told_and_waits_for_nobody(acme: int) -> None:
    run_sql("UPDATE tenant_direction SET state = 'healthy' WHERE tenant_id = :t", t=acme)
    neighbour("rests", enrollments="paused", completions="paused")
    found = overview.document()
    assert slugs(found) == ["rests", "acme"]
    assert (found["needing"], found["in_step"], found["resting"]) == (0, 1, 1)
    assert found["items"][0]["calm"]
    assert overview.inbox()["items"] == []


def test_who_sees_one_tenant_is_told_of_no_other(three: int) -> None:
    with access.acting(Actor("anna", Role.VIEWER, frozenset({"acme", "well"}))):
        found = overview.document()
        inbox = overview.inbox()
        counted = overview.waiting()
    assert slugs(found) == ["acme", "well"]
    assert found["tiles"]["stopped"] == 0
    assert {one["tenant"] for one in inbox["items"]} == {"acme"}
    assert counted == 2, "one kind of dead letter, one ambiguous person"
    assert "stopped" not in json.dumps([found["items"], inbox], default=str)


def test_the_inbox_has_what_waits_for_a_person_and_since_when_it_is_empty(three: int) -> None:
    found = overview.inbox()
    assert [(one["tenant"], one["need"]["code"]) for one in found["items"]] == [
        ("stopped", "quarantined"),
        ("acme", "dead"),
        ("acme", "ambiguous"),
    ]
    assert overview.waiting() == 3
    run_sql("DELETE FROM dead_letter")
    run_sql("DELETE FROM link")
    run_sql("UPDATE tenant_direction SET state = 'healthy'")
    emptied = overview.inbox()
    assert emptied["items"] == []
    assert emptied["last_at"] is not None, "the import was the last thing somebody did"


def test_more_tenants_need_no_more_statements(three: int, configured: settings.Settings) -> None:
    counted: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        counted.append(statement)

    def statements() -> int:
        counted.clear()
        overview.document()
        return len(counted)

    event.listen(engine(), "before_cursor_execute", count)
    try:
        few = statements()
        for number in range(30):
            add_dead_letter(neighbour(f"more-{number}"), add_enrollment(three, f"{500 + number}"), 10 + number)
        assert statements() == few
    finally:
        event.remove(engine(), "before_cursor_execute", count)
