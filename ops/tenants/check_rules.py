"""What the rules of a tenants file would link now: before its first run a new tenant has no courses of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from models.course import Course
from models.tenant import Tenant
from models.tenant_settings import CourseTarget, FieldMap
from ops.tenants.check_findings import Finding, warning
from producers.enrollments.course_rules import CourseFile, ask_targets, judge, list_by_defaults
from tenancy.systems import Systems

NAME = "course rules"


def shared_course(tenant: Tenant, file: CourseFile) -> Course:
    """A course, nowhere stored, with the connector and columns that those of the rules share."""
    defaults = file.defaults
    return Course(
        tenant_id=tenant.id or 0,
        event_id="",
        getconnector=str(defaults.getconnector),
        updateconnector=defaults.updateconnector or "KnCourseMember",
        fields=FieldMap.model_validate(defaults.fields.model_dump(exclude_none=True)),
        pluvo=CourseTarget(offer_event_ref="-"),
        rules=[],
    )


def findings(systems: Systems, tenant: Tenant, file: CourseFile, courses: list[Course]) -> Iterator[Finding]:
    """List the events of AFAS and say which wait; what the next run would link is added to ``courses``."""
    found = list_by_defaults(file, systems.afas, lambda: None, between=file.between)
    if found.failed:
        yield warning(NAME, "events_unread", system="AFAS", failed=found.failed)
    verdicts = judge(file, found, ask_targets(systems.pluvo, file, found, lambda: None))
    for one in verdicts:
        if not one.linked and one.why is None and one.rule is not None:
            courses.append(Course(tenant_id=tenant.id or 0, event_id=one.event_id, **one.columns))
    waiting = Counter(one.why for one in verdicts if one.why is not None and one.rule is not None)
    if waiting:
        reasons = [f"{count} {why}" for why, count in waiting.most_common()]
        yield warning(NAME, "events_wait", count=waiting.total(), reasons=reasons)
    elif not verdicts and not found.failed:
        yield warning(NAME, "rules_cover_nothing")
    elif not found.failed:
        yield Finding(NAME, True)
