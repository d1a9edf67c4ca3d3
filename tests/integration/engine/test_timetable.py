"""The timetable: blackouts, many schedulers, a clock that is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models.direction import Direction
from models.session import transaction
from models.worker import serve, worker_id
from ops.runs import start, timetable
from ops.tenants import manage
from producers.runs.lease import RunLease
from producers.runs.request import request_run
from tests.integration.engine.conftest import ROOT, Engine
from tests.integration.engine.test_outages import keeping_the_timetable
from workers.runs import runner as runs

SECONDS = 60
PLACE = ZoneInfo("Europe/Amsterdam")


def blackout(engine: Engine, tenant: int, begins: int, ends: int) -> datetime:
    """Each day, from so many hours from now until so many; its end."""
    now = datetime.now(PLACE)
    begin, end = (now + timedelta(hours=hours) for hours in (begins, ends))
    stored = [
        {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "hours": f"{begin:%H:%M}-{end:%H:%M}"},
    ]
    engine.execute("UPDATE tenant SET blackout = CAST(:b AS jsonb) WHERE id = :t", b=json.dumps(stored), t=tenant)
    return end.replace(second=0, microsecond=0)


def due(engine: Engine, tenant: int, direction: str = "enrollments", ago: str = "1 minute") -> None:
    engine.execute(
        """UPDATE tenant_direction SET next_run_at = now() - CAST(:ago AS interval)
            WHERE tenant_id = :t AND direction = :d""",
        t=tenant,
        d=direction,
        ago=ago,
    )


def next_run(engine: Engine, tenant: int) -> datetime:
    found = engine.value(
        "SELECT next_run_at FROM tenant_direction WHERE tenant_id = :t AND direction = 'enrollments'", t=tenant
    )
    assert isinstance(found, datetime)
    return found


def statuses(engine: Engine) -> list[tuple[str, str | None]]:
    return [(row.status, row.reason) for row in engine.execute("SELECT status, reason FROM run ORDER BY id")]


def test_no_run_is_asked_for_in_a_blackout_and_the_next_one_is_told_for_after_it(engine: Engine) -> None:
    # given
    tenant, other = engine.tenant(), engine.tenant("other")
    ends = blackout(engine, tenant, -1, 2)
    due(engine, tenant)
    due(engine, other)
    # when
    assert timetable.request_due() == 1
    # then
    assert engine.execute("SELECT tenant_id FROM run") == [(other,)]
    assert ends <= next_run(engine, tenant) <= ends + timedelta(minutes=15)
    told = manage.show("acme")
    assert told["blackout_until"] == ends
    assert told["next_run_at"] == next_run(engine, tenant)
    assert manage.show("other")["blackout_until"] is None


def test_the_next_run_is_never_planned_into_a_blackout(engine: Engine) -> None:
    tenant = engine.tenant()
    ends = blackout(engine, tenant, 1, 3)
    engine.execute("UPDATE tenant SET interval_seconds = 7200")
    due(engine, tenant)
    # when
    assert timetable.request_due() == 1
    # then
    assert ends <= next_run(engine, tenant) <= ends + timedelta(minutes=15)


@pytest.mark.parametrize("trigger", ["schedule", "nightly", "reopened", "webhook"])
def test_a_run_that_no_worker_began_before_a_blackout_waits_for_its_end(engine: Engine, trigger: str) -> None:
    # given
    tenant = engine.tenant()
    with transaction() as connection:
        request_run(connection, tenant, "enrollments", trigger=trigger, options={"full": True})
    engine.execute("UPDATE tenant_direction SET last_full_at = now()")
    ends = blackout(engine, tenant, -1, 2)
    # when
    assert runs.claim() is None
    # then
    assert statuses(engine) == [("paused", "blackout")]
    assert ends <= next_run(engine, tenant) <= ends + timedelta(minutes=15)
    assert engine.value("SELECT last_full_at FROM tenant_direction WHERE direction = 'enrollments'") is None


def test_a_persons_own_run_begins_in_a_blackout(engine: Engine) -> None:
    tenant = engine.tenant()
    blackout(engine, tenant, -1, 2)
    start.start(Direction.ENROLLMENTS, ["acme"], everyone=False, options={}, need_worker=False)
    assert runs.claim() is not None


def test_a_run_that_began_before_a_blackout_is_taken_over_in_it(engine: Engine) -> None:
    # given a scheduled run whose producer died
    tenant = engine.tenant()
    with transaction() as connection:
        request_run(connection, tenant, "enrollments", trigger="schedule", options={})
    first = runs.claim()
    assert first is not None
    engine.execute("UPDATE run SET lease_until = now() - interval '1 second'")
    # when
    blackout(engine, tenant, -1, 2)
    taken = runs.claim()
    # then
    assert isinstance(taken, RunLease)
    assert taken.run_id == first.run_id


def test_a_full_run_whose_night_is_covered_comes_right_after_the_blackout() -> None:
    # given tenant 4, whose night is that of Friday, at 28 past three
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    row: dict[str, Any] = {"tenant_id": 4, "timezone": "Europe/Amsterdam", "blackout": []}
    friday = datetime(2026, 11, 27, tzinfo=PLACE)
    minutes = [friday + timedelta(minutes=minute) for minute in range(24 * 60)]
    assert minutes[3 * 60 + 28] == next(at for at in minutes if timetable.is_full_time(row, at))
    # when
    row["blackout"] = [{"days": days, "hours": "00:30-07:00"}]
    full = [at for at in minutes if timetable.is_full_time(row, at)]
    # then
    assert (full[0], full[-1]) == (friday.replace(hour=7), friday.replace(hour=7, minute=59))
    # and where the days after are covered as well, once they are over
    row["blackout"] = [{"days": days[4:], "hours": "00:00-24:00"}]
    monday = friday + timedelta(days=3)
    assert not any(timetable.is_full_time(row, friday + timedelta(minutes=minute)) for minute in range(3 * 1440))
    assert timetable.is_full_time(row, monday)


@pytest.mark.parametrize("state", ["new", "paused", "quarantined"])
def test_a_direction_that_rests_gets_no_run_until_it_is_healthy(engine: Engine, state: str) -> None:
    tenant = engine.tenant()
    due(engine, tenant)
    engine.execute("UPDATE tenant_direction SET state = :s", s=state)
    assert timetable.request_due() == timetable.request_full() == 0
    engine.execute("UPDATE tenant_direction SET state = 'healthy'")
    assert timetable.request_due() == 1


def test_what_waited_for_a_scheduler_does_not_come_at_once(engine: Engine) -> None:
    for number in range(timetable.MOST_AT_ONCE):
        tenant = engine.tenant(f"t{number}")
        due(engine, tenant)
        due(engine, tenant, "completions")
    assert [timetable.request_due() for _ in range(3)] == [timetable.MOST_AT_ONCE, timetable.MOST_AT_ONCE, 0]


def test_a_clock_that_was_set_back_does_not_keep_a_tenant_from_its_runs(engine: Engine) -> None:
    # given runs that were planned by a clock a day ahead, one of them in a blackout that lasts longer than an interval
    ahead, fine, covered = engine.tenant("ahead"), engine.tenant("fine"), engine.tenant("covered")
    ends = blackout(engine, covered, -1, 20)
    engine.execute("UPDATE tenant_direction SET next_run_at = now() + interval '1 day' WHERE tenant_id = :t", t=ahead)
    engine.execute("UPDATE tenant_direction SET next_run_at = now() + interval '1 hour' WHERE tenant_id = :t", t=fine)
    engine.execute("UPDATE tenant_direction SET next_run_at = :at WHERE tenant_id = :t", at=ends, t=covered)
    before = next_run(engine, fine)
    # when
    assert timetable.bring_near() == 2
    # then
    assert next_run(engine, ahead) < datetime.now(UTC) + timedelta(hours=2)
    assert (next_run(engine, fine), next_run(engine, covered)) == (before, ends)
    assert timetable.bring_near() == 0


def test_one_of_several_schedulers_keeps_the_timetable_and_another_takes_over(engine: Engine) -> None:
    # given another one that is alive
    tenant = engine.tenant()
    due(engine, tenant)
    engine.execute("INSERT INTO service (name, worker) VALUES ('timetable', 'other')")
    with keeping_the_timetable():
        time.sleep(2.5)
        assert statuses(engine) == []
        # when it dies
        engine.execute("UPDATE service SET seen_at = now() - interval '1 minute' WHERE name = 'timetable'")
        # then
        engine.wait(lambda: statuses(engine) == [("queued", None)])
        assert engine.value("SELECT worker FROM service WHERE name = 'timetable'") == worker_id()
    # and one that is told to stop leaves it to the others at once
    assert engine.value("SELECT count(*) FROM service WHERE name = 'timetable'") == 0
    with transaction() as connection:
        assert serve(connection, "timetable")


def keeper(engine: Engine) -> int:
    """The process that keeps the timetable."""
    return int(engine.value("SELECT split_part(worker, ':', 2) FROM service WHERE name = 'timetable'"))


def test_when_the_scheduler_at_work_is_killed_another_asks_for_the_rest_and_for_nothing_twice(engine: Engine) -> None:
    # given two schedulers, and more runs that are due than one second takes
    tenants = [engine.tenant(f"t{number}") for number in range(2 * timetable.MOST_AT_ONCE)]
    words = [sys.executable, "-m", "ops.cli", "scheduler"]
    with ExitStack() as stack:
        both = []
        for _ in range(2):
            both.append(subprocess.Popen(words, env={**os.environ, **engine.environment}, cwd=ROOT))
            stack.callback(both[-1].wait)
            stack.callback(both[-1].kill)
        engine.wait(lambda: keeper(engine) in [one.pid for one in both], SECONDS)
        for tenant in tenants:
            due(engine, tenant)
        engine.wait(lambda: engine.value("SELECT count(*) FROM run") > 0, SECONDS)
        # when the one that keeps the timetable is gone without a word
        gone = next(one for one in both if one.pid == keeper(engine))
        gone.kill()
        engine.execute("UPDATE service SET seen_at = now() - interval '1 minute' WHERE name = 'timetable'")
        # then
        engine.wait(lambda: engine.value("SELECT count(*) FROM run") == len(tenants), SECONDS)
        assert keeper(engine) == next(one.pid for one in both if one is not gone)
    assert engine.value("SELECT count(DISTINCT tenant_id) FROM run") == len(tenants)
    assert engine.value("SELECT count(*) FROM tenant_direction WHERE next_run_at <= now()") == 0
