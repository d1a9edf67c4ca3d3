"""The pool: connections that PostgreSQL closed while they lay idle trouble nobody."""

from __future__ import annotations

import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

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
