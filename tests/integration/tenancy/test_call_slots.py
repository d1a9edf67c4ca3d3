"""Slots: at most so many calls at once, whatever interrupts or kills who holds them."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import QueuePool
from sqlalchemy.exc import OperationalError

import settings
from models import session
from models.advisory_locks import AdvisoryLock
from tenancy import call_slots
from tenancy.call_slots import call_slot
from tests.integration.engine.conftest import closed_database

ENVIRONMENT = "https://12345.rest.afas.online"


@pytest.fixture(autouse=True)
def pool(configured: settings.Settings) -> None:
    return


def locks(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
            [AdvisoryLock.CALL_SLOT],
        ).fetchone()
    return int(row[0]) if row else -1


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def test_never_more_at_once_than_the_limit_and_nobody_is_left_out(database_url: str) -> None:
    running, most, done = [0], [0], [0]
    lock = threading.Lock()

    def call() -> None:
        with call_slot(ENVIRONMENT, 3, 60):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.01)
            with lock:
                running[0] -= 1
                done[0] += 1

    threads = [threading.Thread(target=call) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (done[0], most[0]) == (40, 3)
    until(lambda: locks(database_url) == 0)


def test_slots_take_no_connection_of_the_pool_and_one_for_all() -> None:
    session.engine().dispose()
    with call_slot(ENVIRONMENT, 5), call_slot(ENVIRONMENT, 5), call_slot("https://another", 5):
        pool = session.engine().pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == 0


def test_another_process_counts_too(database_url: str) -> None:
    with call_slot(ENVIRONMENT, 1), psycopg.connect(database_url) as other:
        base = call_slots._keepers[settings.get().need_database()]._held[0].number
        row = other.execute("SELECT pg_try_advisory_lock(%s, %s)", [AdvisoryLock.CALL_SLOT, base]).fetchone()
        assert row == (False,)


def test_who_waits_in_vain_is_told_in_time_and_leaves_nothing_behind(database_url: str) -> None:
    with call_slot(ENVIRONMENT, 1):
        with pytest.raises(TimeoutError), call_slot(ENVIRONMENT, 1, 0.2):
            pass
        with call_slot("https://another", 1, 5):  # another environment's does not wait behind it
            pass
    with call_slot(ENVIRONMENT, 1, 5):
        pass
    until(lambda: locks(database_url) == 0)


def test_a_time_limit_anywhere_in_a_call_leaves_no_slot_behind(database_url: str) -> None:
    """The limit raises in a worker's thread at any instruction: between the lock and the ``try`` as well."""

    class Interrupted(BaseException):
        pass

    def call() -> None:
        try:
            for _ in range(100):
                with call_slot(ENVIRONMENT, 2, 5):
                    pass
        except Interrupted:
            pass

    for attempt in range(60):
        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.001 * (attempt % 20))
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted))
        thread.join(20)
        assert not thread.is_alive()
    until(lambda: locks(database_url) == 0)
    with call_slot(ENVIRONMENT, 2, 5), call_slot(ENVIRONMENT, 2, 5):
        pass


def test_without_postgresql_who_asks_is_told_and_later_it_works_again(postgres_url: str, database_url: str) -> None:
    with call_slot(ENVIRONMENT, 1):
        with closed_database(postgres_url, database_url), pytest.raises(OperationalError) as caught:  # noqa: SIM117
            with call_slot(ENVIRONMENT, 2, 5):
                pass
        assert session.is_away(caught.value)
        # the call that went on still counts in this process
        with pytest.raises(TimeoutError), call_slot(ENVIRONMENT, 1, 0.5):
            pass
    with call_slot(ENVIRONMENT, 1, 5):
        pass


def test_a_long_call_keeps_its_slot_and_a_process_that_stands_still_gives_it_back(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setattr(call_slots, "SILENT_SECONDS", 4)
    monkeypatch.setattr(call_slots, "IDLE_SECONDS", 0.4)  # it looks ten times a second
    monkeypatch.setattr(call_slots, "SPEAK_SECONDS", 0.1)
    with call_slot(ENVIRONMENT, 1):
        time.sleep(6)
        assert locks(database_url) == 1
        # a frozen one says nothing
        monkeypatch.setattr(call_slots, "SPEAK_SECONDS", 1000.0)
        until(lambda: locks(database_url) == 0, 30)
