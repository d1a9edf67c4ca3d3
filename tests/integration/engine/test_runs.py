"""Runs: one at a time, taken over when their producer dies, stopped when told, counted until the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from clients.errors import AFAS, Unauthorized, Unavailable
from models import ledger
from models.base import new_id
from models.message import Kind
from models.outcomes import RowOutcome
from models.run import RunOptions, RunStatus
from models.session import transaction
from ops import status
from ops.runs import history
from ops.tenants import manage
from producers.runs.lease import RunInterrupted, RunLease, RunLost, RunStopped
from producers.runs.request import request_run, request_stop
from tenancy import health
from tests.integration.engine.conftest import Engine
from workers.maintenance.probes import PROBES, probe
from workers.messages.dead_letters import entry
from workers.messages.policy import classify
from workers.relay.relay import Relay
from workers.runs import finalizer
from workers.runs import runner as runs

CLAIM = runs.claim


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The producer of enrollment runs is what the test puts in ``["do"]``."""
    script: dict[str, Any] = {"do": lambda lease: None}

    def do(lease: RunLease) -> None:
        script["do"](lease)

    monkeypatch.setitem(runs.PRODUCERS, "enrollments", do)
    monkeypatch.setitem(runs.PRODUCERS, "completions", do)
    return script


def request(tenant: int, direction: str = "enrollments", **options: Any) -> str:
    with transaction() as connection:
        return request_run(connection, tenant, direction, trigger="test", options=cast(RunOptions, options))


def run(engine: Engine, run_id: str) -> Any:
    return engine.execute("SELECT * FROM run WHERE id = :id", id=run_id)[0]


def line(
    engine: Engine, tenant: int, run_id: str, outcome: str, *, is_row: bool = True, reason: str = "planned"
) -> int:
    return int(
        engine.value(
            """INSERT INTO plan_line (run_id, tenant_id, action, outcome, reason, is_row)
               VALUES (:r, :t, 'create', :o, :why, :row) RETURNING id""",
            r=run_id,
            t=tenant,
            o=outcome,
            why=reason,
            row=is_row,
        )
    )


def test_a_second_trigger_joins_the_queued_run_and_becomes_the_one_follow_up_of_a_running_one(engine: Engine) -> None:
    tenant = engine.tenant()
    first = request(tenant)
    assert request(tenant) == first
    assert request(tenant, full=True) != first
    lease = runs.claim()
    assert lease is not None
    assert lease.run_id == first
    follow_up = request(tenant)
    assert follow_up != first
    assert request(tenant) == follow_up


def test_runs_of_one_direction_go_one_after_the_other_and_others_beside_them(engine: Engine) -> None:
    one, other = engine.tenant("one"), engine.tenant("other")
    first, _second = request(one), request(one, full=True)
    completions, elsewhere = request(one, "completions"), request(other)
    claimed = [lease.run_id for lease in iter(runs.claim, None)]
    assert claimed == [first, completions, elsewhere]
    # when the first one's messages are out, the next still waits
    engine.execute("UPDATE run SET status = 'applying' WHERE id = :id", id=first)
    assert runs.claim() is None
    engine.execute("UPDATE run SET status = 'done' WHERE id = :id", id=first)
    lease = runs.claim()
    assert lease is not None
    assert lease.run_id == _second


def test_many_runners_at_once_never_take_two_runs_of_one_direction(engine: Engine) -> None:
    tenants = [engine.tenant(f"t{number}") for number in range(5)]
    for tenant in tenants:
        for number in range(4):
            request(tenant, number=number)
    claimed: list[RunLease] = []

    def runner() -> None:
        while (lease := runs.claim()) is not None:
            claimed.append(lease)

    threads = [threading.Thread(target=runner) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lease.tenant_id for lease in claimed) == sorted(tenants)


def test_runners_that_look_at_the_same_moment_each_find_a_run(engine: Engine) -> None:
    """One NOTIFY wakes a runner of every process at once: one that finds nothing then sleeps for seconds."""
    tenants = [engine.tenant(f"t{number}") for number in range(2)]
    for _ in range(30):
        asked = {request(tenant) for tenant in tenants}
        together = threading.Barrier(len(tenants))
        found: list[str | None] = []

        def look(together: threading.Barrier = together, found: list[str | None] = found) -> None:
            engine.value("SELECT 1")  # with a connection in the pool both ask at once
            together.wait()
            lease = runs.claim()
            found.append(lease.run_id if lease else None)

        threads = [threading.Thread(target=look) for _ in tenants]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(found) == asked
        engine.execute("UPDATE run SET status = 'done'")


def test_a_run_without_lines_ends_done(engine: Engine, producer: dict[str, Any]) -> None:
    tenant = engine.tenant()
    run_id = request(tenant)
    lease = runs.claim()
    assert lease is not None
    runs.work(lease)
    assert run(engine, run_id).status == "applying"
    finalizer.finalize()
    row = run(engine, run_id)
    assert (row.status, row.rows, row.lease_owner) == ("done", 0, None)
    assert row.finished_at is not None
    assert set(row.outcomes) == set(RowOutcome)


def test_a_run_is_over_when_nothing_can_be_done_now_and_counted_until_all_is_settled(
    engine: Engine, producer: dict[str, Any]
) -> None:
    # given a run with rows that need no line, settled lines, a line whose message waits, and one still to be done
    tenant = engine.tenant()
    run_id = request(tenant)

    def plan(lease: RunLease) -> None:
        line(engine, tenant, run_id, "created")
        line(engine, tenant, run_id, "removed", is_row=False)
        for subject in (1, 2):
            engine.enqueue(tenant, subject, run_id=run_id, plan_line_id=line(engine, tenant, run_id, "pending"))
        with lease.writing() as connection:
            connection.exec_driver_sql(
                """UPDATE run SET status = 'applying', rows_without_line = '{"unchanged": 7}', snapshot = 'complete',
                          unconfirmed = 3"""
            )

    producer["do"] = plan
    lease = runs.claim()
    assert lease is not None
    runs.work(lease)
    engine.execute("UPDATE message SET state = 'scheduled', attempts = 1, run_at = now() + '1h' WHERE subject_id = 1")
    finalizer.finalize()
    assert run(engine, run_id).status == "applying"
    # when the last one that can be done now is done
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.effects() == [2])
    finalizer.finalize()
    # then
    row = run(engine, run_id)
    assert (row.status, row.rows, row.removed, row.pending_removals) == ("done", 10, 1, 3)
    assert (row.outcomes["unchanged"], row.outcomes["created"], row.outcomes["pending"]) == (7, 2, 1)
    assert sum(row.outcomes.values()) == row.rows
    # when the waiting one dies later
    engine.script(1, "rejected")
    engine.execute("UPDATE message SET run_at = now()")
    with engine.relay(), engine.worker():
        engine.empty()
    assert finalizer.recount() == 1
    row = run(engine, run_id)
    assert (row.status, row.outcomes["failed"], row.outcomes["pending"], row.rows) == ("done_with_failures", 1, 0, 10)
    assert finalizer.recount() == 0


def test_a_run_whose_direction_is_quarantined_ends_quarantined_with_its_lines_pending(
    engine: Engine, producer: dict[str, Any]
) -> None:
    tenant = engine.tenant()
    run_id = request(tenant)
    lease = runs.claim()
    assert lease is not None
    engine.enqueue(tenant, 1, run_id=run_id, plan_line_id=line(engine, tenant, run_id, "pending"))
    runs.work(lease)
    finalizer.finalize()
    assert run(engine, run_id).status == "applying"
    with transaction() as connection:
        health.quarantine(connection, tenant, "enrollments", "token_refused", "no", None)
    finalizer.finalize()
    row = run(engine, run_id)
    assert (row.status, row.outcomes["pending"]) == ("quarantined", 1)
    assert engine.value("SELECT count(*) FROM message") == 1


def test_a_stale_producer_cannot_write(engine: Engine) -> None:
    # given a producer that was silent for longer than its lease, and was taken over
    tenant = engine.tenant()
    run_id = request(tenant)
    stale = runs.claim()
    assert stale is not None
    stale.check()
    assert runs.claim() is None
    engine.execute("UPDATE run SET lease_until = now() - '1s'::interval")
    fresh = runs.claim()
    assert fresh is not None
    assert (fresh.run_id, fresh.fence) == (run_id, stale.fence + 1)
    # then nothing it writes gets in
    with pytest.raises(RunLost):
        stale.check()
    with pytest.raises(RunLost), stale.writing() as connection:
        connection.exec_driver_sql("UPDATE tenant SET name = 'stale'")
    stale.progress(rows=999)
    with fresh.writing() as connection:
        connection.exec_driver_sql("UPDATE tenant SET name = 'fresh'")
    fresh.progress(rows=5)
    assert engine.value("SELECT name FROM tenant") == "fresh"
    assert run(engine, run_id).progress == {"crashes": 1, "rows": 5}


def test_a_producer_that_works_for_long_keeps_its_lease(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.runs.lease.RENEW_SECONDS", 0.1)
    request(engine.tenant())
    lease = runs.claim()
    assert lease is not None
    engine.execute("UPDATE run SET lease_until = now() + '1s'::interval")
    lease.keep()
    engine.wait(lambda: engine.value("SELECT lease_until > now() + '40s'::interval FROM run"))
    lease.end()


def test_the_third_crash_ends_a_run(engine: Engine) -> None:
    run_id = request(engine.tenant())
    for _ in range(3):
        assert runs.claim() is not None
        engine.execute("UPDATE run SET lease_until = now() - '1s'::interval")
    assert runs.claim() is None
    row = run(engine, run_id)
    assert (row.status, row.reason) == ("failed", "crashed")


def test_a_refused_token_quarantines_the_direction_and_the_next_run_ends_at_once(
    engine: Engine, producer: dict[str, Any]
) -> None:
    tenant = engine.tenant()

    def refused(lease: RunLease) -> None:
        raise Unauthorized("token_refused", "AFAS does not accept the token", status=401)

    producer["do"] = refused
    first = request(tenant)
    lease = runs.claim()
    assert lease is not None
    runs.work(lease)
    assert (run(engine, first).status, run(engine, first).reason) == ("quarantined", "token_refused")
    assert engine.value("SELECT count(*) FROM alert WHERE closed_at IS NULL") == 1
    second = request(tenant)
    assert runs.claim() is None
    assert run(engine, second).status == "quarantined"


def test_a_run_that_was_refused_while_it_read_begins_again_once_its_direction_is_open(
    engine: Engine, producer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given two runs that were refused before they had a plan
    tenant = engine.tenant()

    def refused(lease: RunLease) -> None:
        raise Unauthorized("token_refused", "AFAS does not accept the token", status=401)

    def work_all() -> None:
        while lease := runs.claim():
            runs.work(lease)
            finalizer.finalize()

    def queued() -> list[tuple[str, Any]]:
        found = engine.execute("SELECT trigger, options FROM run WHERE status = 'queued' ORDER BY id")
        return [(row.trigger, row.options) for row in found]

    def reopen_by_probe() -> None:
        engine.execute("UPDATE tenant_direction SET probe_at = now() - interval '5 seconds'")
        assert [begun.result(timeout=20) for begun in probe()] == [True]

    monkeypatch.setitem(PROBES, "enrollments", lambda tenant_id: None)
    producer["do"] = refused
    request(tenant, full=True)
    request(tenant)
    work_all()
    assert engine.value("SELECT count(*) FROM run WHERE status = 'quarantined'") == 2

    # when a probe reopens the direction, then both begin again
    reopen_by_probe()
    assert queued() == [("reopened", {"full": True}), ("reopened", {})]

    # and when they are refused once more, a probe, which asks for less than a run, leaves them to the timetable
    work_all()
    reopen_by_probe()
    assert queued() == []

    # but an operator who reopens it wants them
    producer["do"] = lambda lease: None
    with transaction() as connection:
        health.quarantine(connection, tenant, "enrollments", "token_refused", "no", None)
    slug = engine.value("SELECT slug FROM tenant WHERE id = :id", id=tenant)
    assert manage.resume(slug, direction=None, who="tester") == ["enrollments"]
    assert queued() == [("reopened", {"full": True}), ("reopened", {})]
    work_all()
    assert manage.resume(slug, direction=None, who="tester") == []
    assert queued() == []


def test_a_run_whose_messages_wait_goes_on_with_them_and_does_not_begin_again(engine: Engine) -> None:
    # given a run that had its plan when the direction was quarantined
    tenant = engine.tenant()
    run_id = request(tenant)
    engine.execute("UPDATE run SET status = 'applying' WHERE id = :id", id=run_id)
    with transaction() as connection:
        health.quarantine(connection, tenant, "enrollments", "token_refused", "no", None)
    line(engine, tenant, run_id, "pending")
    assert finalizer.finalize() == 0
    assert run(engine, run_id).status == "quarantined"
    # when
    slug = engine.value("SELECT slug FROM tenant WHERE id = :id", id=tenant)
    assert manage.resume(slug, direction=None, who="tester") == ["enrollments"]
    # then
    assert engine.value("SELECT count(*) FROM run") == 1


def test_what_was_refused_begins_again_whoever_looked_meanwhile_and_not_once_it_was_done(
    engine: Engine, producer: dict[str, Any]
) -> None:
    # given a run that was refused, and somebody who looked at a plan after that
    tenant = engine.tenant()
    slug = engine.value("SELECT slug FROM tenant WHERE id = :id", id=tenant)

    def refused(lease: RunLease) -> None:
        raise Unauthorized("token_refused", "AFAS does not accept the token", status=401)

    def resumed() -> list[str]:
        assert manage.resume(slug, direction=None, who="tester") == ["enrollments"]
        return [row.id for row in engine.execute("SELECT id FROM run WHERE status = 'queued' ORDER BY id")]

    producer["do"] = refused
    request(tenant)
    lease = runs.claim()
    assert lease is not None
    runs.work(lease)
    for trigger in ("preview", "dry_run"):
        engine.execute(
            """INSERT INTO run (id, batch, tenant_id, direction, trigger, status, finished_at)
               VALUES (:id, 'x', :t, 'enrollments', :trigger, 'dry_run', now())""",
            id=new_id(),
            t=tenant,
            trigger=trigger,
        )
    # when
    (again,) = resumed()
    # and that one has its plan when its direction is stopped
    engine.execute("UPDATE run SET status = 'applying' WHERE id = :id", id=again)
    with transaction() as connection:
        health.quarantine(connection, tenant, "enrollments", "token_refused", "no", None)
    line(engine, tenant, again, "pending")
    finalizer.finalize()
    assert run(engine, again).status == "quarantined"
    # then
    assert resumed() == []


def state_of(direction: str = "enrollments") -> tuple[Any, ...]:
    """What status and tenants list tell of a direction, which is the same."""
    (told,) = [one for one in status.document()["tenants"] if one["tenant"] == "acme"]
    (listed,) = [one for one in manage.listing().items if one["slug"] == "acme"]
    shown = [(one[direction]["state"], one[direction]["reason"]) for one in (told, listed)]
    assert shown[0] == shown[1]
    return shown[0]


def test_a_tenant_whose_system_gives_no_answer_is_degraded_until_a_run_gets_through(
    engine: Engine, producer: dict[str, Any]
) -> None:
    tenant = engine.tenant()

    def go(code: str | None) -> str:
        def do(lease: RunLease) -> None:
            if code is not None:
                raise Unavailable(code, "no connection", system="pluvo")

        producer["do"] = do
        begun = request(tenant)
        lease = runs.claim()
        assert lease is not None
        runs.work(lease)
        finalizer.finalize()
        return begun

    go(None)
    assert state_of() == ("healthy", None)
    # when
    failed = go("connect_failed")
    # then system and code stand there, and with the run what to do; another code takes the place of the first
    assert state_of() == ("degraded", "pluvo: connect_failed")
    shown = history.show(failed)["failure"]
    assert shown is not None
    assert (shown["system"], shown["cause"]) == ("pluvo", "There is no connection to Pluvo.")
    assert "base_url" in shown["action"]
    go("timeout")
    assert state_of() == ("degraded", "pluvo: timeout")
    assert status.document()["degraded"] == 1
    # when an operator stops it, that is what is shown
    manage.pause("acme", reason="works on it", direction="enrollments", who="tester")
    assert state_of() == ("paused", "works on it")
    manage.resume("acme", direction="enrollments", who="tester")
    # when a run gets through
    go(None)
    assert state_of() == ("healthy", None)
    assert engine.value("SELECT count(*) FROM alert WHERE closed_at IS NULL") == 0


def test_counting_an_older_run_again_tells_nothing_of_a_system_that_a_newer_one_could_not_reach(
    engine: Engine, producer: dict[str, Any]
) -> None:
    tenant = engine.tenant()

    def go() -> str:
        begun = request(tenant)
        lease = runs.claim()
        assert lease is not None
        runs.work(lease)
        finalizer.finalize()
        return begun

    older = go()
    waits = line(engine, tenant, older, "pending")
    engine.execute("""UPDATE run SET outcomes = outcomes || '{"pending": 1}'""")

    def fail(lease: RunLease) -> None:
        raise Unavailable("connect_failed", "no connection", system="AFAS")

    producer["do"] = fail
    go()
    assert state_of() == ("degraded", "afas: connect_failed")
    # when its line still waits, and then when it is done
    finalizer.recount()
    assert state_of() == ("degraded", "afas: connect_failed")
    engine.execute("UPDATE plan_line SET outcome = 'created' WHERE id = :id", id=waits)
    assert finalizer.recount() == 1
    # then
    assert state_of() == ("degraded", "afas: connect_failed")


def test_releasing_what_an_older_run_held_tells_nothing_of_a_system_that_a_newer_one_could_not_reach(
    engine: Engine, producer: dict[str, Any]
) -> None:
    tenant = engine.tenant()

    def go() -> str:
        begun = request(tenant)
        lease = runs.claim()
        assert lease is not None
        runs.work(lease)
        finalizer.finalize()
        return begun

    older = go()

    def fail(lease: RunLease) -> None:
        raise Unavailable("connect_failed", "no connection", system="AFAS")

    producer["do"] = fail
    go()
    # when its lines are decided about, and it is counted again
    engine.execute("UPDATE run SET status = 'applying' WHERE id = :id", id=older)
    finalizer.finalize()
    # then
    assert run(engine, older).status == "done"
    assert state_of() == ("degraded", "afas: connect_failed")


@pytest.mark.parametrize("moment", ["after the run failed", "while it reads"])
def test_nobody_is_told_that_a_system_gives_no_answer_to_a_direction_that_was_paused(
    engine: Engine, producer: dict[str, Any], moment: str
) -> None:
    tenant = engine.tenant()

    def pause() -> None:
        manage.pause("acme", reason="moves to another environment", direction="enrollments", who="tester")

    def fail(lease: RunLease) -> None:
        if moment == "while it reads":
            pause()
        raise Unavailable("connect_failed", "no connection", system="AFAS")

    producer["do"] = fail
    failed = request(tenant)
    lease = runs.claim()
    assert lease is not None
    runs.work(lease)
    if moment == "after the run failed":
        assert [alert["kind"] for alert in status.document()["alerts"]] == ["unreached"]
        pause()
    # then
    assert status.document()["alerts"] == []
    assert state_of() == ("paused", "moves to another environment")
    failure = history.show(failed)["failure"]
    assert failure is not None
    assert failure["system"] == "afas"


def test_messages_that_a_system_does_not_answer_make_their_direction_degraded(engine: Engine) -> None:
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1, kind=Kind.WRITE_BACK)[1]
    for code, state in (("record_in_use", "healthy"), ("connection_broken", "degraded")):
        engine.execute(
            """UPDATE message SET state = 'scheduled', attempts = 1, history = jsonb_build_array(jsonb_build_object(
                   'at', CAST('2026-11-26T01:13:00+00:00' AS text), 'code', CAST(:code AS text))) WHERE id = :id""",
            id=message,
            code=code,
        )
        assert state_of("completions")[0] == state
    (told,) = status.document()["tenants"]
    assert told["completions"]["reason"] == "afas: connection_broken"
    assert told["completions"]["since"] == datetime(2026, 11, 26, 1, 13, tzinfo=UTC)


def test_a_removal_that_afas_gives_no_answer_to_names_afas(engine: Engine) -> None:
    # given somebody of whom AFAS is asked once more right before they are taken out
    message = engine.enqueue(engine.tenant(), 1, kind=Kind.UPSERT)[1]
    with transaction() as connection:
        failure = classify(Unavailable("timeout", "no answer in time", system=AFAS)).failure
        # when
        ledger.postpone(connection, message, 3600, entry(connection, failure))
    # then
    assert state_of() == ("degraded", "afas: timeout")


@pytest.mark.parametrize(
    ("spoiled", "code"), [({}, 0), ({"degraded": 1}, 1), ({"relay": "stuck"}, 1), ({"dead": 2}, 1)]
)
def test_an_exit_code_tells_a_monitor_that_something_is_not_well(spoiled: dict[str, Any], code: int) -> None:
    well: dict[str, Any] = dict.fromkeys(("database", "broker", "relay", "maintenance", "timetable"), "ok")
    needs: dict[str, Any] = dict.fromkeys(("held", "ambiguous", "dead", "quarantined", "degraded"), 0) | {"alerts": []}
    assert int(not status.is_well(well | needs | spoiled)) == code


def test_a_message_does_not_probe_what_a_run_found_wrong(
    engine: Engine, producer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a direction that a run's reading stopped, with a message that would write elsewhere, and a probe that is due
    tenant = engine.tenant()

    def refused(lease: RunLease) -> None:
        raise Unauthorized("token_refused", "AFAS does not accept the token", status=401)

    producer["do"] = refused
    request(tenant)
    lease = runs.claim()
    assert lease is not None
    runs.work(lease)
    message = engine.enqueue(tenant, 1)[1]
    other = engine.enqueue(engine.tenant("other"), 2)[2]
    engine.execute("UPDATE tenant_direction SET probe_at = now() - '5s'::interval WHERE state = 'quarantined'")
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.message(other) is None)
        assert engine.message(message).deliveries == 0
        # when a read proves it right
        monkeypatch.setitem(PROBES, "enrollments", lambda tenant_id: None)
        assert [future.result() for future in probe()] == [True]
        # then it goes
        engine.empty()
    assert engine.effects() == [2, 1]


def test_trouble_while_reading_fails_the_run_with_its_code_and_no_data(
    engine: Engine, producer: dict[str, Any]
) -> None:
    tenant = engine.tenant()

    def unavailable(lease: RunLease) -> None:
        raise Unavailable("front_proxy", "no answer", status=502)

    def broken(lease: RunLease) -> None:
        raise KeyError("jan@example.org")

    for do, reason in ((unavailable, "front_proxy"), (broken, "internal_error: KeyError at tests/")):
        producer["do"] = do
        run_id = request(tenant)
        lease = runs.claim()
        assert lease is not None
        runs.work(lease)
        row = run(engine, run_id)
        assert row.status == "failed"
        assert row.reason.startswith(reason)
        assert "jan" not in row.reason
        assert sum(row.outcomes.values()) == row.rows


def test_a_queued_run_is_stopped_at_once(engine: Engine) -> None:
    run_id = request(engine.tenant())
    with transaction() as connection:
        assert request_stop(connection, run_id) == "stopped"
        assert request_stop(connection, "nonsense") is None
    assert runs.claim() is None
    assert run(engine, run_id).status == "stopped"


def test_a_running_run_is_stopped_at_its_producers_next_check(engine: Engine, producer: dict[str, Any]) -> None:
    tenant = engine.tenant()
    run_id = request(tenant)
    seen: list[type[BaseException]] = []

    def listing(lease: RunLease) -> None:
        engine.enqueue(tenant, 1, run_id=run_id, plan_line_id=line(engine, tenant, run_id, "pending"))
        with transaction() as connection:
            assert request_stop(connection, run_id) == "running"
        try:
            lease.check()
        except RunStopped as error:
            seen.append(type(error))
            raise

    producer["do"] = listing
    lease = runs.claim()
    assert lease is not None
    runs.work(lease)
    row = run(engine, run_id)
    assert (seen, row.status, row.rows, row.outcomes["pending"]) == ([RunStopped], "stopped", 1, 1)
    assert engine.value("SELECT count(*) FROM message") == 0
    assert engine.value("SELECT reason FROM plan_line") == "stopped"


def test_stopping_an_applying_run_takes_what_is_not_begun_out_of_the_ledger(engine: Engine) -> None:
    # given a run that applies: one of its messages is worked on, one is in Redis, one waits, one belongs to nobody
    tenant = engine.tenant()
    run_id = request(tenant)
    engine.execute("UPDATE run SET status = 'applying'")
    engine.script(1, "checked", 1)
    with engine.relay(), engine.worker(1):
        for subject in (1, 2, 3):
            engine.enqueue(tenant, subject, run_id=run_id, plan_line_id=line(engine, tenant, run_id, "pending"))
        engine.enqueue(tenant, 4)
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        # when
        with transaction() as connection:
            assert request_stop(connection, run_id) == "stopped"
        engine.empty()
    # then nothing was written for it, and only for it
    assert engine.effects() == [4]
    assert run(engine, run_id).status == "stopped"
    finalizer.recount()
    row = run(engine, run_id)
    assert (row.status, row.outcomes["pending"], row.rows) == ("stopped", 3, 3)


def test_a_run_goes_back_to_the_queue_when_its_process_ends(engine: Engine, producer: dict[str, Any]) -> None:
    run_id = request(engine.tenant())
    stopping = threading.Event()
    lease = runs.claim(stopping)
    assert lease is not None

    def listing(mine: RunLease) -> None:
        stopping.set()
        with pytest.raises(RunInterrupted):
            mine.check()
        mine.check()

    producer["do"] = listing
    runs.work(lease)
    row = run(engine, run_id)
    assert (row.status, row.lease_owner) == (RunStatus.QUEUED, None)
    again = runs.claim()
    assert again is not None
    assert engine.value("SELECT progress ->> 'crashes' FROM run") == "0"


def test_a_run_whose_process_is_killed_is_begun_again_by_another(engine: Engine) -> None:
    # given a process whose producer hangs
    tenant = engine.tenant()
    engine.execute("INSERT INTO test_script VALUES (0, 'producer sleeps', 60)")
    with engine.process(runners=1) as process:
        engine.alive(1)
        run_id = request(tenant)
        engine.wait(lambda: run(engine, run_id).status == "running")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        engine.execute("DELETE FROM test_script")
        # when its lease ends (45 s: not waited for here), another process goes on
        engine.execute("UPDATE run SET lease_until = now()")
        with engine.process(runners=1):
            engine.wait(lambda: run(engine, run_id).status == "done")
    assert run(engine, run_id).fence == 2


@contextmanager
def listening(count: int) -> Iterator[runs.Runners]:
    """So many idle runners that look by themselves once an hour, and the relay of their process."""
    runners = runs.Runners(count)
    relay = Relay(heard=runners.heard)
    relay.start()
    runners.start()
    try:
        yield runners
    finally:
        runners.stop()
        relay.stop()


@pytest.mark.parametrize("leads", [True, False])
def test_a_run_that_is_asked_for_wakes_an_idle_runner(
    engine: Engine, producer: dict[str, Any], monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    # given idle runners, in the process that leads the relay or in another one
    looks: list[str | None] = []

    def claim(stopping: threading.Event, previews: int) -> RunLease | None:
        lease = CLAIM(stopping, previews)
        looks.append(lease.run_id if lease else None)
        return lease

    for name in ("RARELY_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(runs, name, 3600.0)
    monkeypatch.setattr(runs, "claim", claim)
    with engine.relay() as other:
        if leads:
            other.stop()
        with listening(3) as runners:
            # (each has looked, and one once more when the process began to hear)
            engine.wait(lambda: len(looks) == 4 and runners._heard_at > 0, what="idle runners that hear")
            # when several are asked for at once
            tenants = [engine.tenant(f"t{number}") for number in range(3)]
            with transaction() as connection:
                asked = [request_run(connection, tenant, "enrollments", trigger="test") for tenant in tenants]
            # then each begins, and one that follows another begins when that one is over
            engine.wait(lambda: set(asked) <= set(looks))
            follow_up = request(tenants[0])
            engine.wait(lambda: run(engine, asked[0]).status == "applying")
            finalizer.finalize()
            engine.wait(lambda: follow_up in looks)


def test_runners_that_hear_nothing_look_by_themselves(
    engine: Engine, producer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RARELY_SECONDS", 3600.0)
    runners = runs.Runners(1)
    runners.start()
    try:
        run_id = request(engine.tenant())
        engine.wait(lambda: run(engine, run_id).status == "applying")
    finally:
        runners.stop()


def test_runners_are_told_to_look_once_their_process_hears_again(engine: Engine) -> None:
    """What was asked for while the listening connection was gone, nobody heard."""
    heard: list[bool] = []
    relay = Relay(heard=heard.append)
    relay.once()
    heard.clear()
    # given a connection that ends, and a run that is asked for before there is another one
    listens = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'koppeling relay'"
    engine.execute(f"SELECT pg_terminate_backend(pid) {listens}")
    engine.wait(lambda: not engine.execute(f"SELECT 1 {listens}"))
    request(engine.tenant())
    # when the relay is back
    while not heard:
        relay.once()
    relay.end()
    assert heard[0]


def test_one_runner_of_a_process_looks_again_soon_however_many_are_idle(
    engine: Engine, producer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given many idle runners of a process that hears, which all looked at the same moment
    monkeypatch.setattr(runs, "RARELY_SECONDS", 2.0)
    monkeypatch.setattr(runs, "POLL_SECONDS", 3600.0)
    looked, asked = threading.Barrier(31), threading.Event()

    def claim(stopping: threading.Event, previews: int) -> RunLease | None:
        if asked.is_set():
            return CLAIM(stopping, previews)
        looked.wait()
        return None

    monkeypatch.setattr(runs, "claim", claim)
    runners = runs.Runners(30)
    runners.heard(asked=False)
    runners.start()
    looked.wait()
    asked.set()
    try:
        # when a run is asked for and its NOTIFY is lost
        run_id = request(engine.tenant())
        # then it begins all the same, and not only after thirty times that long
        engine.wait(lambda: run(engine, run_id).status == "applying", 30)
    finally:
        runners.stop()


def applying(engine: Engine, tenant: int) -> str:
    run_id = request(tenant)
    engine.execute("UPDATE run SET status = 'applying' WHERE id = :r", r=run_id)
    return run_id


def later(engine: Engine, message: int) -> None:
    """Tried again in two hours."""
    engine.execute(
        "UPDATE message SET state = 'scheduled', attempts = 5, run_at = now() + interval '2 hours' WHERE id = :m",
        m=message,
    )


@pytest.mark.parametrize("length", [2, 3, 6])
def test_a_run_is_over_however_long_the_chain_that_waits(engine: Engine, length: int) -> None:
    tenant = engine.tenant()
    run_id = applying(engine, tenant)
    before = None
    for subject in range(1, length + 1):
        message = engine.enqueue(tenant, subject, run_id=run_id, after_id=before)[subject]
        if before is None:
            finalizer.finalize()
            assert run(engine, run_id).status == "applying"  # it may go
            later(engine, message)
        before = message
    finalizer.finalize()
    assert run(engine, run_id).status == "done"


def test_a_run_is_over_when_what_is_left_comes_after_one_that_has_its_lock(engine: Engine) -> None:
    tenant = engine.tenant()
    run_id = applying(engine, tenant)
    first = engine.enqueue(tenant, 1, run_id=run_id)[1]
    later(engine, first)
    engine.enqueue(tenant, 2, run_id=run_id, after_id=first, lock="person:7")
    engine.enqueue(tenant, 3, run_id=run_id, lock="person:7")
    finalizer.finalize()
    assert run(engine, run_id).status == "done"


def test_a_run_goes_on_while_anything_of_it_may_go_or_follows_what_may(engine: Engine) -> None:
    tenant = engine.tenant()
    run_id = applying(engine, tenant)
    later(engine, engine.enqueue(tenant, 1, run_id=run_id)[1])
    second = engine.enqueue(tenant, 2, run_id=run_id)[2]
    engine.enqueue(tenant, 3, run_id=run_id, after_id=second)
    finalizer.finalize()
    assert run(engine, run_id).status == "applying"
    # a place that was not free is soon; one that comes in hours is not
    engine.execute(
        "UPDATE message SET state = 'scheduled', run_at = now() + interval '30 seconds' WHERE id = :m", m=second
    )
    finalizer.finalize()
    assert run(engine, run_id).status == "applying"
    engine.execute("UPDATE message SET run_at = now() + interval '2 hours' WHERE id = :m", m=second)
    finalizer.finalize()
    assert run(engine, run_id).status == "done"
