"""PostgreSQL is away for a moment, or answers and does nothing: whatever runs goes on afterwards, without a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from sqlalchemy import Connection

from models.advisory_locks import AdvisoryLock
from models.base import new_id
from models.direction import Direction
from models.session import DATABASE_TROUBLE, transaction
from ops.dead_letters import replay_batch
from ops.documents import Watched
from ops.runs import start, timetable
from producers.runs import request
from tenancy import health
from tests.integration.engine.conftest import Engine, closed_database
from workers.relay.relay import IDLE_SECONDS, Relay


def end_pooled_connections(database_url: str) -> int:
    """Like an administrator, a proxy or a failover: the pooled connections end, the leaders' stay."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return len(
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'koppeling'"
            ).fetchall()
        )


@contextmanager
def read_only(database_url: str) -> Iterator[None]:
    """The database answers and takes no writes, as after a failover; sessions that are open keep what they had."""
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [name],
        )
        try:
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off')
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )


def test_a_relay_that_was_held_up_rests_no_longer_for_it(engine: Engine, database_url: str) -> None:
    # given a relay that leads, and a table that somebody has for himself for a while
    relay = Relay()
    relay.step()
    engine.enqueue(engine.tenant(), 1)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE message IN ACCESS EXCLUSIVE MODE")
        release = threading.Timer(2.0, other.rollback)
        release.start()
        # when
        relay.step()
        release.join()
    relay.end()
    # then it hands out what waits, and looks again as soon as ever
    assert engine.value("SELECT state FROM message") == "sent"
    assert relay.pause <= IDLE_SECONDS


def test_the_relay_outlives_pooled_connections_that_were_ended(
    engine: Engine, client: redis.Redis, database_url: str
) -> None:
    tenant = engine.tenant()
    with engine.relay() as relay:
        engine.wait(lambda: relay.leader.leading, 5, "the lead")
        for subject in (1, 2, 3):
            time.sleep(0.5)
            assert end_pooled_connections(database_url) > 0
            time.sleep(1.2)  # at least one look at the leases
            assert relay.is_alive()
            engine.wait(lambda: bool(engine.value("SELECT 1")), 5)
            engine.enqueue(tenant, subject)
            engine.wait(lambda: engine.value("SELECT bool_and(state = 'sent') FROM message"), 10, "a hand-out")


@pytest.mark.parametrize("seconds", [0.05, 1.0])
def test_everything_in_a_worker_process_outlives_an_outage(
    engine: Engine, client: redis.Redis, postgres_url: str, database_url: str, seconds: float
) -> None:
    tenant = engine.tenant()
    with engine.process() as process:
        engine.alive(1)
        engine.enqueue(tenant, 1)
        engine.empty()

        with closed_database(postgres_url, database_url):
            time.sleep(seconds)

        # messages, runs, maintenance and the sign of life go on in the same process
        engine.wait(lambda: bool(engine.enqueue(tenant, 2)), 10)
        engine.empty()
        run = engine.wait(lambda: queue_run(engine, tenant), 10)
        engine.wait(lambda: engine.value("SELECT status FROM run WHERE id = :r", r=run) == "done", 20, "a run")
        engine.wait(lambda: engine.value("SELECT max(heartbeat_at) > now() - interval '4 seconds' FROM worker"), 10)
        assert process.poll() is None
        assert engine.effects() == [1, 2]


def test_a_run_that_an_outage_ended_begins_again_long_before_its_lease_ends(
    engine: Engine, client: redis.Redis, postgres_url: str, database_url: str
) -> None:
    # given a run in hand that needs the database while it is away
    tenant = engine.tenant()
    engine.script(0, "sleep", 2)
    with engine.process():
        run = queue_run(engine, tenant)
        engine.wait(lambda: engine.value("SELECT status FROM run WHERE id = :r", r=run) == "running", 30, "a claim")
        with closed_database(postgres_url, database_url):
            time.sleep(3)
        # then: a lease has 45 s
        engine.wait(lambda: engine.value("SELECT status FROM run WHERE id = :r", r=run) == "done", 25, "a run")
    assert engine.value("SELECT progress ->> 'crashes' FROM run WHERE id = :r", r=run) == "1"


def queue_run(engine: Engine, tenant: int) -> str:
    with transaction() as connection:
        return request.request_run(connection, tenant, "enrollments", trigger="test")


def test_a_database_that_takes_no_writes_for_a_while_costs_nothing(
    engine: Engine, client: redis.Redis, database_url: str
) -> None:
    tenant = engine.tenant()
    engine.script(1, "sleep", 2.0)
    engine.enqueue(tenant, 1)
    with engine.process() as process:
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun") == 1, 30)
        with read_only(database_url):
            time.sleep(4)
        engine.wait(lambda: bool(engine.enqueue(tenant, 2)), 10)
        engine.empty(30)
        assert process.poll() is None
    assert sorted(engine.effects()) == [1, 2]
    assert engine.letters() == []


def test_a_command_waits_for_its_runs_also_when_no_connection_is_left_to_listen_with(
    engine: Engine, postgres_url: str, database_url: str
) -> None:
    started = start.Started("batch", Direction.ENROLLMENTS, [queue_run(engine, engine.tenant())])
    looks: list[str] = []

    def watch(found: list[Watched]) -> None:
        looks.append(found[0]["status"])
        engine.execute("UPDATE run SET status = 'done'")

    # given a database that takes no more connections, and lets those work that there are
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            assert start.wait(started, 60, watch)
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert looks == ["queued", "done"]


def test_a_command_waits_for_its_runs_also_when_its_connections_were_ended(engine: Engine, database_url: str) -> None:
    started = start.Started("batch", Direction.ENROLLMENTS, [queue_run(engine, engine.tenant())])
    looks: list[str] = []

    def watch(found: list[Watched]) -> None:
        looks.append(found[0]["status"])
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE run SET status = 'done'")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    assert start.wait(started, 60, watch)
    assert looks == ["queued", "done"]
    with suppress(*DATABASE_TROUBLE):  # the next who asks gets a new connection
        engine.value("SELECT 1")


@pytest.mark.parametrize("thread", ["relay", "runner", "Thread-"])
def test_a_thread_that_ended_all_the_same_ends_its_process_with_1(
    engine: Engine, client: redis.Redis, thread: str
) -> None:
    """Nothing that we know ends one; what we don't know must not leave a process that does only half of its work."""
    engine.script(1, f"end {thread}")
    engine.enqueue(engine.tenant(), 1)
    with engine.process() as process:
        assert process.wait(timeout=60) == 1
        engine.wait(lambda: engine.effects() == [1], 5)  # what it had in hand was finished


def test_a_replay_batch_whose_dead_letters_are_gone_ends_and_the_timetable_goes_on(
    engine: Engine, client: redis.Redis
) -> None:
    gone, other = engine.tenant("gone"), engine.tenant("other")
    engine.execute("UPDATE tenant_direction SET next_run_at = now() + interval '1 hour'")
    letters = [letter(engine, gone, subject) for subject in (1, 2, 3)]
    batch = replay_batch.create(letters, rate=1000, who="me")
    engine.execute("DELETE FROM tenant WHERE id = :t", t=gone)
    with keeping_the_timetable():
        engine.wait(lambda: engine.value("SELECT state FROM replay_batch WHERE id = :b", b=batch) == "done", 10)
        engine.execute(
            "UPDATE tenant_direction SET next_run_at = now() WHERE tenant_id = :t AND direction = 'enrollments'",
            t=other,
        )
        engine.wait(lambda: engine.value("SELECT count(*) FROM run WHERE tenant_id = :t", t=other) == 1, 10)


def test_one_batch_and_one_tenant_in_trouble_keep_the_timetable_from_nobody(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time zone that this machine doesn't know, a batch that can't be read."""
    monkeypatch.setattr(timetable, "SLOW_SECONDS", 2.0)
    bad, good = engine.tenant("bad"), engine.tenant("good")
    engine.execute("UPDATE tenant SET timezone = 'Mars/Olympus', first_complete_at = now() WHERE id = :t", t=bad)
    engine.execute("INSERT INTO replay_batch (id, rate, max_failures, ids, started_by) VALUES ('b', 1, 1, '{}', 'me')")
    engine.execute("UPDATE tenant SET interval_seconds = 60")
    engine.execute("UPDATE tenant_direction SET next_run_at = now() WHERE direction = 'enrollments'")
    with keeping_the_timetable():
        engine.wait(lambda: engine.value("SELECT count(DISTINCT tenant_id) FROM run") == 2, 10)
        engine.execute(
            """INSERT INTO hold (id, tenant_id, run_id, guard, plan_hash, expires_at)
               SELECT :h, :t, r.id, 'removals_run', 'x', now() - interval '1 minute' FROM run r
                WHERE r.tenant_id = :t""",
            h=new_id(),
            t=good,
        )
        engine.wait(lambda: engine.value("SELECT state <> 'open' FROM hold"), 40, "the hold's end")


def test_a_direction_that_somebody_holds_delays_no_other(
    engine: Engine, client: redis.Redis, database_url: str
) -> None:
    held, other = engine.tenant("held"), engine.tenant("other")
    engine.execute("UPDATE tenant_direction SET next_run_at = now() + interval '1 hour'")
    for minutes, tenant in ((2, held), (1, other)):
        engine.execute(
            """UPDATE tenant_direction SET next_run_at = now() - make_interval(mins => :m)
                WHERE tenant_id = :t AND direction = 'enrollments'""",
            m=minutes,
            t=tenant,
        )
    with psycopg.connect(database_url) as connection:
        key = f"{held}:enrollments"
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [AdvisoryLock.RUNS, key])
        assert timetable.request_due() == 1
    assert engine.execute("SELECT tenant_id FROM run") == [(other,)]
    assert timetable.request_due() == 1


@contextmanager
def keeping_the_timetable() -> Iterator[None]:
    stopping = threading.Event()
    keeper = threading.Thread(target=timetable.run, args=(stopping,))
    keeper.start()
    try:
        yield
        assert keeper.is_alive()
    finally:
        stopping.set()
        keeper.join(20)


def letter(engine: Engine, tenant: int, subject: int) -> str:
    made = new_id()
    engine.execute(
        """INSERT INTO dead_letter (id, tenant_id, kind, direction, subject_id, error, message, fingerprint,
                                    code_version)
           VALUES (:id, :t, 'completion.fetch', 'completions', :s, 'timeout', 'x', 'f', 'v')""",
        id=made,
        t=tenant,
        s=subject,
    )
    return made


def test_a_stopped_tenant_s_canary_does_not_keep_the_others_waiting(engine: Engine, client: redis.Redis) -> None:
    # given a batch over two tenants whose first message is sent
    stopped, other = engine.tenant("a"), engine.tenant("b")
    letters = [letter(engine, tenant, webhook(engine, tenant)) for tenant in (stopped, stopped, other, other, other)]
    batch = replay_batch.create(letters, rate=1000, who="me")
    replay_batch.advance(batch)
    assert engine.execute("SELECT tenant_id FROM message") == [(stopped,)]

    # when it turns out only now that its direction does not work
    with transaction() as connection:
        health.quarantine(connection, stopped, "completions", "token_refused", "x", None)
    replay_batch.advance(batch)

    # then the next canary is another tenant's, and one of them only
    assert engine.value("SELECT count(*) FROM message WHERE tenant_id = :t", t=other) == 1
    engine.execute("DELETE FROM message WHERE tenant_id = :t", t=other)  # done
    engine.wait(lambda: (told := replay_batch.advance(batch)) is not None and told["state"] == "done", 10)
    assert engine.value("SELECT count(*) FROM message WHERE tenant_id = :t", t=other) == 2


def webhook(engine: Engine, tenant: int) -> int:
    return int(
        engine.value(
            """INSERT INTO webhook_event (tenant_id, body_sha256, event)
               VALUES (:t, decode(md5(random()::text), 'hex'), 'TRAINING_FINISHED') RETURNING id""",
            t=tenant,
        )
    )


def test_the_timetable_and_a_sync_of_all_tenants_do_not_deadlock(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = engine.tenant("a"), engine.tenant("b")
    for minutes, tenant in ((1, first), (2, second)):  # due in the other order than their names'
        engine.execute(
            """UPDATE tenant_direction SET next_run_at = now() - make_interval(mins => :m)
                WHERE tenant_id = :t AND direction = 'enrollments'""",
            m=minutes,
            t=tenant,
        )
    real, both = request.lock_runs, threading.Barrier(2, timeout=3)

    def slow(connection: Connection, tenant_id: int, direction: str) -> None:
        real(connection, tenant_id, direction)
        with suppress(threading.BrokenBarrierError):
            both.wait()

    monkeypatch.setattr(request, "lock_runs", slow)
    failed: list[BaseException] = []

    def attempt(what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:
            failed.append(error)

    everyone = partial(start.start, Direction.ENROLLMENTS, [], everyone=True, options={}, need_worker=False)
    threads = [threading.Thread(target=attempt, args=(what,)) for what in (timetable.request_due, everyone)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)

    assert failed == []
    assert engine.value("SELECT count(*) FROM tenant_direction WHERE next_run_at > now()") == 2
