"""The pool: connections that PostgreSQL closed while they lay idle trouble nobody."""

from __future__ import annotations

import pytest
from sqlalchemy import text

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
