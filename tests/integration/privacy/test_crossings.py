"""Where the database can't refuse a reference to another tenant's row, nobody follows it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.world import World


@pytest.fixture
def foreign(world: World) -> dict[str, Any]:
    """A run with a line, and a message, of another tenant."""
    (tenant,) = world.rows(
        """INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
           VALUES ('borg', 'Borg', 'UTC', 3600, '{"member_id": "67890"}',
                   '{"organisation": "other", "client_id": "koppeling"}')
           RETURNING id"""
    )
    world.rows(
        """INSERT INTO run (id, batch, tenant_id, direction, trigger, status)
           VALUES ('F', 'F', :id, 'enrollments', 'test', 'applying') RETURNING id""",
        **tenant,
    )
    (line,) = world.rows(
        """INSERT INTO plan_line (run_id, tenant_id, action, outcome, internal_id)
           VALUES ('F', :id, 'create', 'pending', '80') RETURNING id""",
        **tenant,
    )
    return {"tenant": tenant["id"], "line": line["id"]}


@pytest.mark.parametrize("what", ["done", "refused", "tried again", "dropped", "planned again"])
def test_a_message_with_another_tenant_s_line_leaves_that_line_alone(
    world: World, foreign: dict[str, Any], what: str
) -> None:
    world.person(80)
    world.begin()
    if what == "refused":
        world.fault("pluvo", kind="graphql_error", code="BAD_USER_INPUT", match={"operation": "createUser"})
    elif what == "tried again":
        world.fault("pluvo", kind="status", status=503)
    elif what == "dropped":
        world.rows("UPDATE course SET active = false RETURNING id")
    world.rows("UPDATE message SET plan_line_id = :line RETURNING id", line=foreign["line"])
    before = world.rows("SELECT * FROM plan_line WHERE id = :line", line=foreign["line"])

    if what == "planned again":
        world.afas.rename(80, "Anders")
        world.begin()
    else:
        world.drain()

    assert world.rows("SELECT * FROM plan_line WHERE id = :line", line=foreign["line"]) == before
