"""A database with settings in force, and a tenant imported into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import settings
from models.session import transaction
from ops.tenants import file, importing
from tests.unit.ops.tenants.test_file import GOOD


@pytest.fixture
def import_text(configured: settings.Settings) -> Callable[[str], list[importing.Imported]]:
    """Import a tenants file given as text."""

    def run(content: str) -> list[importing.Imported]:
        return importing.apply(file.parse(content, name="tenants.toml", folder=Path()), "tester")

    return run


@pytest.fixture
def acme(import_text: Callable[[str], list[importing.Imported]]) -> int:
    """The number of a tenant ``acme`` with one course, event 340."""
    import_text(GOOD)
    return int(scalar("SELECT id FROM tenant WHERE slug = 'acme'"))


def scalar(sql: str, **parameters: Any) -> Any:
    """One value."""
    with transaction() as connection:
        return connection.execute(text(sql), parameters).scalar()


def run_sql(sql: str, **parameters: Any) -> Any:
    """One statement; the value it returns, if any."""
    with transaction() as connection:
        result = connection.execute(text(sql), parameters)
        return result.scalar() if result.returns_rows else None


def add_enrollment(tenant: int, internal_id: str, **columns: Any) -> int:
    """A person with an enrollment in event 340; returns the enrollment's number."""
    given = {"version": 2, "applied_version": 1, "state": "enrolled", "failed_code": None} | columns
    person = run_sql(
        "INSERT INTO person (tenant_id, internal_id, external_id, name, email, email_folded)"
        " VALUES (:tenant, :id, :external, 'Piet Jansen', :email, :folded) RETURNING id",
        tenant=tenant,
        id=internal_id,
        external=f"00{internal_id}",
        email=f"P{internal_id}@example.nl",
        folded=f"p{internal_id}@example.nl",
    )
    return int(
        run_sql(
            "INSERT INTO enrollment (tenant_id, person_id, course_id, version, applied_version, state, failed_code)"
            " SELECT :tenant, :person, id, :version, :applied_version, :state, :failed_code FROM course"
            "  WHERE tenant_id = :tenant AND event_id = '340' RETURNING id",
            tenant=tenant,
            person=person,
            **given,
        )
    )


def add_dead_letter(tenant: int, enrollment: int, number: int = 1, **columns: Any) -> str:
    """An open dead letter of an enrollment."""
    given = {"state": "open", "error": "functional", "kind": "enrollment.upsert"} | columns
    return str(
        run_sql(
            "INSERT INTO dead_letter (id, tenant_id, kind, direction, subject_id, internal_id, event_id, error,"
            " message, attempts, fingerprint, code_version, state) SELECT :id, :tenant, :kind, 'enrollments', :subject,"
            " p.internal_id, '340', :error, 'no', 1, 'f00', '0', :state"
            " FROM enrollment e JOIN person p ON p.id = e.person_id WHERE e.id = :subject RETURNING dead_letter.id",
            id=f"01J{enrollment:010}{number:013}",
            tenant=tenant,
            subject=enrollment,
            **given,
        )
    )
