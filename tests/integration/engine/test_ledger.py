"""From the ledger through Redis to the handler and out of the ledger: once, in order, fairly."""

from __future__ import annotations

import json

import psycopg
import pytest
import redis

from models.advisory_locks import AdvisoryLock
from models.session import transaction
from tenancy import health
from tests.integration.engine.conftest import Engine
from tests.integration.engine.kinds import KIND, WRITES
from workers.broker import broker
from workers.messages.envelope import Envelope
from workers.messages.execute import claim, run_delivery
from workers.relay.fairness import COMPLETIONS_STANDING_BY
from workers.relay.leader import Leader


@pytest.mark.usefixtures("carried")
def test_enqueued_messages_are_done_once_and_leave_the_ledger(engine: Engine) -> None:
    # given
    tenant = engine.tenant()
    # when
    with engine.relay(), engine.worker():
        engine.enqueue(tenant, *range(1, 101))
        engine.empty()
    # then
    assert sorted(engine.effects()) == list(range(1, 101))
    assert engine.letters() == []


def test_a_message_in_redis_names_ids_only(engine: Engine, client: redis.Redis) -> None:
    tenant = engine.tenant()
    ids = engine.enqueue(tenant, 7)
    with engine.relay():
        engine.wait(lambda: client.llen("koppeling:enrollments"))
    (body,) = client.hvals("koppeling:enrollments.msgs")
    assert set(json.loads(body)["kwargs"].items()) == {
        ("tenant", tenant),
        ("message", ids[7]),
        ("delivery", 1),
        ("v", 1),
    }


def test_doubled_late_and_reordered_deliveries_change_nothing(engine: Engine) -> None:
    # given two deliveries of one message, of which the first was taken back
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    late, current = Envelope(KIND, tenant, message, 1), Envelope(KIND, tenant, message, 2)
    engine.execute("UPDATE message SET state = 'sent', deliveries = 2, sent_at = now(), lease_until = now() + '1h'")
    # when the old one, the new one, the new one again and the old one arrive
    for delivery in (late, current, current, late):
        run_delivery(delivery)
    # then
    assert engine.effects() == [1]
    assert engine.value("SELECT delivery FROM test_effect") == 2
    assert engine.letters() == []


def test_a_delivery_that_was_replaced_while_it_worked_records_nothing(engine: Engine) -> None:
    # given a delivery in hand
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    engine.execute("UPDATE message SET state = 'sent', deliveries = 1, sent_at = now(), lease_until = now() + '1h'")
    delivery = claim(Envelope(KIND, tenant, message, 1))
    assert delivery is not None
    # when its lease ends, the message goes out again, and only then the first one wants to settle
    engine.execute("UPDATE message SET deliveries = 2, started_at = NULL")
    stale = False
    try:
        with delivery.settle() as connection:
            connection.exec_driver_sql("DELETE FROM tenant")
    except Exception as error:
        stale = type(error).__name__ == "NotOurs"
    # then
    assert stale
    assert engine.value("SELECT count(*) FROM tenant") == 1
    assert engine.message(message).deliveries == 2


@pytest.mark.usefixtures("carried")
def test_newer_content_that_arrives_meanwhile_is_done_by_another_delivery(engine: Engine) -> None:
    # given a message that is being worked on
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1, version=1)[1]
    engine.script(1, "sleep", 0.5)
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        # when its content changes
        assert engine.enqueue(tenant, 1, version=2) == {1: message}
        engine.empty()
    # then both versions were worked on, the newer one last
    assert [row.version for row in engine.execute("SELECT version FROM test_effect ORDER BY id")] == [1, 2]


@pytest.mark.usefixtures("carried")
def test_two_messages_of_one_lock_are_never_out_together_and_go_in_order(engine: Engine) -> None:
    tenant = engine.tenant()
    subjects = list(range(1, 9))
    for subject in subjects:
        engine.script(subject, "sleep", 0.05)
        engine.enqueue(tenant, subject, lock="person:1")
    with engine.relay(), engine.worker(8):
        engine.empty()
    assert engine.effects() == subjects
    overlaps = engine.value(
        """SELECT count(*) FROM test_begun later JOIN test_effect e ON e.subject_id < later.subject_id
            WHERE later.at < e.at"""
    )
    assert overlaps == 0


@pytest.mark.usefixtures("carried")
def test_the_same_lock_of_another_tenant_does_not_wait(engine: Engine) -> None:
    one, other = engine.tenant("one"), engine.tenant("other")
    engine.script(1, "sleep", 3)
    with engine.relay(), engine.worker():
        engine.enqueue(one, 1, lock="person:1")
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        engine.enqueue(other, 2, lock="person:1")
        engine.wait(lambda: engine.effects() == [2], 2)


@pytest.mark.usefixtures("carried")
def test_one_account_is_never_out_for_two_tenants_and_waits_for_none_that_stands_still(engine: Engine) -> None:
    # given an organisation that two tenants share: an account's id is the same for both
    one, other = engine.tenant("one"), engine.tenant("other")
    engine.script(1, "sleep", 0.5)
    engine.enqueue(one, 1, lock="account:7")
    engine.enqueue(other, 2, lock="account:7")
    # when
    with engine.relay(), engine.worker():
        engine.empty()
    # then
    assert engine.effects() == [1, 2]
    begun = "SELECT at FROM test_begun WHERE subject_id = 2"
    assert engine.value(f"SELECT ({begun}) >= (SELECT at FROM test_effect WHERE subject_id = 1)")
    # when the older one may not go
    engine.execute("UPDATE tenant_direction SET state = 'paused' WHERE tenant_id = :one", one=one)
    engine.enqueue(one, 3, lock="account:7")
    engine.enqueue(other, 4, lock="account:7")
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.effects() == [1, 2, 4])


@pytest.mark.usefixtures("carried")
def test_a_message_waits_for_the_one_it_comes_after(engine: Engine) -> None:
    tenant = engine.tenant()
    first = engine.enqueue(tenant, 1)[1]
    engine.script(1, "sleep", 0.3)
    engine.enqueue(tenant, 2, after_id=first, priority=0)
    with engine.relay(), engine.worker():
        engine.empty()
    assert engine.effects() == [1, 2]


@pytest.mark.usefixtures("carried")
def test_urgent_messages_of_a_tenant_go_first(engine: Engine) -> None:
    tenant = engine.tenant()
    engine.enqueue(tenant, *range(1, 30))
    engine.enqueue(tenant, 99, priority=0)
    with engine.relay(), engine.worker(1):
        engine.empty()
    assert engine.effects()[0] == 99


@pytest.mark.usefixtures("carried")
def test_few_more_write_backs_are_out_than_the_environment_takes(engine: Engine) -> None:
    tenant = engine.tenant(parallel_calls=2)
    for subject in range(1, 9):
        engine.script(subject, "sleep", 0.05)
    engine.enqueue(tenant, *range(1, 9), kind=WRITES)
    most = 0
    with engine.relay(), engine.worker(8):
        while engine.value("SELECT count(*) FROM message"):
            most = max(most, engine.value("SELECT count(*) FROM message WHERE state = 'sent'"))
    assert most == 2 + COMPLETIONS_STANDING_BY
    assert sorted(engine.effects()) == list(range(1, 9))


@pytest.mark.usefixtures("carried")
def test_a_small_tenant_does_not_wait_for_a_big_one(engine: Engine) -> None:
    # given a tenant with far more work than may be in flight
    big, small = engine.tenant("big"), engine.tenant("small")
    engine.enqueue(big, *range(1, 401))
    with engine.relay(), engine.worker(2):
        engine.wait(lambda: len(engine.effects()) > 10)
        # when a small one comes
        done_before = len(engine.effects())
        engine.enqueue(small, *range(1001, 1006))
        engine.wait(lambda: {1001, 1002, 1003, 1004, 1005} <= set(engine.effects()))
        place = max(i for i, subject in enumerate(engine.effects()) if subject > 1000)
    # then all of it went within about one in-flight limit
    assert place < done_before + 60


@pytest.mark.usefixtures("carried")
def test_paused_and_waiting_directions_get_nothing_until_they_may(engine: Engine) -> None:
    # given
    tenant = engine.tenant()
    with transaction() as connection:
        health.pause(connection, tenant, "enrollments", "holiday")
        health.wait_until(connection, tenant, "completions", 3600)
    engine.enqueue(tenant, 1)
    engine.enqueue(tenant, 2, kind=WRITES)
    other = engine.tenant("other")
    with engine.relay(), engine.worker():
        engine.enqueue(other, 3)
        engine.wait(lambda: engine.effects() == [3])
        assert engine.value("SELECT count(*) FROM message WHERE state = 'ready'") == 2
        # when
        with transaction() as connection:
            assert health.resume(connection, tenant) == ["enrollments"]
        engine.empty()
    # then
    assert sorted(engine.effects()) == [1, 2, 3]


@pytest.mark.usefixtures("carried")
def test_what_was_fetched_before_a_pause_goes_back_unburnt(engine: Engine) -> None:
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    with engine.relay():
        engine.wait(lambda: engine.message(message).state == "sent")
    with transaction() as connection:
        health.pause(connection, tenant, None, "holiday")
    with engine.worker():
        engine.wait(lambda: engine.message(message).state == "ready")
    assert engine.effects() == []
    assert engine.message(message).attempts == 0


@pytest.mark.usefixtures("carried")
def test_scheduled_messages_go_when_they_are_due(engine: Engine) -> None:
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    engine.execute("UPDATE message SET state = 'scheduled', run_at = now() + '0.5s'")
    with engine.relay(), engine.worker():
        engine.empty()
    late = engine.value("SELECT at FROM test_effect")
    assert engine.effects() == [1]
    assert late is not None
    assert engine.message(message) is None


@pytest.mark.usefixtures("carried")
def test_one_process_leads_and_another_follows_when_it_ends(engine: Engine) -> None:
    tenant = engine.tenant()
    with engine.worker(), engine.relay() as first:
        engine.wait(lambda: first.leader.leading)
        with engine.relay() as second:
            engine.enqueue(tenant, 1)
            engine.empty()
            assert not second.leader.leading
            first.stop()
            engine.wait(lambda: second.leader.leading)
            engine.enqueue(tenant, 2)
            engine.empty()
    assert engine.effects() == [1, 2]


def test_a_connection_that_could_not_listen_is_not_kept(engine: Engine) -> None:
    """A standby takes no LISTEN; once it is promoted, a connection from before would never hear anything."""
    leader = Leader(AdvisoryLock.RELAY, "relay", "no channel")
    with pytest.raises(psycopg.Error):
        leader.lead()
    leader.channel = "koppeling_runs"
    connection = leader.lead()
    assert connection is not None
    engine.execute("NOTIFY koppeling_runs")
    assert [note.channel for note in connection.notifies(timeout=20, stop_after=1)] == ["koppeling_runs"]
    leader.resign()


def test_queues_are_empty_in_redis_when_all_is_done(engine: Engine, client: redis.Redis) -> None:
    tenant = engine.tenant()
    with engine.relay(), engine.worker():
        engine.enqueue(tenant, *range(1, 21))
        engine.empty()
        engine.wait(lambda: not client.hlen("koppeling:enrollments.msgs"))
    left = {key for key in client.keys("*") if b"heartbeats" not in key and b"memory" not in key}
    assert left == set()
    assert not any(broker.held.values())
