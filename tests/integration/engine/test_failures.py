"""What comes of a message that fails: another try, a wait, a quarantine or a dead letter; each visible, none lost."""

from __future__ import annotations

import json
import os
import threading

import dramatiq
import psycopg
import pytest
from sqlalchemy import Connection, text

import settings
from clients.errors import Rejected
from models.session import transaction
from producers.runs.request import request_stop
from tenancy import health
from tests.integration.engine.conftest import Engine, closed_database
from tests.integration.engine.kinds import KIND
from workers.maintenance.probes import PROBES, probe
from workers.messages import lease_expiry, unrecorded
from workers.messages.delivery import Delivery
from workers.messages.envelope import Envelope
from workers.messages.execute import claim, resume, run_delivery
from workers.messages.interruptions import LeaseShort, NotOurs, Stopped
from workers.messages.outcome import record
from workers.messages.time_limit import time_limit_seconds


@pytest.fixture
def slow_schedule(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more tries, after an hour and two."""
    monkeypatch.setenv("KOPPELING_RETRY_SCHEDULE", "1h,2h")
    settings.get.cache_clear()


def deliver(engine: Engine, message: int) -> None:
    """Hand a message out and work on it, without relay and Redis."""
    engine.execute(
        """UPDATE message SET state = 'sent', deliveries = deliveries + 1, sent_at = clock_timestamp(),
                  lease_until = now() + '3min', started_at = NULL WHERE id = :id""",
        id=message,
    )
    row = engine.message(message)
    run_delivery(Envelope(row.kind, row.tenant_id, message, row.deliveries))


def begin(engine: Engine, message: int) -> Delivery:
    """Hand a message out and claim it."""
    engine.execute(
        """UPDATE message SET state = 'sent', deliveries = deliveries + 1, sent_at = clock_timestamp(),
                  lease_until = now() + '3min', started_at = NULL WHERE id = :id""",
        id=message,
    )
    row = engine.message(message)
    delivery = claim(Envelope(row.kind, row.tenant_id, message, row.deliveries))
    assert delivery is not None
    return delivery


def plan_line(engine: Engine, tenant: int, run: str = "run1", status: str = "applying") -> int:
    """A run with one planned line; the line's id."""
    engine.execute(
        """INSERT INTO run (id, batch, tenant_id, direction, trigger, status)
           VALUES (:run, :run, :t, 'enrollments', 'test', :status) ON CONFLICT DO NOTHING""",
        run=run,
        t=tenant,
        status=status,
    )
    return int(
        engine.value(
            """INSERT INTO plan_line (run_id, tenant_id, action, outcome, reason)
               VALUES (:run, :t, 'create', 'pending', 'planned') RETURNING id""",
            run=run,
            t=tenant,
        )
    )


@pytest.mark.usefixtures("slow_schedule")
def test_an_unavailable_outside_is_tried_by_the_schedule_and_then_dies(engine: Engine) -> None:
    # given
    tenant = engine.tenant()
    line = plan_line(engine, tenant)
    message = engine.enqueue(tenant, 1, run_id="run1", plan_line_id=line)[1]
    engine.script(1, "unknown")
    # when it fails for the first and second time
    for attempts, low, high in ((1, 3600, 4320), (2, 7200, 8640)):
        deliver(engine, message)
        row = engine.message(message)
        # then it waits as long as the schedule says, and a little spread
        assert (row.state, row.attempts, row.started_at) == ("scheduled", attempts, None)
        assert low - 5 <= engine.value("SELECT extract(epoch FROM run_at - now()) FROM message") <= high
        assert engine.execute("SELECT outcome, reason FROM plan_line")[0] == ("pending", "timeout")
        assert [entry["code"] for entry in row.history] == ["timeout"] * attempts
    # when it fails once more
    deliver(engine, message)
    # then it is a dead letter that tells everything
    (letter,) = engine.letters()
    assert engine.message(message) is None
    assert (letter.kind, letter.error, letter.attempts, letter.state) == (KIND, "timeout", 3, "open")
    assert (letter.internal_id, letter.event_id, letter.tenant_id) == ("10001", "340", tenant)
    assert len(letter.history) == 3
    assert letter.first_failed_at < letter.last_failed_at
    assert engine.execute("SELECT outcome, reason FROM plan_line")[0] == ("failed", "timeout")
    assert engine.execute("SELECT hook, code FROM test_hook ORDER BY hook") == [
        ("died", "timeout"),
        ("waiting", "timeout"),
        ("waiting", "timeout"),
    ]


def test_a_refused_record_dies_at_once_with_what_afas_said(engine: Engine) -> None:
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    engine.script(1, "rejected")
    deliver(engine, message)
    (letter,) = engine.letters()
    assert letter.error == "functional"
    assert letter.message == "AFAS refused it: bij 'Medewerker' 17, <e-mail>"
    assert letter.afas_reference == "ABC123"
    assert letter.history[0]["status"] == 500
    assert len(letter.fingerprint) == 16
    assert letter.code_version


def test_newer_content_is_tried_instead_of_dying_with_the_old(engine: Engine) -> None:
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1, version=1)[1]
    engine.script(1, "rejected")
    delivery = begin(engine, message)
    engine.enqueue(tenant, 1, version=2)
    record(delivery, Rejected("functional", "no"))
    assert engine.letters() == []
    assert (engine.message(message).state, engine.message(message).attempts) == ("ready", 0)


def test_a_later_message_of_the_same_subject_supersedes_its_dead_letter(engine: Engine) -> None:
    tenant = engine.tenant()
    engine.script(1, "rejected")
    deliver(engine, engine.enqueue(tenant, 1)[1])
    deliver(engine, engine.enqueue(tenant, 1)[1])
    assert [letter.state for letter in engine.letters()] == ["superseded", "open"]
    engine.script(1, "note")
    deliver(engine, engine.enqueue(tenant, 1)[1])
    assert [letter.state for letter in engine.letters()] == ["superseded", "superseded"]


def test_retry_after_makes_the_whole_direction_wait_and_burns_nothing(engine: Engine) -> None:
    # given
    tenant = engine.tenant()
    first, second = engine.enqueue(tenant, 1, 2).values()
    engine.script(1, "unavailable", 3600)
    # when one message is told to come back in an hour
    deliver(engine, first)
    # then it burnt nothing and nobody of this direction calls
    row = engine.message(first)
    assert (row.state, row.attempts, row.history) == ("ready", 0, [])
    waits = engine.value(
        "SELECT extract(epoch FROM wait_until - now()) FROM tenant_direction WHERE direction = 'enrollments'"
    )
    assert 3590 < waits <= 3600
    engine.script(2, "checked")
    deliver(engine, second)
    assert engine.effects() == []
    assert engine.message(second).state == "ready"


def test_our_own_fault_is_tried_three_times_and_leaves_no_data(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    engine.script(1, "broken")
    for _ in range(3):
        deliver(engine, message)
    (letter,) = engine.letters()
    assert (letter.error, letter.attempts) == ("internal_error", 3)
    assert letter.message.startswith("KeyError at tests/integration/engine/kinds.py:")
    out, err = capfd.readouterr()
    assert "jan@example" not in str(letter) + out + err


def test_a_handler_that_forgets_to_settle_is_a_fault_of_ours(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq.get_broker().get_actor(KIND), "fn", lambda delivery: None)
    message = engine.enqueue(engine.tenant(), 1)[1]
    deliver(engine, message)
    assert engine.message(message).history[0]["code"] == "internal_error"


def test_one_bad_token_makes_one_alert_and_no_dead_letter(engine: Engine) -> None:
    # given two tenants, one with a bad token
    bad, good = engine.tenant("bad"), engine.tenant("good")
    for subject in range(1, 51):
        engine.script(subject, "unauthorized")
    with engine.relay(), engine.worker():
        # when
        engine.enqueue(bad, *range(1, 51))
        engine.wait(lambda: engine.value("SELECT count(*) FROM alert"))
        engine.enqueue(good, 100)
        engine.wait(lambda: engine.effects() == [100])
        engine.wait(lambda: engine.value("SELECT count(*) FROM message WHERE state = 'sent'") == 0)
    # then all messages are there, unburnt, and few were tried
    assert engine.value("SELECT count(*) FROM message WHERE attempts = 0 AND state = 'ready'") == 50
    assert engine.value("SELECT count(*) FROM test_begun") <= 1 + 4
    assert engine.letters() == []
    assert engine.value("SELECT count(*) FROM alert") == 1
    row = engine.execute("SELECT * FROM tenant_direction WHERE tenant_id = :t AND direction = 'enrollments'", t=bad)[0]
    assert (row.state, row.reason) == ("quarantined", "token_refused")
    assert row.first_call["code"] == "token_refused"
    assert row.first_call["status"] == 401


def quarantined(engine: Engine, tenant: int, *, probe_due: bool) -> None:
    with transaction() as connection:
        assert health.quarantine(connection, tenant, "enrollments", "token_refused", "no", {"status": 401})
        assert not health.quarantine(connection, tenant, "enrollments", "other", "later", None)
    if probe_due:
        engine.execute(
            "UPDATE tenant_direction SET probe_at = now() - interval '3 seconds', since = now() - '1h'::interval"
        )


def state(engine: Engine, tenant: int) -> str:
    return str(
        engine.value("SELECT state FROM tenant_direction WHERE tenant_id = :t AND direction = 'enrollments'", t=tenant)
    )


def test_a_probe_that_works_reopens_the_direction_and_closes_the_alert(engine: Engine) -> None:
    # given a quarantined direction with ten messages whose probe is due
    tenant = engine.tenant()
    engine.enqueue(tenant, *range(1, 11))
    quarantined(engine, tenant, probe_due=True)
    # when
    with engine.relay(), engine.worker():
        engine.empty()
    # then
    assert state(engine, tenant) == "healthy"
    assert sorted(engine.effects()) == list(range(1, 11))
    assert engine.value("SELECT count(*) FROM alert WHERE closed_at IS NULL") == 0


def test_a_probe_that_fails_lets_one_message_out_and_sets_the_next_time(engine: Engine) -> None:
    tenant = engine.tenant()
    for subject in range(1, 11):
        engine.script(subject, "unauthorized")
    engine.enqueue(tenant, *range(1, 11))
    quarantined(engine, tenant, probe_due=True)
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        engine.wait(lambda: engine.value("SELECT count(*) FROM message WHERE state = 'sent'") == 0)
    assert engine.value("SELECT count(*) FROM test_begun") == 1
    assert state(engine, tenant) == "quarantined"
    waits = engine.execute("SELECT probes, extract(epoch FROM probe_at - now()) FROM tenant_direction WHERE probes > 0")
    assert waits[0][0] == 1
    assert 290 < waits[0][1] <= 300
    assert engine.value("SELECT count(*) FROM alert") == 1


def test_a_probe_that_calls_nobody_proves_nothing(engine: Engine) -> None:
    tenant = engine.tenant()
    engine.script(1, "quiet")
    message = engine.enqueue(tenant, 1)[1]
    quarantined(engine, tenant, probe_due=True)
    deliver(engine, message)
    assert engine.effects() == [1]
    assert state(engine, tenant) == "quarantined"
    assert engine.value("SELECT probe_at <= clock_timestamp() FROM tenant_direction WHERE probe_at IS NOT NULL")


def test_without_messages_a_cheap_read_probes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = engine.tenant()
    quarantined(engine, tenant, probe_due=True)
    asked: list[int] = []
    monkeypatch.setitem(PROBES, "enrollments", asked.append)
    assert [future.result() for future in probe()] == [True]
    assert asked == [tenant]
    assert state(engine, tenant) == "healthy"
    assert probe() == []


def test_probes_that_hang_keep_neither_others_nor_a_process_that_ends(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = [engine.tenant(f"hangs{number}") for number in range(2)]
    for tenant in hangs:
        quarantined(engine, tenant, probe_due=True)
    over = threading.Event()
    monkeypatch.setitem(PROBES, "enrollments", lambda tenant: over.wait(60) if tenant in hangs else None)
    try:
        begun = probe()
        assert len(begun) == 2
        # the interpreter waits at its end for every thread that is no daemon
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "probe"] == [True, True]
        works = engine.tenant("works")
        quarantined(engine, works, probe_due=True)
        engine.execute(
            "UPDATE tenant_direction SET probe_at = now() + '1h'::interval WHERE tenant_id = ANY(:h)", h=hangs
        )
        assert [future.result(timeout=20) for future in probe()] == [True]
        assert state(engine, works) == "healthy"
    finally:
        over.set()
    assert [future.result(timeout=20) for future in begun] == [True, True]


def test_an_operator_resumes_at_once(engine: Engine) -> None:
    tenant = engine.tenant()
    quarantined(engine, tenant, probe_due=False)
    with transaction() as connection:
        assert health.resume(connection, tenant) == ["enrollments"]
    assert state(engine, tenant) == "healthy"
    assert engine.value("SELECT count(*) FROM alert WHERE closed_at IS NULL") == 0


def test_a_stopped_run_lets_no_write_happen_and_leaves_its_line_pending(engine: Engine) -> None:
    tenant = engine.tenant()
    line = plan_line(engine, tenant)
    working = engine.enqueue(tenant, 1, run_id="run1", plan_line_id=line)[1]
    other_line = plan_line(engine, tenant)
    engine.enqueue(tenant, 2, run_id="run1", plan_line_id=other_line)
    delivery = begin(engine, working)
    with transaction() as connection:
        assert request_stop(connection, "run1") == "stopped"
    with pytest.raises(Stopped):
        delivery.check(1)
    record(delivery, Stopped())
    assert engine.value("SELECT count(*) FROM message") == 0
    assert set(engine.execute("SELECT outcome, reason FROM plan_line")) == {("pending", "stopped")}
    assert engine.value("SELECT status FROM run") == "stopped"


def test_stopping_a_run_waits_for_nobody_and_what_was_held_stops_by_itself(engine: Engine, database_url: str) -> None:
    # given two messages of a run, one in the hands of somebody's transaction
    tenant = engine.tenant()
    for subject in (1, 2):
        engine.enqueue(tenant, subject, run_id="run1", plan_line_id=plan_line(engine, tenant))
    held = engine.value("SELECT min(id) FROM message")
    with psycopg.connect(database_url) as somebody, transaction() as connection:
        somebody.execute("SELECT id FROM message WHERE id = %s FOR UPDATE", [held])
        # when
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert request_stop(connection, "run1") == "stopped"
    assert engine.value("SELECT array_agg(id) FROM message") == [held]
    # then no write of the other begins either
    delivery = begin(engine, held)
    with pytest.raises(Stopped):
        delivery.check(1)
    record(delivery, Stopped())
    assert engine.value("SELECT count(*) FROM message") == 0
    assert set(engine.execute("SELECT outcome, reason FROM plan_line")) == {("pending", "stopped")}


def test_a_write_that_may_outlast_the_lease_gets_a_fresh_one(engine: Engine) -> None:
    # given a delivery that used most of its lease before its write
    delivery = begin(engine, engine.enqueue(engine.tenant(), 1)[1])
    delivery.check(120)
    engine.execute("UPDATE message SET lease_until = now() + interval '20 seconds'")
    left = "SELECT extract(epoch FROM lease_until - now()) FROM message"
    # when a short call is next, then nothing changes
    delivery.check(10)
    assert engine.value(left) < 21
    # when a long one is, it has the whole lease
    delivery.check(30)
    assert engine.value(left) > delivery.lease_seconds - 10
    assert delivery.remaining_seconds() > delivery.lease_seconds - 10
    # and nothing of it helps a delivery that ended
    engine.execute("UPDATE message SET deliveries = deliveries + 1, lease_until = now()")
    with pytest.raises(NotOurs):
        delivery.check(30)
    assert engine.value(left) < 1


def test_what_is_noted_with_a_check_that_fails_leaves_no_trace(engine: Engine) -> None:
    delivery = begin(engine, engine.enqueue(engine.tenant(), 1)[1])
    engine.execute("UPDATE message SET lease_until = now() + interval '20 seconds'")

    def refuse(connection: Connection) -> None:
        raise Stopped("changed meanwhile")

    with pytest.raises(Stopped):
        delivery.check(120, refuse)
    assert engine.value("SELECT extract(epoch FROM lease_until - now()) FROM message") < 21
    assert delivery.remaining_seconds() > 100


def test_a_renewed_lease_restarts_the_time_limit_of_its_delivery(engine: Engine) -> None:
    # given a lease of 10 s, so a limit of 8 s; 6 s of work before a write that wants most of a lease, and 6 s after it
    engine.script(1, "checked_long", 6.0)
    engine.enqueue(engine.tenant(), 1)
    # when
    with engine.process(KOPPELING_LEASE="10s"):
        engine.wait(lambda: engine.effects() or engine.value("SELECT sum(attempts) FROM message"), seconds=60)
    # then
    assert engine.effects() == [1]


def test_a_lease_that_nobody_can_renew_costs_an_attempt(engine: Engine) -> None:
    # given a suspect in a process of its own, whose parent waits no longer than its own lease
    delivery = begin(engine, engine.enqueue(engine.tenant(), 1)[1])
    alone = resume(delivery.message_id, delivery.tenant_id, delivery.number)
    assert alone is not None
    engine.execute("UPDATE message SET lease_until = now() + interval '20 seconds'")
    # when
    with pytest.raises(LeaseShort) as short:
        alone.check(30)
    record(alone, short.value)
    # then it does not go round at once
    row = engine.message(delivery.message_id)
    assert (row.state, row.attempts, row.history[0]["code"]) == ("scheduled", 1, "lease_short")


def test_a_delivery_that_ended_may_write_nothing(engine: Engine) -> None:
    delivery = begin(engine, engine.enqueue(engine.tenant(), 1)[1])
    engine.execute("UPDATE message SET deliveries = deliveries + 1")
    with pytest.raises(NotOurs):
        delivery.check(1)


def test_a_process_gives_back_only_what_no_other_has_begun(
    engine: Engine, postgres_url: str, database_url: str
) -> None:
    """A process that was silent for 30 s still works on what Redis then gave to this one as well."""
    begun, lost = (begin(engine, message) for message in engine.enqueue(engine.tenant(), 1, 2).values())
    engine.execute("UPDATE message SET worker = 'elsewhere:1:x' WHERE id = :id", id=begun.message_id)
    engine.execute("UPDATE message SET worker = NULL, started_at = NULL WHERE id = :id", id=lost.message_id)
    # when the second copies come while PostgreSQL is away for this process
    with closed_database(postgres_url, database_url):
        for delivery in (begun, lost):
            run_delivery(Envelope(delivery.kind, delivery.tenant_id, delivery.message_id, delivery.number))
    with unrecorded.given_back():
        assert unrecorded.some()
    # then
    begun.check(1)
    assert engine.message(lost.message_id).state == "ready"


def test_a_suspect_has_a_process_of_its_own_and_is_done_there_when_it_was_innocent(engine: Engine) -> None:
    # given a message whose worker died twice
    tenant = engine.tenant()
    line = plan_line(engine, tenant)
    message = engine.enqueue(tenant, 1, run_id="run1", plan_line_id=line)[1]
    for kills in (1, 2):
        begin(engine, message)
        engine.execute("UPDATE message SET lease_until = now() - interval '1 second'")
        assert lease_expiry.expire() == 1
        assert (engine.message(message).state, engine.message(message).kills) == ("ready", kills)
    # when
    deliver(engine, message)
    # then it was done, by somebody else
    assert engine.effects() == [1]
    assert engine.value("SELECT pid FROM test_effect") != os.getpid()
    assert engine.value("SELECT outcome FROM plan_line") == "created"
    assert engine.letters() == []


def test_a_suspect_may_write_although_starting_its_process_took_half_of_the_lease(engine: Engine) -> None:
    delivery = begin(engine, engine.enqueue(engine.tenant(), 1)[1])
    engine.execute("UPDATE message SET lease_until = now() + make_interval(secs => :s)", s=delivery.lease_seconds / 2)
    alone = resume(delivery.message_id, delivery.tenant_id, delivery.number)
    assert alone is not None
    alone.check(delivery.lease_seconds)


def test_a_suspect_that_kills_its_own_process_too_is_a_dead_letter(engine: Engine) -> None:
    message = engine.enqueue(engine.tenant(), 1)[1]
    engine.execute("UPDATE message SET kills = 2")
    engine.script(1, "kill")
    deliver(engine, message)
    (letter,) = engine.letters()
    assert (letter.error, letter.internal_id) == ("poison", "10001")
    assert engine.message(message) is None


def test_a_suspect_that_fails_in_its_own_process_fails_like_any_other(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    message = engine.enqueue(engine.tenant(), 1)[1]
    engine.execute("UPDATE message SET kills = 2")
    engine.script(1, "unknown")
    deliver(engine, message)
    assert (engine.message(message).state, engine.message(message).attempts) == ("scheduled", 1)
    # and says so like every other process: structured, on standard error
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["action"] for line in said if line["event"] == "delivery_ended"] == ["retry"]


def test_a_message_that_takes_whole_machines_along_rests_in_the_end(engine: Engine) -> None:
    message = engine.enqueue(engine.tenant(), 1)[1]
    begin(engine, message)
    engine.execute("UPDATE message SET kills = 7, lease_until = now() - interval '1 second'")
    assert lease_expiry.expire() == 1
    assert [letter.error for letter in engine.letters()] == ["poison"]
    assert engine.message(message) is None


def test_a_lease_that_ends_before_a_worker_began_counts_for_nothing(engine: Engine) -> None:
    message = engine.enqueue(engine.tenant(), 1)[1]
    for _ in range(5):
        engine.execute(
            "UPDATE message SET state = 'sent', deliveries = deliveries + 1, lease_until = now() - '1s'::interval"
        )
        lease_expiry.expire()
    assert (engine.message(message).state, engine.message(message).kills) == ("ready", 0)


def test_a_message_of_another_tenant_becomes_a_dead_letter_and_the_real_one_untouched(engine: Engine) -> None:
    mine, other = engine.tenant("mine"), engine.tenant("other")
    message = engine.enqueue(mine, 1)[1]
    engine.execute("UPDATE message SET state = 'sent', deliveries = 1, lease_until = now() + '1h', sent_at = now()")
    for forged in (
        Envelope(KIND, other, message, 1),
        Envelope("completion.test", mine, message, 1),
        Envelope(KIND, mine, 999_999, 1),
    ):
        run_delivery(forged)
    assert [letter.error for letter in engine.letters()] == ["foreign_message"] * 3
    assert all(letter.tenant_id is None for letter in engine.letters())
    assert engine.effects() == []
    run_delivery(Envelope(KIND, mine, message, 1))
    assert engine.effects() == [1]


def test_deliveries_that_a_failover_made_the_ledger_forget_are_dropped_and_what_it_knows_is_done(
    engine: Engine,
) -> None:
    # given a database that is at an earlier moment than Redis
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    engine.execute("UPDATE message SET state = 'sent', deliveries = 2, lease_until = now() + '1h', sent_at = now()")
    # when
    for forgotten in (Envelope(KIND, tenant, message, 3), Envelope(KIND, tenant, message + 40, 1)):
        run_delivery(forgotten)
    # then
    assert engine.letters() == []
    assert engine.effects() == []
    run_delivery(Envelope(KIND, tenant, message, 2))
    assert engine.effects() == [1]


def test_an_id_that_a_failover_gave_to_another_message_lets_nobody_end_that_one(engine: Engine) -> None:
    # given a delivery in hand whose message the database forgot, and another one with its id and number
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    hand_out = "UPDATE message SET state = 'sent', deliveries = 1, lease_until = now() + '1h', sent_at = now()"
    engine.execute(hand_out)
    delivery = claim(Envelope(KIND, tenant, message, 1))
    assert delivery is not None
    engine.execute("UPDATE message SET subject_id = 2")
    # when, then
    with pytest.raises(NotOurs), delivery.settle():
        pass
    assert engine.message(message).subject_id == 2


def test_the_time_limit_ends_a_delivery_before_its_lease(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert time_limit_seconds() == 160
    monkeypatch.setenv("KOPPELING_LEASE", "5s")
    settings.get.cache_clear()
    assert time_limit_seconds() == 4
