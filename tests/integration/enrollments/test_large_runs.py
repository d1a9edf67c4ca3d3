"""A run that is far larger than anything PostgreSQL has statistics of: no statement takes seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event, text

import settings
from models import locks
from models.run import RunStatus
from models.session import engine, transaction
from models.tables import metadata
from producers.enrollments import preview
from producers.runs.context import BULK_ROWS, ROWS_A_MINUTE, WRITTEN, Sizes
from tests.fixtures.world import World

NEWCOMERS = 2500
MOST_SECONDS = 4.0  # looping within loops takes 12 s for so many, hashing a third of a second

CURSOR, STATEMENT, CONTEXT = 1, 2, 4  # connection, cursor, statement, parameters, context, many
STEP = 20  # people or rows in hand at once, where the test says so


@contextmanager
def _looking_at(*tables: str) -> Iterator[None]:
    """As while autovacuum, or another large run, looks at these tables."""
    url = settings.get().need_database().replace("+psycopg", "", 1)
    with psycopg.connect(url) as other:
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        other.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(names))
        yield


@pytest.mark.parametrize("looked_at", [(), WRITTEN.values()], ids=["", "while something else looks at the tables"])
def test_a_tenant_that_grows_suddenly_is_planned_in_seconds(world: World, looked_at: Iterable[str]) -> None:
    # given: a small tenant whose tables have been analysed, and then very many people at once
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 3600, "limits": {"creates_count": 1_000_000}})
    for number in range(40):
        world.person(10 + number)
    world.sync()
    with transaction() as connection:
        for table in metadata.sorted_tables:
            connection.execute(text(f'ANALYZE "{table.name}"'))
    for number in range(NEWCOMERS):
        world.person(100_000 + number)
    slowest: list[float] = []

    def before(*told: Any) -> None:
        told[CONTEXT].began = time.perf_counter()

    def after(*told: Any) -> None:
        slowest.append(time.perf_counter() - told[CONTEXT].began)

    event.listen(engine(), "before_cursor_execute", before)
    event.listen(engine(), "after_cursor_execute", after)

    # when
    with _looking_at(*looked_at) if looked_at else nullcontext():
        run = world.begin()

    # then
    assert run.status == RunStatus.APPLYING
    assert world.rows("SELECT count(*) FROM message")[0]["count"] == NEWCOMERS
    assert max(slowest) < MOST_SECONDS


def test_only_a_large_run_of_which_postgresql_knows_nothing_does_without_loops(world: World) -> None:
    sizes = Sizes()

    def told(people: int) -> tuple[str, str, int]:
        """With loops before it is told, and after; how often plans were forgotten."""
        sizes.add({"people": people})
        with _seen() as statements, transaction() as connection, sizes.planning(connection):
            loops = text("SHOW enable_nestloop")
            before = connection.execute(loops).scalar_one()
            sizes.tell(connection)
            after = connection.execute(loops).scalar_one()
        with transaction() as connection:
            assert connection.execute(loops).scalar_one() == "on"
        return before, after, sum("DISCARD PLANS" in statement for statement, _ in statements)

    assert told(BULK_ROWS) == ("on", "on", 0)
    # while it can look, nothing else is needed
    assert told(1) == ("on", "on", 0)
    # while it can't, plans of before are forgotten, and those that were made meanwhile
    with _looking_at("person"):
        assert told(BULK_ROWS) == ("on", "off", 2)
        assert told(1) == ("off", "off", 3)
    # and as soon as it can
    assert told(0) == ("off", "off", 2)
    assert told(0) == ("on", "on", 0)


def _cost_of_a_dry_run(rows: int) -> float:
    """What PostgreSQL expects the lines of a dry run of so many newcomers to cost."""
    with transaction() as connection:
        names = {"run": f"R{rows}", "n": rows}
        connection.execute(
            text(
                """INSERT INTO run (id, batch, tenant_id, direction, trigger, options, status)
                   VALUES (:run, :run, 1, 'enrollments', 'test', '{}', 'dry_run')"""
            ),
            names,
        )
        connection.execute(
            text(
                """INSERT INTO snapshot_row (run_id, tenant_id, course_id, position, internal_id, row_state,
                                             fingerprint)
                   SELECT :run, 1, 1, n, n::text, 'present', md5(n::text) FROM generate_series(1, :n) n"""
            ),
            names,
        )
        connection.execute(
            text(
                """INSERT INTO plan_line (run_id, tenant_id, course_id, event_id, internal_id, is_row, action, outcome)
                   SELECT :run, 1, 1, '340', n::text, true, 'create', 'pending' FROM generate_series(1, :n) n"""
            ),
            names,
        )
        connection.execute(text("ANALYZE snapshot_row, plan_line"))
        asked = text(f"EXPLAIN (FORMAT JSON) {preview._LINES.text}")
        (plan,) = connection.execute(asked, {"run": names["run"], "tenant": 1, "usable": [1]}).scalar_one()
        return float(plan["Plan"]["Total Cost"])


def test_a_dry_run_of_a_large_first_listing_costs_by_its_rows_and_not_by_their_square(world: World) -> None:
    few, many = _cost_of_a_dry_run(1000), _cost_of_a_dry_run(8000)
    assert many < 16 * few


def test_making_an_account_does_not_read_everybody(world: World) -> None:
    # given
    with transaction() as connection:
        connection.execute(
            text(
                """INSERT INTO person (tenant_id, internal_id, match)
                   SELECT :tenant, n::text, 'create' FROM generate_series(1, 5000) AS n"""
            ),
            {"tenant": world.tenant_id},
        )
        connection.execute(text("ANALYZE person"))
    # then
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'person'"
    with transaction() as connection:
        person = connection.execute(text("SELECT min(id) FROM person")).scalar_one()
    with transaction() as connection:
        before = connection.execute(text(read)).scalar_one()  # PostgreSQL counts on from this session's transactions
        locks.hold(connection, person)
        locks.follow(connection, person)
        assert connection.execute(text(read)).scalar_one() - before < 100


@contextmanager
def _seen() -> Iterator[list[tuple[str, int]]]:
    """Every statement, with the number of rows that it handed to this process at once."""
    found: list[tuple[str, int]] = []

    def after(*told: Any) -> None:
        cursor = told[CURSOR]
        read_on = isinstance(cursor, psycopg.ServerCursor) or cursor.description is None
        found.append((told[STATEMENT], 0 if read_on else cursor.rowcount))

    event.listen(engine(), "after_cursor_execute", after)
    try:
        yield found
    finally:
        event.remove(engine(), "after_cursor_execute", after)


def _all_of_them_enrolled(world: World) -> None:
    """As if every message had been done."""
    for statement in (
        "UPDATE run SET status = 'stopped', finished_at = now()",
        "DELETE FROM message",
        """INSERT INTO link (tenant_id, person_id, pluvo_id, state, linked_by, created_by_us)
           SELECT tenant_id, id, internal_id, 'linked', 'created', true FROM person""",
        "UPDATE person SET applied_name = name, applied_email = email, applied_version = version, match = NULL",
        """UPDATE enrollment e SET state = 'enrolled', applied_version = e.version, outcome = 'created',
                  told_account = l.pluvo_id, told_target = c.target FROM link l, course c
            WHERE l.person_id = e.person_id AND c.id = e.course_id""",
    ):
        with transaction() as connection:
            connection.execute(text(statement))


def test_a_run_never_holds_more_people_than_one_step_needs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given steps of some people, many more than that in AFAS, and pairs of them with one address
    for place in ("enrollments.facts.CHUNK", "enrollments.leavers.AT_ONCE", "runs.context.BULK_ROWS"):
        monkeypatch.setattr(f"producers.{place}", STEP)
    everybody = range(1000, 1000 + 8 * STEP)
    for number in everybody:
        world.person(number, email_primary=f"p{number // 2}@example.nl", name="Pat Bos")
    # when they come, stay, and go
    with _seen() as coming:
        world.begin()
    _all_of_them_enrolled(world)
    with _seen() as staying:
        stayed = world.begin()
    for number in everybody[1:]:
        world.afas.remove(340, number)
    world.rows("UPDATE course SET base_rows = NULL RETURNING id")
    world.rows("UPDATE enrollment SET absent_since = now() - interval '9 days' RETURNING id")
    with _seen() as going:
        went = world.begin()
    # then
    assert stayed.outcomes["unchanged"] == len(everybody)
    assert went.held_removals == len(everybody) - 1
    for seen in (coming, staying, going):
        assert {statement: rows for statement, rows in seen if rows > STEP} == {}
    # and PostgreSQL knew how many were held when it was asked about all of them
    held = world.rows("SELECT reltuples::int AS n FROM pg_class WHERE relname = 'hold_line'")
    assert held == [{"n": len(everybody) - 1}]
    # and who has the same address is told from each other, in whatever step they are
    shared = world.rows("SELECT count(*) AS n FROM plan_line WHERE reason LIKE 'same_person_as:%'")
    assert shared == [{"n": len(everybody) // 2}]


def test_a_dry_run_asks_for_the_whole_listing_as_often_for_many_as_for_few(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.enrollments.facts.CHUNK", STEP)
    asked = []
    for people in (2 * STEP, 6 * STEP):
        for number in range(people):
            world.person(1000 + number)
        with _seen() as statements:
            world.plan()
        narrow = ("INSERT", "= ANY(%(people)s)", "= ANY(%(emails)s)", "FROM run ", "NOT id = ANY", "UPDATE run")
        asked.append(
            [one for one, _ in statements if "snapshot_row" in one and not any(word in one for word in narrow)]
        )
    assert len(asked[0]) == len(asked[1])


def test_a_statement_of_a_run_may_take_the_longer_the_more_it_wrote(configured: settings.Settings) -> None:
    sizes, asked = Sizes(), "SHOW statement_timeout"
    for rows, allowed in ((ROWS_A_MINUTE - 1, "1min"), (1, "2min"), (9 * ROWS_A_MINUTE, "11min")):
        sizes.add({"rows": rows})
        with transaction() as connection, sizes.planning(connection):
            assert connection.execute(text(asked)).scalar_one() == allowed
    with transaction() as connection:
        assert connection.execute(text(asked)).scalar_one() == "1min"
