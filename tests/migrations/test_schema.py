"""The migrations make exactly the tables the models describe, and can be undone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from migrations.run import current, downgrade, driver_url, head, upgrade
from models.tables import metadata

VERSIONS = sorted((Path(__file__).parents[2] / "migrations/versions").glob("*.py"))
OBJECTS = """
    SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT typname, 'T' FROM pg_type t WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    UNION ALL SELECT proname, 'f' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def objects_in(url: str) -> set[tuple[str, str]]:
    """Name and kind of every table, index, sequence, type and function outside alembic's own table."""
    with psycopg.connect(url) as connection:
        return {row for row in connection.execute(OBJECTS) if not str(row[0]).startswith("alembic_version")}


def drift(url: str) -> list[object]:
    """What alembic would change to make this database fit the models."""
    engine = create_engine(driver_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


def test_an_empty_database_comes_up_to_the_newest_revision(empty_database_url: str) -> None:
    upgrade(empty_database_url)

    assert current(empty_database_url) == head()
    assert {name for name, kind in objects_in(empty_database_url) if kind == "r"} == set(metadata.tables)


def test_down_to_base_leaves_nothing_and_up_again_works(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    first = objects_in(empty_database_url)

    downgrade(empty_database_url, "base")

    assert objects_in(empty_database_url) == set()
    upgrade(empty_database_url)
    assert objects_in(empty_database_url) == first


def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    first = objects_in(empty_database_url)

    upgrade(empty_database_url)

    assert objects_in(empty_database_url) == first


def test_migrations_and_models_do_not_drift_apart(database_url: str) -> None:
    assert drift(database_url) == []


def test_drift_is_noticed(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE stray (id bigint)")

    assert drift(database_url) != []


def test_every_constraint_and_index_is_named_by_the_convention(database_url: str) -> None:
    engine = create_engine(driver_url(database_url), poolclass=NullPool)
    inspector = inspect(engine)

    for table in metadata.tables:
        expected = re.compile(rf"(pk|uq|ck|fk|ix)_{table}(_\w+)?$")
        names = [
            inspector.get_pk_constraint(table)["name"],
            *(found["name"] for found in inspector.get_unique_constraints(table)),
            *(found["name"] for found in inspector.get_check_constraints(table)),
            *(found["name"] for found in inspector.get_foreign_keys(table)),
            *(found["name"] for found in inspector.get_indexes(table)),
        ]
        assert [name for name in names if not expected.match(str(name))] == []


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.stem)
def test_a_version_depends_on_nothing_of_ours_and_so_never_changes_its_meaning(version: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(version.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")

    assert {name.partition(".")[0] for name in imported} <= {"__future__", "collections", "alembic", "sqlalchemy"}
