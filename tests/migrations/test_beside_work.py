"""The tables are migrated while others read and write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import pytest

import settings
from migrations.run import current, downgrade, head, upgrade
from tests.fixtures.beside import beside

BEFORE = "20261126_14"
FIRST = "20261122_1"
Reading = Sequence[tuple[LiteralString, int | str]]
LINES: Reading = [("SELECT count(*) FROM plan_line WHERE tenant_id = %s", 1)]
PEOPLE: Reading = [("SELECT count(*) FROM person WHERE tenant_id = %s", 1)]
MESSAGES: Reading = [("SELECT count(*) FROM message WHERE tenant_id = %s", 1)]
TENANTS: Reading = [("SELECT count(*) FROM tenant WHERE id = %s", 1)]
COURSES: Reading = [("SELECT count(*) FROM course WHERE tenant_id = %s", 1)]
ALERTS: Reading = [("INSERT INTO alert (kind, text) VALUES (%s, 'x')", "relay")]


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("since", "reading"),
    [
        (BEFORE, [*LINES, *PEOPLE]),
        (BEFORE, [*PEOPLE, *LINES]),
        (BEFORE, [*PEOPLE, *ALERTS]),
        (BEFORE, [*ALERTS, *PEOPLE]),
        (FIRST, [*MESSAGES, *TENANTS]),
    ],
    ids=["lines, people", "people, lines", "people, alerts", "alerts, people", "messages, tenants"],
)
def test_who_works_with_two_tables_goes_on_beside_a_migration(database_url: str, since: str, reading: Reading) -> None:
    # given
    downgrade(database_url, since)
    # when somebody has one table, and then wants the other
    failed = beside(reading, lambda: upgrade(database_url))
    # then both go on
    assert failed == []
    assert current(database_url) == head()


@pytest.mark.usefixtures("configured")
def test_a_migration_that_was_ended_for_a_deadlock_begins_again(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a migration that changes two tables; its database is one in which transactions may deadlock
    monkeypatch.setenv("KOPPELING_DATABASE_URL", empty_database_url)
    settings.get.cache_clear()
    upgrade(empty_database_url, FIRST)
    # when somebody has the one that it changes last, and then wants the other
    failed = beside([*TENANTS, *COURSES], lambda: upgrade(empty_database_url))
    # then both go on
    assert failed == []
    assert current(empty_database_url) == head()
