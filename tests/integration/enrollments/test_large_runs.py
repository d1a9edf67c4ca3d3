"""A run that is far larger than anything PostgreSQL has statistics of: no statement takes seconds."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event, text

from models.base import metadata
from models.run import RunStatus
from models.session import engine, transaction
from tests.fixtures.world import World

NEWCOMERS = 2500
MOST_SECONDS = 4.0  # looping within loops takes 12 s for so many, hashing a third of a second

CONTEXT = 4  # connection, cursor, statement, parameters, context, many


def test_a_tenant_that_grows_suddenly_is_planned_in_seconds(world: World) -> None:
    # given: a small tenant whose tables have been analysed, and then very many people at once
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 3600, "limits": {"creates_count": 1_000_000}})
    for number in range(40):
        world.person(10 + number)
    world.sync()
    with transaction() as connection:
        for table in metadata.sorted_tables:
            connection.execute(text(f'ANALYZE "{table.name}"'))
    for number in range(NEWCOMERS):
        world.person(100_000 + number)
    slowest: list[float] = []

    def before(*told: Any) -> None:
        told[CONTEXT].began = time.perf_counter()

    def after(*told: Any) -> None:
        slowest.append(time.perf_counter() - told[CONTEXT].began)

    event.listen(engine(), "before_cursor_execute", before)
    event.listen(engine(), "after_cursor_execute", after)

    # when
    run = world.begin()

    # then
    assert run.status == RunStatus.APPLYING
    assert world.rows("SELECT count(*) FROM message")[0]["count"] == NEWCOMERS
    assert max(slowest) < MOST_SECONDS
