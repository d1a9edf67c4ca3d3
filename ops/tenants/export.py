"""The tenants file again, from what is stored: importing it changes nothing. Secrets stay where they are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import defer
from sqlmodel import select

from models.course import Course
from models.course_settings import PLACES, CourseDefaults
from models.session import session
from models.tenant import Tenant
from models.tenant_settings import AfasSettings, AlertSettings, Blackout, CompletionRule, PluvoSettings, RemovalSettings
from ops import access, audit, lookup
from ops.problems import AlreadyDecided
from ops.tenants.importing import SECRETS
from ops.tenants.toml_text import toml
from settings import format_duration

_NAMED = re.compile(r'^(\w+) = \{ env = "\w+" \}$', re.MULTILINE)
_KEPT = r'# \1 = "…"   # stored; it is kept where this line stays as it is'
# Written even where they are as they would be without
_ALWAYS = {"environment", "auth", "policy"}


def exported(slug: str, *, to_edit: bool = False) -> str:
    """A tenants file with this one tenant. For secrets it names environment variables, or none where it is edited."""
    found = document(slug)
    for column, path in SECRETS.items():
        table, key = path.split(".")
        if found.get(table, {}).pop(key, False):
            found[table][key] = {"env": f"{column.upper()}_{slug.upper().replace('-', '_')}"}
    written = toml({"tenants": [found]})
    return _NAMED.sub(_KEPT, written) if to_edit else written


def refuse_changed(slug: str, before: str, now: str) -> None:
    """Raise Problem where what somebody edits is not what is stored any more: saved as it is, it would undo that."""
    if before != now:
        lines = difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=0)
        told = "\n".join(line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---"))
        first = audit.first_of(*audit.SETTINGS, tenant=slug)
        raise AlreadyDecided("changed_meanwhile", slug=slug, told=told, first=audit.by(first))


def document(slug: str) -> dict[str, Any]:
    """A tenant as the file has it; of a secret that is stored ``True``."""
    return versioned(slug)[0]


def versioned(slug: str) -> tuple[dict[str, Any], int]:
    """The same, and the version of its settings: what is stored on top of it is refused once that is another."""
    access.check("tenants.export", slug)
    with session() as opened:
        tenant = opened.exec(
            select(Tenant).where(Tenant.slug == slug).options(*(defer(getattr(Tenant, one)) for one in SECRETS))
        ).one_or_none()
        if tenant is None:
            raise lookup.no_tenant(repr(slug))
        has = ", ".join(f"{column} IS NOT NULL AS {column}" for column in SECRETS)
        stored = opened.connection().execute(text(f"SELECT {has} FROM tenant WHERE id = :id"), {"id": tenant.id})  # noqa: S608  names of our own columns
        secrets = dict(stored.mappings().one())
        courses = opened.exec(select(Course).where(Course.tenant_id == tenant.id, Course.active)).all()
        tables = {"afas": _changed(tenant.afas, AfasSettings), "pluvo": _changed(tenant.pluvo, PluvoSettings)}
        tables["alerts"] = _changed(tenant.alerts, AlertSettings)
        for column, path in SECRETS.items():
            table, key = path.split(".")
            if secrets[column]:
                tables[table][key] = True
        found: dict[str, object] = {
            "slug": tenant.slug,
            "name": tenant.name,
            "timezone": tenant.timezone,
            "interval": format_duration(tenant.interval_seconds),
            **({"blackout": [_changed(one, Blackout) for one in tenant.blackout]} if tenant.blackout else {}),
            **{name: table for name, table in tables.items() if table},
            "removals": _removals(tenant.removals),
        }
        defaults = tenant.course_defaults
        if shared := {key: value for key, value in defaults.model_dump(exclude_none=True).items() if value != {}}:
            found["course_defaults"] = shared
        if tenant.course_rules:
            found["course_rules"] = [rule.model_dump(mode="json", exclude_none=True) for rule in tenant.course_rules]
        named = sorted((one for one in courses if one.rule is None), key=lambda one: (len(one.event_id), one.event_id))
        if named:
            found["courses"] = [course_document(one, defaults) for one in named]
        return found, tenant.settings_version


def _changed(settings: BaseModel, kind: type[BaseModel]) -> dict[str, object]:
    """The keys that differ from what they would be without."""
    return {
        key: value
        for key, value in settings.model_dump(exclude_none=True).items()
        if key in _ALWAYS or value != kind.model_fields[key].default
    }


def _removals(stored: RemovalSettings) -> dict[str, object]:
    found = _changed(stored, RemovalSettings)
    limits = _changed(stored.limits, type(stored.limits))
    found |= {"confirm_after": format_duration(stored.confirm_after)}
    return {key: value for key, value in found.items() if key != "limits"} | ({"limits": limits} if limits else {})


def course_document(course: Course, defaults: CourseDefaults) -> dict[str, object]:
    """A course as the file has it, without what the defaults say. Its first rule stands in its own keys if it can."""
    found: dict[str, object] = {"event_id": course.event_id, "getconnector": course.getconnector}
    found["updateconnector"] = course.updateconnector
    target, rules, shared_rules = course.pluvo.model_dump(exclude_none=True), list(course.rules), defaults.completions
    # A type that is shared can't be left out of a course's own keys.
    typed = bool(rules) and (rules[0].type is not None or defaults.completion_type is None)
    if typed and rules[0].column == course.fields.completion and rules[0] not in (shared_rules or ()):
        own = rules.pop(0)
        found |= {"completion_field": own.field, "completion_format": own.format}
        found |= {"completion_type": own.type} if own.type else {}
        target |= {"completion_level": own.level, "completion_title": own.title}
    shared = defaults.model_dump(exclude_none=True)
    found = _without(found, shared)
    if len(defaults.place()) > 1:  # one of the two is the course's own choice
        shared["pluvo"] = {key: value for key, value in shared["pluvo"].items() if key not in PLACES}
    for name, table in (("fields", course.fields.model_dump(exclude_none=True)), ("pluvo", target)):
        if own_keys := _without(table, shared[name]):
            found[name] = own_keys
    if tuple(rules) != (shared_rules or ()):
        found["completions"] = [_changed(one, CompletionRule) for one in rules]
    return found


def _without(table: Mapping[str, object], shared: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in table.items() if key not in shared or shared[key] != value}
