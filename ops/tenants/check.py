"""Try both sides of a tenant, reading only: one finding a line, with a code for each kind of fault and what to do.

What can't be tried because an earlier one failed is left out: the first fault is the one to settle.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial

from sqlalchemy import text
from typing_extensions import TypedDict

from clients.afas import MetaInfo
from clients.errors import AFAS, Misconfigured
from clients.http import Call
from models.session import session, transaction
from models.tenant import Tenant
from ops import lookup
from ops.language import Language
from ops.problems import NotThere
from ops.tenants import check_afas, check_pluvo, check_rules
from ops.tenants.check_findings import Finding, FindingDocument, fault, tried, warning
from producers.enrollments.course_rules import CourseFile, read_file
from tenancy.systems import SAME_ORGANISATION, systems_of

SKEW_SECONDS = 60.0
SILENT = ("timeout", "connect_failed")


@dataclass(frozen=True)
class Neighbours:
    """Slugs of other tenants with the same AFAS environment, or the same Pluvo organisation."""

    environment: Sequence[str]
    organisation: Sequence[str]


class CheckDocument(TypedDict):
    """``ok``: no probe found a fault."""

    tenant: str
    ok: bool
    checked_at: datetime
    probes: list[FindingDocument]


def check(
    slug: str, watch: Callable[[Finding], None] = lambda finding: None, *, language: Language = "en"
) -> CheckDocument:
    """Try everything and keep what was found; ``watch`` hears of each finding at once."""
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        file = read_file(opened, tenant.id or 0)
        connection = opened.connection()
        neighbours = Neighbours(
            connection.execute(_SAME_ENVIRONMENT, {"tenant": tenant.id}).scalars().all(),
            connection.execute(_SAME_ORGANISATION, {"tenant": tenant.id}).scalars().all(),
        )
    findings = []
    for finding in _findings(tenant, file, neighbours):
        watch(finding)
        findings.append(finding)
    kept = [one.kept() for one in findings]
    with transaction() as connection:
        at = connection.execute(_KEEP, {"tenant": tenant.id, "findings": json.dumps(kept)}).scalar_one()
    return _document(slug, at, findings, language)


def last_check(slug: str, language: Language = "en") -> CheckDocument:
    """What the last ``check`` found, without trying anything."""
    with transaction() as connection:
        tenant_id = lookup.tenant_id(connection, slug)
        row = connection.execute(_LAST, {"tenant": tenant_id}).one_or_none()
    if row is None:
        raise NotThere("not_checked", slug=slug)
    return _document(slug, row.checked_at, [Finding(**one) for one in row.findings], language)


def _document(slug: str, at: datetime, findings: Sequence[Finding], language: Language) -> CheckDocument:
    ok = all(one.ok for one in findings)
    return {"tenant": slug, "ok": ok, "checked_at": at, "probes": [one.document(language) for one in findings]}


_SAME_ORGANISATION = text(
    f"SELECT o.slug FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} WHERE t.id = :tenant AND o.id <> t.id"  # noqa: S608
    " ORDER BY o.slug"
)
_SAME_ENVIRONMENT = text(
    """
    SELECT o.slug FROM tenant t
      JOIN tenant o ON o.afas->>'member_id' = t.afas->>'member_id' AND o.afas->>'environment' = t.afas->>'environment'
       AND coalesce(o.afas->>'base_url', '') = coalesce(t.afas->>'base_url', '')
     WHERE t.id = :tenant AND o.id <> t.id ORDER BY o.slug
    """
)
# One by one with another check of the same tenant; whoever removes the tenant meanwhile wins.
_KEEP = text(
    """
    INSERT INTO tenant_check (tenant_id, checked_at, findings) VALUES (:tenant, now(), CAST(:findings AS jsonb))
    ON CONFLICT (tenant_id) DO UPDATE SET checked_at = excluded.checked_at, findings = excluded.findings
    RETURNING checked_at
    """
)
_LAST = text("SELECT checked_at, findings FROM tenant_check WHERE tenant_id = :tenant")


def _findings(tenant: Tenant, file: CourseFile, neighbours: Neighbours) -> Iterator[Finding]:
    courses = [course for course in file.courses.values() if course.active]
    clocks: dict[str, float] = {}
    try:
        systems = systems_of(tenant, patience_seconds=30.0, on_call=lambda call: _compare_clocks(call, clocks))
    except Misconfigured as error:
        yield fault("settings", error.code, system=error.system or "AFAS / Pluvo")
        return
    except ValueError:
        yield fault("settings", "wrong_credentials")
        return
    seen: list[MetaInfo] = []
    yield from check_afas.credentials(systems.afas, tenant, seen)
    if seen:
        connectors = check_afas.Connectors(systems.afas, seen[0])
        if file.rules:
            fits = True
            for finding in connectors.shared(check_rules.shared_course(tenant, file)):
                fits = fits and finding.ok
                yield finding
            if fits:
                yield from tried(check_rules.NAME, partial(check_rules.findings, systems, tenant, file, courses))
        yield from _while_answered(connectors.of(courses))
    yield from _while_answered(check_pluvo.findings(systems.pluvo, courses, tenant.pluvo.people_per_call))
    yield from _clocks(clocks)
    if neighbours.environment:
        listed = list(neighbours.environment)
        yield warning("afas tenant", "environment_shared", member_id=tenant.afas.member_id, tenants=listed)
    if neighbours.organisation:
        listed = list(neighbours.organisation)
        yield warning(
            "pluvo organisation", "organisation_shared", organisation=tenant.pluvo.organisation, tenants=listed
        )
    if tenant.afas.environment != "production" and any(course.pluvo.send_invite for course in courses):
        yield warning("invitations", "test_invites", environment=tenant.afas.environment)
    if not courses and not file.rules:
        yield warning("courses", "no_courses")


def _while_answered(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Try no more of a system that is silent: with many courses each would be waited for as long."""
    for finding in findings:
        yield finding
        if finding.code in SILENT:
            return


def _compare_clocks(call: Call, clocks: dict[str, float]) -> None:
    """Keep the smallest distance seen to a system's clock: that of its quickest answer, which is the truest."""
    if call.date is None:
        return
    try:
        theirs = parsedate_to_datetime(call.date).timestamp()
    except ValueError:
        return
    off = (time.time() - call.seconds / 2) - theirs
    clocks[call.system] = min(clocks.get(call.system, off), off, key=abs)


def _clocks(clocks: Mapping[str, float]) -> Iterator[Finding]:
    for system, off in sorted(clocks.items()):
        name, called = ("clock (afas)", "AFAS") if system == AFAS else ("clock (pluvo)", "Pluvo")
        if abs(off) > SKEW_SECONDS:
            yield warning(name, "clock_skew", system=called, count=round(abs(off)))
        else:
            yield Finding(name, True)
