"""A tenant whose AFAS hangs holds its own run up, and no other one's."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

from models.direction import Direction
from models.run import PREVIEW
from models.session import transaction
from producers.runs.request import request_run
from tests.fixtures.workers import worker
from tests.fixtures.world import World
from workers.process.connections import RUNNERS
from workers.runs import runner

SECONDS = 120.0
PAGE_SECONDS = 110.0


def ask(world: World, direction: Direction = Direction.ENROLLMENTS, trigger: str = "test") -> str:
    with transaction() as connection:
        return request_run(connection, world.tenant_id, direction, trigger=trigger, options={})


def states(world: World, runs: Sequence[str]) -> list[str]:
    return [row["status"] for row in world.rows("SELECT status FROM run WHERE id = ANY(:ids)", ids=list(runs))]


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.1)


def hanging(world: World, count: int) -> list[World]:
    """So many tenants whose AFAS answers each page after almost two minutes."""
    members = [str(70000 + number) for number in range(count)]
    for member in members:
        world.fault("afas", "delay", tenant=member, match={"operation": "page"}, seconds=PAGE_SECONDS)
    return [world.neighbour(f"hangs-{member}", member) for member in members]


def test_runs_begin_however_many_others_wait_for_an_afas_that_hangs(world: World, environment: dict[str, str]) -> None:
    # given more tenants whose AFAS hangs than a process does runs at once
    world.person(80)
    asked = [ask(tenant) for tenant in hanging(world, RUNNERS + 2)]
    with worker(environment, threads=2, end=signal.SIGKILL):
        until(lambda: states(world, asked) == ["running"] * len(asked), "all of them read")
        # when
        mine = [ask(world, direction) for direction in Direction]
        # then
        until(lambda: states(world, mine) == ["done"] * 2, "the others' runs are done")
        assert states(world, asked) == ["running"] * len(asked)
    assert world.roster()["340"] == {"p80@example.nl"}


def test_plans_to_look_at_are_made_beside_those_that_wait_for_an_afas_that_hangs(
    world: World, environment: dict[str, str]
) -> None:
    asked = [ask(tenant, trigger=PREVIEW) for tenant in hanging(world, runner.PREVIEWS_AT_ONCE + 1)]
    with worker(environment, threads=2, end=signal.SIGKILL):
        until(lambda: states(world, asked) == ["running"] * len(asked), "all of them read")
        mine = ask(world, trigger=PREVIEW)
        until(lambda: states(world, [mine]) == ["dry_run"], "the plan is there")
        assert states(world, asked) == ["running"] * len(asked)
