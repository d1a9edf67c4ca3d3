"""The relay's statements stay small however much waits."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from models import ledger, locks
from models.session import transaction
from tests.integration.engine.conftest import Engine
from tests.integration.engine.kinds import KIND
from workers.relay import statements as sql
from workers.relay.leader import PLANS
from workers.runs import finalizer

MANY = """
INSERT INTO message (tenant_id, kind, direction, subject_id, lock, priority)
SELECT (SELECT min(id) FROM tenant) + n % 50, 'test.do', 'enrollments', n, 'person:' || n / 2, 5
  FROM generate_series(1, 100000) AS n
"""
PEOPLE = (
    "INSERT INTO course (tenant_id, event_id, getconnector, updateconnector, fields, pluvo)"
    " SELECT id, 'e', 'g', 'u', '{}', '{}' FROM tenant",
    "INSERT INTO person (tenant_id, internal_id) SELECT t.id, n FROM tenant t, generate_series(1, 300) n",
    "INSERT INTO enrollment (tenant_id, person_id, course_id) SELECT p.tenant_id, p.id, c.id FROM person p, course c",
    """INSERT INTO message (tenant_id, kind, direction, subject_id, lock)
       SELECT tenant_id, 'enrollment.upsert', 'enrollments', id, 'account:' || id FROM enrollment""",
)
UPDATED = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'message'")
PERSON_UPDATED = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'person'")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *[node for child in plan.get("Plans", []) for node in nodes(child)]]


@pytest.mark.parametrize("options", ["", PLANS], ids=["any plan", "the relay's"])
@pytest.mark.parametrize("analyzed", [True, False])
def test_no_statement_of_a_tick_walks_through_the_whole_ledger(
    engine: Engine, database_url: str, analyzed: bool, options: str
) -> None:
    # given 100,000 messages of 50 tenants, two for each person, with and without the planner knowing
    tenants = [engine.tenant(f"t{number}") for number in range(50)]
    engine.execute(MANY)
    names = {
        **{"tenants": tenants, "directions": ["enrollments"] * 50, "priorities": [5] * 50, "kinds": ["test.do"] * 50},
        **{"rooms": [1] * 50, "lease": 180, "age": 5},
    }
    with psycopg.connect(database_url, autocommit=True, options=options) as connection:
        if analyzed:
            connection.execute("ANALYZE message")
        for statement in (sql.CLAIM, sql.READY_LANES, sql.IN_FLIGHT, ledger.PROMOTE, sql.NOT_BEGUN):
            # when
            row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", names).fetchone()
            assert row is not None
            touched = [n for n in nodes(row[0][0]["Plan"]) if n.get("Relation Name") == "message"]
            # then
            assert touched
            for node in touched:
                assert node["Node Type"] != "Seq Scan", (statement, node)
                assert node["Actual Rows"] * node["Actual Loops"] <= 500, (statement, node)
                assert node.get("Rows Removed by Filter", 0) * node["Actual Loops"] <= 500, (statement, node)


def test_to_claim_check_and_renew_a_message_touches_no_index(engine: Engine) -> None:
    # given a message that is out
    tenant = engine.tenant()
    key = {"id": engine.enqueue(tenant, 1)[1], "tenant": tenant, "delivery": 1}
    engine.execute("UPDATE message SET state = 'sent', deliveries = 1, sent_at = now(), lease_until = now()")
    with transaction() as connection:
        before = connection.execute(UPDATED).one()
        # when
        ledger.claim(connection, key | {"kind": KIND}, "here:1:a", 60)
        ledger.check(connection, key)
        ledger.renew(connection, key, 60)
        after = connection.execute(UPDATED).one()
    # then each new version stands beside the row
    assert (after.n_tup_upd - before.n_tup_upd, after.n_tup_hot_upd - before.n_tup_hot_upd) == (3, 3)


def test_what_is_noted_about_a_person_touches_no_index(engine: Engine) -> None:
    # given people that a run stored, with what was decided for them
    engine.tenant()
    for statement in PEOPLE[:2]:
        engine.execute(statement)
    with transaction() as connection:
        connection.execute(text("UPDATE person SET match = 'create', intent_at = now() WHERE internal_id LIKE '%7'"))
        before = connection.execute(PERSON_UPDATED).one()
        # when it was done
        connection.execute(text("UPDATE person SET match = NULL, intent_at = NULL WHERE internal_id LIKE '%7'"))
        after = connection.execute(PERSON_UPDATED).one()
    # then each new version stands beside the row
    done = after.n_tup_upd - before.n_tup_upd
    assert done == 30
    assert after.n_tup_hot_upd - before.n_tup_hot_upd == done
    assert before.n_tup_hot_upd == before.n_tup_upd


def test_to_lock_a_person_is_planned_once(engine: Engine) -> None:
    engine.tenant()
    for statement in PEOPLE:
        engine.execute(statement.replace("300", "20000"))
    for table in ("person", "enrollment", "message"):
        engine.execute(f"ANALYZE {table}")
    person = engine.value("SELECT max(id) FROM person")
    with transaction() as connection:
        # when it is done more often than PostgreSQL tries which plan is best
        for _ in range(30):
            locks.hold(connection, person)
        plans = connection.execute(
            text(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%NO KEY UPDATE%'"
            )
        ).one()
    # then
    assert plans.custom_plans <= 5
    assert plans.generic_plans >= 15


def test_a_tick_clears_the_index_of_what_is_out_of_messages_that_left(engine: Engine, database_url: str) -> None:
    # given many messages that were out and are done, and no vacuum since
    tenant = engine.tenant()
    engine.execute("ALTER TABLE message SET (autovacuum_enabled = off)")
    engine.enqueue(tenant, *range(3000))
    engine.execute("UPDATE message SET state = 'sent'")
    engine.execute("DELETE FROM message")
    with psycopg.connect(database_url, autocommit=True, options=PLANS) as connection:

        def read() -> int:
            row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql.IN_FLIGHT}").fetchone()
            assert row is not None
            plan = row[0][0]["Plan"]
            return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

        # when a tick looks, then the next one walks over none of them again; or a later one, where another transaction
        # of this database (an ANALYZE of the server's own) may still see them
        engine.wait(lambda: read() < 50)


def test_to_give_a_persons_messages_another_lock_looks_at_no_others(engine: Engine) -> None:
    # given messages of 300 people, of which the planner knows nothing
    engine.tenant()
    for statement in PEOPLE:
        engine.execute(statement)
    # when
    plan = engine.value(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {locks._FOLLOW.text}", people=[engine.value("SELECT max(id) FROM person")]
    )
    # then
    read = [node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan[0]["Plan"]) if "Relation Name" in node]
    assert max(read) <= 1


def test_to_see_whether_a_run_goes_on_walks_through_none_of_its_waiting_messages(engine: Engine) -> None:
    # given a large run of which a few messages are out, the newest rows of the table
    tenant = engine.tenant()
    engine.execute(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status)"
        " VALUES ('r', 'b', :t, 'enrollments', 'test', 'applying')",
        t=tenant,
    )
    engine.enqueue(tenant, *range(3000), run_id="r")
    engine.execute("UPDATE message SET state = 'sent' WHERE subject_id < 8")
    # when
    plan = engine.value(f"EXPLAIN (ANALYZE, FORMAT JSON) {finalizer._APPLYING.text}")
    # then
    for node in nodes(plan[0]["Plan"]):
        assert node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0) <= 50, node


def test_a_tenant_with_very_much_work_is_handed_out_in_small_steps(engine: Engine) -> None:
    tenants = [engine.tenant(f"t{number}") for number in range(50)]
    engine.execute(MANY)
    began = time.monotonic()
    with engine.relay():
        engine.wait(lambda: engine.value("SELECT count(*) FROM message WHERE state = 'sent'") == 32)
    assert time.monotonic() - began < 20
    assert (
        engine.value("SELECT max(n) FROM (SELECT count(*) n FROM message WHERE state = 'sent' GROUP BY tenant_id) x")
        == 1
    )
    assert len(tenants) == 50
