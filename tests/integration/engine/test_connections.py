"""Connections to PostgreSQL: no number of threads blocks itself, idle ones go back, and some are left for commands."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import QueuePool, text

from models import session
from models.session import transaction
from tests.integration.engine import kinds
from tests.integration.engine.conftest import Engine
from workers.process import connections


def count(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            """SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'koppeling%'"""
        ).fetchone()
    return int(row[0]) if row else -1


@pytest.mark.parametrize("threads", [8, 24, 32])
def test_any_number_of_threads_works_through_calls_that_need_a_slot(
    engine: Engine, client: redis.Redis, database_url: str, threads: int
) -> None:
    tenants = [engine.tenant(f"t{number}") for number in range(12)]
    for number, tenant in enumerate(tenants):
        engine.enqueue(tenant, *range(number * 1000 + 1, number * 1000 + 16), kind=kinds.CALLS)
    most = 0
    with engine.process(threads=threads, runners=4):

        def done() -> bool:
            nonlocal most
            pool = session.engine().pool
            assert isinstance(pool, QueuePool)
            most = max(most, count(database_url) - pool.checkedin())
            return bool(engine.value("SELECT count(*) FROM message") == 0)

        engine.wait(done, 90, "all of them done")
        # nothing was handed out twice for want of a sign of life, and nothing counts as killed
        assert engine.value("SELECT max(delivery) FROM test_effect") == 1
        limit = engine.value("SELECT connections FROM worker")
        assert limit == connections.pool_size(threads, 4) + connections.ALONE
        assert most <= limit + 1  # and this test's own


def test_idle_connections_go_back_to_postgresql(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session._Pool, "one_each", False)
    held = [session.engine().connect() for _ in range(6)]
    for one in held:
        one.close()
    before = count(database_url)
    assert session.close_idle(60) == 0
    time.sleep(0.05)
    assert session.close_idle(0.01) == before > 1
    assert count(database_url) == 0
    # and come again when they are wanted
    with transaction() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_giving_back_idle_ones_never_takes_one_that_is_taken_at_that_moment(engine: Engine) -> None:
    stopping = threading.Event()
    failed: list[BaseException] = []

    def use() -> None:
        while not stopping.is_set():
            try:
                with transaction() as connection:
                    connection.execute(text("SELECT 1"))
            except Exception as error:
                failed.append(error)
            time.sleep(0.001)

    users = [threading.Thread(target=use) for _ in range(6)]
    for user in users:
        user.start()
    end = time.monotonic() + 2
    closed = 0
    while time.monotonic() < end:
        closed += session.close_idle(0.0)
    stopping.set()
    for user in users:
        user.join(10)
    assert failed == []
    assert closed > 0


def test_idle_ones_go_back_while_other_threads_open_theirs(engine: Engine) -> None:
    class Connection:
        """What a pool's event gets; only its record is looked at here."""

    class Record:
        """A pool's record of a connection that is in use."""

        def __init__(self) -> None:
            self.record_info: dict[str, Any] = {}
            self.info: dict[str, Any] = {}
            self.dbapi_connection = None

    stopping = threading.Event()
    kept: list[Record] = []

    def open_them() -> None:
        while not stopping.is_set():
            kept.append(record := Record())
            session._opened(Connection(), record)

    openers = [threading.Thread(target=open_them) for _ in range(3)]
    for opener in openers:
        opener.start()
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert session.close_idle(60) == 0
    finally:
        stopping.set()
        for opener in openers:
            opener.join(10)


def test_workers_take_what_the_server_has_and_leave_some_for_commands(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = connections.pool_size(8, 4)
    # given room for one worker of full size and a half
    room = session.RESERVED + connections.BESIDE + wanted + wanted // 2 + 2 * connections.ALONE
    monkeypatch.setattr(session, "room", lambda connection: room + foreign(database_url))
    engine.execute(
        "INSERT INTO worker (id, host, pid, threads, connections, code_version) VALUES ('a', 'h', 1, 8, :c, 'v')",
        c=wanted + connections.ALONE,
    )

    mine = connections.join(8, 4)

    assert mine == wanted // 2 + connections.ALONE
    # and one that finds nothing left works with the least that goes
    engine.execute("UPDATE worker SET connections = 500 WHERE id = 'a'")
    assert connections.join(8, 4) == connections.SMALLEST_POOL + connections.ALONE


def foreign(database_url: str) -> int:
    with psycopg.connect(database_url, application_name="koppeling test") as connection:
        row = connection.execute(
            """SELECT count(*) FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND application_name NOT LIKE 'koppeling%'"""
        ).fetchone()
    return int(row[0]) if row else 0


def test_a_pool_is_as_large_as_threads_and_runners_need() -> None:
    sizes = [connections.pool_size(threads, 4) for threads in (1, 8, 16, 24, 32, 128)]
    assert sizes == [9, 12, 16, 20, 24, 72]
