"""Status and health say when nobody leads, when work is ready and nothing goes, and when nothing can be written."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
import redis
from fastapi import Response
from sqlalchemy.exc import InternalError, OperationalError

from models.session import READ_ONLY, TOO_MANY, sqlstate, transaction
from ops import metrics, status
from ops.cli import errors
from ops.http import health
from tenancy import vital_signs
from tenancy.health import pause
from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_outages import read_only


def relay(engine: Engine) -> str:
    with transaction() as connection:
        return vital_signs.read(connection)["relay"]


def ready(engine: Engine) -> tuple[int, dict[str, str]]:
    answer = Response()
    told = health.readyz(answer)
    return answer.status_code, told


def test_it_shows_whether_anybody_leads(engine: Engine, client: redis.Redis) -> None:
    assert relay(engine) == "nobody"
    assert status.document()["relay"] == status.document()["timetable"] == "nobody"
    with engine.relay():
        engine.wait(lambda: relay(engine) == "ok", 5)
        assert ready(engine) == (
            200,
            {"status": "ok", "database": "ok", "broker": "ok", "relay": "ok", "maintenance": "nobody",
             "timetable": "nobody"},
        )  # fmt: skip
    engine.execute("UPDATE service SET seen_at = now() - interval '16 seconds'")
    assert relay(engine) == "nobody"
    assert ready(engine)[0] == 200  # webhooks can be taken all the same


def test_it_shows_that_nothing_goes_although_something_may(engine: Engine, client: redis.Redis) -> None:
    tenant, paused = engine.tenant(), engine.tenant("paused")
    engine.execute("INSERT INTO service (name, worker) VALUES ('relay', 'a')")
    # what may not go is nothing to complain of
    first = engine.enqueue(tenant, 1)[1]
    engine.execute("UPDATE message SET state = 'scheduled', run_at = now() + interval '2 hours'")
    engine.enqueue(tenant, 2, after_id=first)
    with transaction() as connection:
        pause(connection, paused, "enrollments", "holiday")
    engine.enqueue(paused, 3)
    engine.execute("UPDATE message SET run_at = now() - interval '2 minutes' WHERE state = 'ready'")
    assert relay(engine) == "ok"
    assert vital_signs.watch() == "ok"
    # what may is
    engine.enqueue(tenant, 4)
    engine.execute("UPDATE message SET run_at = now() - interval '2 minutes' WHERE subject_id = 4")
    assert relay(engine) == "stuck"
    assert vital_signs.watch() == "stuck"
    assert [alert["kind"] for alert in status.document()["alerts"]] == ["relay"]
    # until something goes
    engine.execute("UPDATE service SET worked_at = now()")
    assert vital_signs.watch() == "ok"
    assert status.document()["alerts"] == []


def test_liveness_tells_what_was_seen_and_asks_no_database(engine: Engine, client: redis.Redis) -> None:
    health.look()
    assert asyncio.run(health.healthz()) == {
        **{"status": "ok", "relay": "nobody"},
        **{"maintenance": "nobody", "timetable": "nobody"},
    }


def test_liveness_does_not_go_on_telling_what_was_long_ago(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at a database that hangs takes for ever."""
    health.look()
    monkeypatch.setitem(health._seen_at, "monotonic", health._seen_at["monotonic"] - 60)
    assert set(asyncio.run(health.healthz()).values()) == {"ok", "unknown"}


def test_readiness_writes(engine: Engine, client: redis.Redis, database_url: str) -> None:
    assert ready(engine)[0] == 200
    with read_only(database_url):
        # the first answer may be about the connection that was cut
        engine.wait(lambda: ready(engine)[1]["database"] == "read only", 10)
        assert ready(engine)[0] == 503
        assert status.document()["database"] == "read only"
        assert not metrics.read()["writable"]
    engine.wait(lambda: ready(engine)[0] == 200, 10)
    assert status.document()["database"] == "ok"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InternalError("x", None, psycopg.errors.ReadOnlySqlTransaction("cannot execute")), "takes no writes"),
        (
            OperationalError("x", None, psycopg.OperationalError("FATAL:  sorry, too many clients already")),
            "no connection left",
        ),
        (
            psycopg.OperationalError("FATAL:  remaining connection slots are reserved for roles with"),
            "no connection left",
        ),
        (OperationalError("x", None, psycopg.errors.DiskFull("could not extend file")), "disk of the database is full"),
        (OperationalError("x", None, psycopg.errors.AdminShutdown("terminating connection")), "shutting down"),
        (OperationalError("x", None, psycopg.OperationalError("FATAL:  the database system is starting up")), "start"),
    ],
)
def test_each_trouble_of_the_database_has_its_sentence(error: Exception, words: str) -> None:
    line, code = errors._line(error)
    assert words in line
    assert code == 2


def test_a_refused_connection_is_told_from_one_that_is_away() -> None:
    assert sqlstate(psycopg.OperationalError("FATAL:  sorry, too many clients already")) == TOO_MANY
    assert sqlstate(psycopg.errors.ReadOnlySqlTransaction()) == READ_ONLY
    assert sqlstate(psycopg.OperationalError("connection refused")) == ""
