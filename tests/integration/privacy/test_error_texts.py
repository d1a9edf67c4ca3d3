"""What a system says of a person in an error is kept without the person."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from models.base import new_id
from models.direction import Direction
from models.session import transaction
from producers.completions import producer
from producers.runs.lease import RunLease
from tests.fixtures.looking import traces
from tests.fixtures.world import World

NAME = "Zürich-Köhler, Quirijn van der"
SAID = "Q. van der Zürich-Köhler (quirijn.zk@example.org, bel 06-12345678) van 'Bakkerij' is geblokkeerd"
TRACES = ("Köhler", "Quirijn", "quirijn.zk", "12345678", "Zürich")


@pytest.fixture(autouse=True)
def person(world: World) -> None:
    """Somebody who is enrolled and has finished."""
    world.person(80, name=NAME, email_primary="quirijn.zk@example.org")
    world.sync()
    account = world.user("quirijn.zk@example.org")["id"]
    world.pluvo.complete(account, "Training 340", "2026-06-30T22:30:00Z")


def kept(world: World) -> str:
    """The one dead letter, as an operator gets to see it; nothing of the person is in it or beside it."""
    found = {
        one for one in traces(world, *TRACES) if one.split(".")[0] in ("dead_letter", "message", "tenant_direction")
    }
    assert found == set()
    (letter,) = world.rows("SELECT message, history, last_call FROM dead_letter")
    return json.dumps(letter, ensure_ascii=False)


def test_what_afas_says_of_a_person(world: World) -> None:
    body = json.dumps({"externalMessage": SAID, "profitLogReference": "ABC"})
    world.fault("afas", kind="status", status=500, body=body, match={"operation": "put"})
    run_id = new_id()
    with transaction() as connection:
        connection.execute(
            text(
                """INSERT INTO run (id, batch, tenant_id, direction, trigger, status, fence)
                   VALUES (:id, :id, :tenant, 'completions', 'test', 'running', 1)"""
            ),
            {"id": run_id, "tenant": world.tenant_id},
        )
    producer.run(RunLease(run_id, world.tenant_id, Direction.COMPLETIONS, {}, 1))
    world.drain()

    assert "is geblokkeerd" in kept(world)
    assert "'Bakkerij'" in kept(world)


def test_what_pluvo_says_of_a_person(world: World) -> None:
    world.fault("pluvo", kind="graphql_error", code="BAD_USER_INPUT", message=SAID, match={"operation": "updateUser"})
    world.afas.rename(80, f"{NAME} MSc")
    world.sync()

    assert "is geblokkeerd" in kept(world)


def test_what_waits_for_its_next_try_keeps_no_person_either(world: World) -> None:
    world.fault("pluvo", kind="graphql_error", code="INTERNAL_SERVER_ERROR", message=SAID)
    world.rows("UPDATE tenant SET settings_version = 2 RETURNING id")
    world.afas.rename(80, f"{NAME} MSc")
    world.begin(full=True)
    world.drain()

    assert world.rows("SELECT id FROM message") != []
    assert {one for one in traces(world, *TRACES) if one.startswith(("message.", "enrollment."))} == set()
