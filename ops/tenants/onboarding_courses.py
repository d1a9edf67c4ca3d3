"""More courses of a tenant that is there, asked for like those of a new one; nothing is kept before they are stored."""

from __future__ import annotations

from typing import Any

from sqlmodel import select

from models.course import Course
from models.session import session
from ops import access, lookup
from ops.problems import Problem
from ops.tenants import export, file_spec, importing, onboarding
from ops.tenants.importing import Imported
from ops.tenants.onboarding import LEFT_OUT, Draft
from ops.tenants.onboarding_store import valid


def courses_of(slug: str) -> Draft:
    """A draft for more courses of a tenant, with the mapping of its newest course. Raises Problem."""
    access.check("courses.add", slug)
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        courses = opened.exec(select(Course).where(Course.tenant_id == tenant.id, Course.active)).all()
        if not courses:
            raise Problem("no_columns_yet", slug=slug)
        like = max(courses, key=lambda one: (len(one.event_id), one.event_id))
        opened.expunge(tenant)
        answers: dict[str, str | None] = {"getconnector": like.getconnector, "write_back": LEFT_OUT}
        answers |= {f"fields.{key}": value for key, value in like.fields.model_dump(exclude_none=True).items()}
        if like.rules:
            rule = like.rules[0]
            answers |= {"write_back": rule.field, "completion_format": rule.format}
            answers |= {"completion_type": rule.type} if rule.type else {}
        answers["send_invite"] = "yes" if like.pluvo.send_invite else "no"
        return Draft(slug, answers, {}, {"updateconnector": like.updateconnector}, tenant, kept=False)


def add_courses(draft: Draft, who: str) -> Imported:
    """Store the new courses as an import does. Raises AlreadyDecided where somebody changed the tenant meanwhile."""
    now, version = export.versioned(draft.slug)
    (done,) = importing.apply([_with_courses(draft, now)], who, verb="courses add", version=version)
    return done


def _with_courses(draft: Draft, now: dict[str, Any]) -> file_spec.Tenant:
    """The tenant as it is stored now, with the new courses."""
    for column in importing.SECRETS.values():
        table, key = column.split(".")
        now.get(table, {}).pop(key, None)
    made = onboarding.document(draft)
    shared = made["course_defaults"]
    linked = {one["event_id"] for one in now.get("courses", ())}
    new = []
    for course in made["courses"]:
        if course["event_id"] in linked:
            raise Problem("has_course", slug=draft.slug, event_id=course["event_id"])
        new.append({**shared, **course, "pluvo": {**shared["pluvo"], **course["pluvo"]}})
        if "completion_title" not in course["pluvo"]:
            new[-1] = {key: value for key, value in new[-1].items() if not key.startswith("completion_")}
    return valid(now | {"courses": [*now.get("courses", ()), *new]})
