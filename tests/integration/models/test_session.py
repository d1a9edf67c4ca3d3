"""The pool: connections that PostgreSQL closed while they lay idle trouble nobody."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

import settings
from models import session


def test_idle_connections_that_were_closed_are_replaced(
    configured: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a pool with several connections, all of them terminated while idle
    monkeypatch.setattr(session._Pool, "one_each", False)
    opened = [session.engine().connect() for _ in range(5)]
    pids = [connection.execute(text("SELECT pg_backend_pid()")).scalar_one() for connection in opened]
    for connection in opened:
        connection.close()
    monkeypatch.setattr(session, "_TRUSTED_SECONDS", 0.0)
    with session.transaction() as connection:
        mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        for pid in set(pids) - {mine}:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    # when as many are used at once again
    again = [session.engine().connect() for _ in range(5)]

    # then all of them work
    assert [connection.execute(text("SELECT 1")).scalar_one() for connection in again] == [1] * 5
    for connection in again:
        connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tenant (slug, name, timezone, interval_seconds) VALUES (:v, :v, :v, NULL)",
        "INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)"
        " VALUES (:v, :v, 'UTC', 1, '{}', '{}'), (:v, :v, 'UTC', 1, '{}', '{}')",
        "INSERT INTO message (tenant_id, kind, direction, subject_id, lock) VALUES (1, :v, :v, 1, :v)",
        "SELECT CAST(:v AS bigint)",
        "SELECT CAST(:v AS jsonb)",
        "SELECT CAST(:v AS timestamptz)",
        "SELECT nothing FROM nowhere WHERE :v = 'x'",
    ],
)
@pytest.mark.usefixtures("configured")
def test_an_exception_of_the_database_says_nothing_of_what_was_to_be_stored(statement: str) -> None:
    value = "Jansen\n<p@example.nl>"
    with pytest.raises(DBAPIError) as caught, session.transaction() as connection:
        connection.execute(text(statement), {"v": value})
    shown = "".join(traceback.format_exception(caught.value))
    assert "Jansen" not in shown
    assert "example.nl" not in shown
    assert str(caught.value)


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    "wrong",
    [
        "SELECT :value AND no_such_column",
        "SELECT CAST(:value AS integer)",
        "SELECT pg_terminate_backend(pg_backend_pid()), :value",
    ],
)
def test_fetch_raises_what_execute_raises(wrong: str) -> None:
    # given
    def through(call: Callable[[Connection, TextClause, dict[str, str]], Any]) -> tuple[Any, ...]:
        with pytest.raises(DBAPIError) as caught, session.transaction() as connection:
            call(connection, text(wrong), {"value": "Jan"})
        error = caught.value
        return type(error), str(error.orig), error.connection_invalidated, "Jan" in str(error)

    # when a statement fails, by itself or with its connection
    raised = through(session.fetch)
    # then
    assert raised == through(lambda connection, statement, values: connection.execute(statement, values).all())
    assert not raised[-1]
    # and the pool gives connections that work
    with session.transaction() as connection:
        assert session.fetch(connection, text("SELECT 1 AS one"), {})[0].one == 1


@pytest.mark.usefixtures("configured")
def test_fetch_after_its_connection_was_lost_says_so_like_execute() -> None:
    with session.transaction() as connection:
        connection.invalidate()
        with pytest.raises(PendingRollbackError):
            session.fetch(connection, text("SELECT 1 AS one"), {})
        connection.rollback()


@pytest.mark.usefixtures("configured")
def test_fetch_takes_names_again_and_signs_as_they_stand() -> None:
    statement = text("SELECT CAST(:b AS text) AS b, CAST(:a AS text) AS a, CAST(:b AS text) || '%s $1' AS again")
    with session.transaction() as connection:
        (row,) = session.fetch(connection, statement, {"a": "one", "b": "two", "c": "not asked for"})
    assert row == ("two", "one", "two%s $1")
