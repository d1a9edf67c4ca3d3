"""A real worker process that lets people share calls to Pluvo: far fewer calls than people, and everybody right."""

from __future__ import annotations

import time
from typing import Any

import pytest

from models.session import session
from models.tenant import Tenant
from tests.fixtures.workers import worker
from tests.fixtures.world import World

SECONDS = 120.0
PEOPLE = 40


def share_calls(world: World, people: int) -> None:
    with session() as opened:
        now = opened.get_one(Tenant, world.tenant_id).pluvo
    world.set_tenant(pluvo=now.model_dump() | {"calls_per_second": 5, "people_per_call": people})
    world.pluvo.change_switches(calls_per_second=5, rate_burst=5)


def until_done(world: World) -> None:
    end = time.monotonic() + SECONDS
    while world.rows("SELECT 1 FROM message"):
        assert time.monotonic() < end, "the messages were not all done in time"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("switches", "most"),
    [({}, PEOPLE // 2), ({"max_root_fields": 9}, PEOPLE - 1)],
    ids=["any document", "four people at most"],
)
def test_newcomers_share_calls_and_each_is_enrolled_once(
    world: World, environment: dict[str, str], switches: dict[str, Any], most: int
) -> None:
    for number in range(1, PEOPLE + 1):
        world.person(number)
    world.pluvo.change_switches(refused_values=["p7@example.nl"], **switches)
    share_calls(world, 10)
    begun = world.begin()
    before = len(world.calls())

    with worker(environment, threads=8):
        until_done(world)

    run = world.run(begun.id)
    assert (run.outcomes["created"], run.outcomes["rejected"] + run.outcomes["failed"]) == (PEOPLE - 1, 1)
    assert world.roster()["340"] == world.expected()["340"] - {"p7@example.nl"}
    assert len(world.pluvo.users) == PEOPLE - 1
    made = [entry for entry in world.calls()[before:] if entry.fields]
    assert len(made) < most
    (counted,) = world.rows("SELECT sum(calls) AS n FROM plan_line WHERE run_id = :run", run=begun.id)
    assert counted["n"] == len(made)
