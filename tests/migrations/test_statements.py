"""Every statement that stands as a constant fits the tables: PostgreSQL prepares each on the migrated database."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import psycopg
from psycopg import sql
from sqlalchemy.sql.elements import TextClause

PACKAGES = ("models", "tenancy", "producers", "workers", "ops")
LEAST = 200  # so that a search that finds none can't pass
# They begin as a statement does, and others are made of them.
PARTS = {
    "ops.people.erasing._CALLED",
    "models.ledger.HAND_OUT",
    "workers.actors.enrollment_upsert.record._STANDS",
}
OF_A_TENANT = re.compile(
    r"\b(?:UPDATE|DELETE FROM|INSERT INTO|FROM|JOIN)\s+(?:enrollment|person|link|plan_line|course|completion"
    r"|snapshot_row|hold|hold_line|run|webhook_event|directory_user|dead_letter|change)\b"
)
FOR_ALL_TENANTS = {
    "ops.doctor._OLDEST_RUN": "how old the oldest run is, of all tenants",
    "ops.servers.restore._FORGET_LOOKS": "after a restore, of all tenants",
    "ops.servers.restore._LOOK_AGAIN": "the same",
    "ops.workers._RUNS": "what each process has in hand, of all tenants",
    "producers.completions.preview._NUMBER": "a temporary copy, which holds one tenant's rows",
    "producers.enrollments.decide_holds._EXPIRE": "ends the holds of all tenants that are old",
    "workers.maintenance.retention._HELD": "what is old, of all tenants",
    "workers.maintenance.retention._LINES": "what is old, of all tenants",
    "workers.maintenance.retention._PREVIEWS": "the same",
    "workers.maintenance.retention._PREVIEW_LINES": "the same",
    "workers.maintenance.retention._RUN_LINES": "the same",
}
STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s", re.ASCII)
NAMED = re.compile(r"(?<![:\w\\]):(\w+)(?!:)|%\((\w+)\)s")


def constants() -> Iterator[tuple[str, str]]:
    """(module.NAME, statement) of all modules: what ``text()`` made, and strings that begin as a statement does."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if found.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(found.name)).items():
                statement = value.text if isinstance(value, TextClause) else value
                # With braces it is a template that other constants are made of.
                if isinstance(statement, str) and STATEMENT.match(statement) and "{" not in statement.replace("'{", ""):
                    yield f"{found.name}.{name}", statement


def numbered(statement: str) -> str:
    """With ``$1`` for its first name, as PREPARE wants it."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return NAMED.sub(number, statement).replace("\\:", ":")


def test_every_constant_statement_fits_the_migrated_database(database_url: str) -> None:
    faults = {}
    statements = {name: statement for name, statement in constants() if name not in PARTS}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for name, statement in statements.items():
            try:
                connection.execute(sql.SQL("PREPARE one AS ") + sql.SQL(numbered(statement)))
                connection.execute("DEALLOCATE one")
            except psycopg.errors.IndeterminateDatatype:
                pass  # everything else in it is known; the type comes with the value
            except psycopg.Error as error:
                faults[name] = str(error)
    assert not faults, "\n".join(f"{name}: {said}" for name, said in faults.items())
    assert len(statements) >= LEAST


def test_statements_that_touch_a_tenants_rows_name_the_tenant() -> None:
    without = {name for name, statement in constants() if OF_A_TENANT.search(statement) and "tenant" not in statement}

    assert without == set(FOR_ALL_TENANTS)
