"""What the database itself refuses: rows that cross tenants, and words that no model knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Table, TypeDecorator, create_engine
from sqlalchemy.pool import NullPool

from migrations.run import driver_url
from models.tables import metadata

# Columns that look like a reference and are none. Ids of the two outside systems:
OUTSIDE = {
    "internal_id", "external_id", "event_id", "pluvo_id", "target_id", "told_target_id", "pluvo_enrollment_id",
    "afas_person_id", "afas_contact_id", "afas_connection_id",
}  # fmt: skip
# Notes of where something came from, which may outlive it; statements that follow one name the tenant too.
NOTES = {
    ("change", "run_id"), ("change", "message_id"),
    ("dead_letter", "subject_id"), ("dead_letter", "message_id"), ("dead_letter", "run_id"),
    ("dead_letter", "plan_line_id"),
    # Kept free of keys because it is where all the traffic is. Its subject is of another table for each kind.
    ("message", "subject_id"), ("message", "plan_line_id"), ("message", "after_id"),
    ("tenant_direction", "last_run_id"),
}  # fmt: skip
FOREIGN_KEYS = """
    SELECT c.conname, c.conrelid::regclass::text AS child, c.confrelid::regclass::text AS parent,
           ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
                   JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.i) AS columns,
           ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k(n, i)
                   JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.i) AS targets
      FROM pg_constraint c WHERE c.contype = 'f' ORDER BY 1
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conname NOT LIKE 'alembic%'
    UNION ALL
    SELECT tablename || ' ' || indexname, indexdef FROM pg_indexes
     WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic%'
    UNION ALL
    SELECT relname, array_to_string(ARRAY(SELECT unnest(reloptions) ORDER BY 1), ' ') FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
"""
TENANT_TABLES = [table for table in metadata.sorted_tables if "tenant_id" in table.c]


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


def words_of(column: Column[Any]) -> list[str]:
    """What a CHECK allows in a column; empty when there is none."""
    for constraint in column.table.constraints:
        if isinstance(constraint, CheckConstraint) and str(constraint.sqltext).startswith(f"{column.name} IN ("):
            return re.findall(r"'(\w+)'", str(constraint.sqltext))
    return []


def references(table: Table) -> dict[str, str]:
    """Column → table it refers to, tenants left out."""
    found: dict[str, str] = {}
    for key in table.constraints:
        if isinstance(key, ForeignKeyConstraint) and key.referred_table.name != "tenant":
            found |= {column: key.referred_table.name for column in key.column_keys if column != "tenant_id"}
    return found


def type_of(column: Column[Any]) -> type:
    """What a column holds; types that wrap one of the database's say only "object" themselves."""
    kind = column.type
    return (kind.impl_instance if isinstance(kind, TypeDecorator) else kind).python_type


def invented(column: Column[Any], name: str) -> Any:
    """Some value that a column takes."""
    kind = type_of(column)
    day = datetime(2026, 11, 26, tzinfo=UTC)
    values = {int: 1, float: 1.0, bool: False, bytes: name.encode(), object: "{}"}  # object: JSON
    values |= {date: day.date(), datetime: day}
    return words_of(column)[0] if words_of(column) else values.get(kind, name)


def fill(connection: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    """One row of a tenant in every table, every reference set; returns {table: id}."""
    ids: dict[str, Any] = {}
    for table in metadata.sorted_tables:
        if table.name != "tenant" and "tenant_id" not in table.c:
            continue
        known = references(table)
        values: dict[str, Any] = {}
        for column in table.c:
            if column.name in known:
                values[column.name] = ids[known[column.name]]
            elif column.name == "tenant_id":
                values["tenant_id"] = ids["tenant"]
            elif not column.nullable and column.server_default is None and column.identity is None:
                values[column.name] = invented(column, f"{name} {table.name}")
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        row = connection.execute(statement, list(values.values())).fetchone()
        assert row
        ids[table.name] = row[0]
    return ids


def test_every_reference_between_tables_of_a_tenant_has_the_tenant_in_its_key(
    connection: psycopg.Connection[Any],
) -> None:
    keys = connection.execute(FOREIGN_KEYS).fetchall()
    assert keys
    for name, child, parent, columns, targets in keys:
        if parent == "tenant":
            assert (columns, targets) == (["tenant_id"], ["id"]), name
        elif child in {table.name for table in TENANT_TABLES}:
            assert (columns[0], *targets) == ("tenant_id", "tenant_id", "id"), f"{name} of {child} can leave its tenant"


def test_every_column_that_names_a_row_is_a_key_or_known_to_be_none(connection: psycopg.Connection[Any]) -> None:
    keys = {(child, column) for _, child, _, columns, _ in connection.execute(FOREIGN_KEYS) for column in columns}
    named = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.c
        if column.name.endswith("_id") and column.name not in OUTSIDE
    }
    assert named - keys == NOTES


@pytest.mark.parametrize("table", TENANT_TABLES, ids=lambda table: table.name)
def test_a_row_can_not_refer_to_another_tenant(table: Table, connection: psycopg.Connection[Any]) -> None:
    ours, theirs = fill(connection, "ours"), fill(connection, "theirs")
    crossings = {**references(table), "tenant_id": "tenant"}
    if not references(table):
        return  # refers to nobody but its tenant
    # Out of the way of what must be unique.
    connection.execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(table.name)), [theirs[table.name]])
    for column, parent in crossings.items():
        statement = sql.SQL("UPDATE {} SET {} = %s WHERE id = %s").format(
            sql.Identifier(table.name), sql.Identifier(column)
        )
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(statement, [theirs[parent], ours[table.name]])


@pytest.mark.parametrize("table", TENANT_TABLES, ids=lambda table: table.name)
def test_a_row_without_its_tenant_does_not_stay(table: Table, connection: psycopg.Connection[Any]) -> None:
    ours = fill(connection, "ours")

    connection.execute("DELETE FROM tenant WHERE id = %s", [ours["tenant"]])

    left = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name))).fetchone()
    assert left == (0,)


def test_columns_of_states_take_no_word_that_no_model_knows(connection: psycopg.Connection[Any]) -> None:
    fill(connection, "ours")
    connection.execute("INSERT INTO replay_batch (id, rate, max_failures, started_by) VALUES ('b', 1, 1, 'x')")
    connection.execute("INSERT INTO batch (id, direction, started_by) VALUES ('b', 'enrollments', 'x')")
    connection.execute("INSERT INTO console_user (name, role, created_by) VALUES ('anna', 'viewer', 'x')")
    connection.execute(
        "INSERT INTO api_token (name, begins, token_hash, role, created_by) VALUES ('a', 'kop_', 'h', 'viewer', 'x')"
    )
    checked = [column for table in metadata.sorted_tables for column in table.c if words_of(column)]
    for column in checked:
        statement = sql.SQL("UPDATE {} SET {} = 'of no kind'").format(
            sql.Identifier(column.table.name), sql.Identifier(column.name)
        )
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(statement)


def test_every_column_of_a_state_is_checked() -> None:
    states = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.c
        if column.name in ("state", "status", "direction", "guard", "desired", "row_state", "linked_by", "decision")
        and type_of(column) is str  # the status of a change is a number of HTTP
    }
    assert {one for one in states if not words_of(metadata.tables[one[0]].c[one[1]])} == set()


def test_constraints_and_indexes_are_those_of_the_models(database_url: str, empty_database_url: str) -> None:
    """alembic compares neither CHECKs nor what an index is limited to, nor how a table is stored."""
    engine = create_engine(driver_url(empty_database_url), poolclass=NullPool)
    with psycopg.connect(empty_database_url) as opened:
        opened.execute("CREATE EXTENSION pg_trgm")  # a migration makes it
    metadata.create_all(engine)
    found: list[dict[Any, Any]] = []
    for url in (database_url, empty_database_url):
        with psycopg.connect(url) as opened:
            found.append(dict(opened.execute(CONSTRAINTS).fetchall()))

    migrated, modelled = found
    assert migrated == modelled
