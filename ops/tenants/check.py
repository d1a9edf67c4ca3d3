"""Try both sides of a tenant, reading only: one finding a line, with a code for each kind of fault and what to do.

What can't be tried because an earlier one failed is left out: the first fault is the one to settle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import text
from sqlmodel import select

from clients.afas import AfasClient, Field, MetaInfo
from clients.errors import Incomplete, Misconfigured, RemoteError
from clients.pluvo import PluvoClient
from models.course import Course
from models.folding import fold_title
from models.session import session
from models.tenant import Tenant
from models.tenant_settings import CompletionRule
from ops import lookup
from ops.tenants import check_rows
from ops.tenants.check_findings import Finding, fault, warning
from producers.completions.rules import judge_title
from tenancy.systems import SAME_ORGANISATION, systems_of

_NO_SUCH_ADDRESS = (404, 405, 410)
LISTED_PAGES = 20  # of users, when looking for Pluvo's own AFAS link: a thousand people


def check(slug: str, watch: Callable[[Finding], None] = lambda finding: None) -> dict[str, Any]:
    """``{"tenant", "ok", "probes": [{"probe", "ok", "code", "cause", "action"}]}``; ``watch`` hears each at once."""
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        courses = list(opened.exec(select(Course).where(Course.tenant_id == tenant.id, Course.active)))
        sharing = opened.connection().execute(_SHARING, {"tenant": tenant.id}).scalars().all()
    findings = []
    for finding in _findings(tenant, sorted(courses, key=lambda course: course.event_id), sharing):
        watch(finding)
        findings.append(finding)
    return {"tenant": slug, "ok": all(one.ok for one in findings), "probes": [asdict(one) for one in findings]}


# Slugs of other tenants with the same Pluvo organisation
_SHARING = text(
    f"SELECT o.slug FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} WHERE t.id = :tenant AND o.id <> t.id"  # noqa: S608
    " ORDER BY o.slug"
)


def _findings(tenant: Tenant, courses: list[Course], sharing: Sequence[str]) -> Iterator[Finding]:
    try:
        systems = systems_of(tenant, patience_seconds=30.0)
    except (Misconfigured, ValueError) as error:
        yield fault("settings", getattr(error, "code", "wrong_credentials"), str(error))
        return
    yield from _afas(systems.afas, tenant, courses)
    yield from _pluvo(systems.pluvo, courses, tenant.pluvo.people_per_call)
    if sharing:
        cause = f"{tenant.pluvo.organisation} is also the organisation of {', '.join(sharing)}"
        yield warning("pluvo organisation", "organisation_shared", cause)
    if not courses:
        yield warning("courses", "no_courses", "no course of this tenant is active")


def _tried(name: str, trial: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Try one thing; a failed call becomes a finding under its own code."""
    try:
        yield from trial()
    except RemoteError as error:
        cause = f"{error.message} {error.remote_text}".strip()
        code = "not_found" if error.status in _NO_SUCH_ADDRESS else error.code
        yield fault(name, code, cause + (f" (AFAS reference {error.reference})" if error.reference else ""))
    except ValueError as error:
        yield fault(name, "wrong_credentials", str(error))


# ------------------------------------------------------------------------------------------------------- AFAS


def _afas(afas: AfasClient, tenant: Tenant, courses: list[Course]) -> Iterator[Finding]:
    seen: list[MetaInfo] = []

    def token() -> Iterator[Finding]:
        seen.append(afas.metainfo())
        ends_at = seen[0].token_ends_at
        if ends_at:
            yield warning("afas token", "token_ends", f"the token ends on {ends_at:%Y-%m-%d}")
        else:
            yield Finding("afas token", True)

    yield from _tried("afas token", token)
    if not seen:
        return
    yield _environment(seen[0], tenant)
    for course in courses:
        name = f"getconnector {course.getconnector} (event {course.event_id})"
        yield from _tried(name, partial(_getconnector, afas, seen[0], course, name))
        if course.rules:
            name = f"updateconnector {course.updateconnector} (event {course.event_id})"
            yield from _tried(name, partial(_updateconnector, afas, seen[0], course, name))


def _environment(meta: MetaInfo, tenant: Tenant) -> Finding:
    name = "afas environment"
    if tenant.envid and meta.envid != tenant.envid:
        return fault(name, "envid_changed", f"this token is of {meta.envid}, the tenant began with {tenant.envid}")
    if tenant.afas.member_id not in meta.envid:
        return fault(name, "environment_mismatch", f"this token is of {meta.envid}, not of {tenant.afas.member_id}")
    return Finding(name, True)


def _getconnector(afas: AfasClient, meta: MetaInfo, course: Course, name: str) -> Iterator[Finding]:
    if course.getconnector not in meta.get_connectors:
        yield fault(name, "connector_missing", _near(course.getconnector, meta.get_connectors))
        return
    known = {field.id: field for field in afas.get_connector_fields(course.getconnector)}
    lacking = sorted(set(course.fields.columns()) - known.keys())
    if lacking:
        yield fault(name, "column_missing", f"no column {', '.join(lacking)}")
        return
    column = course.fields.internal_id
    if known[column].data_type == "string":
        cause = f"{column} is a text: AFAS then sorts 9 after 10, and nobody of such a listing counts as gone"
        yield warning(name, "id_is_text", cause)
    else:
        yield Finding(name, True)
    yield from check_rows.sample(afas, course, len(known))


def _near(wanted: str, listed: Any) -> str:
    """AFAS shows a description beside each name, and that is what people tend to copy."""
    same = [one for one, description in listed.items() if description.strip().casefold() == wanted.casefold()]
    return f"{same[0]} is the name; {wanted} is its description" if same else f"{wanted} is not open to this token"


def _updateconnector(afas: AfasClient, meta: MetaInfo, course: Course, name: str) -> Iterator[Finding]:
    if course.updateconnector not in meta.update_connectors:
        yield fault(name, "connector_missing", _near(course.updateconnector, meta.update_connectors))
        return
    fields = {field.id: field for field in afas.update_connector_fields(course.updateconnector)}
    yield Finding(name, True)
    for rule in course.rules:
        yield _completion_field(f"completion field {rule.field} (event {course.event_id})", rule, fields)


def _completion_field(name: str, rule: CompletionRule, fields: dict[str, Field]) -> Finding:
    field = fields.get(rule.field)
    if field is None:
        return fault(name, "completion_field_missing", f"the UpdateConnector has no field {rule.field}")
    kind = "date" if field.data_type in ("date", "datetime") else "text"
    if field.data_type not in ("date", "datetime", "string", "") or field.values:
        return fault(name, "completion_field_type", f"{field.label} is {field.data_type}, bound to a list or no date")
    if rule.type and rule.type != kind:
        return fault(name, "completion_field_type", f"{field.label} is {field.data_type}, completion_type {rule.type}")
    if kind == "text" and 0 < field.length < 10:
        return fault(name, "completion_field_short", f"{field.label} takes {field.length} characters, a date needs 10")
    return Finding(name, True)


# ------------------------------------------------------------------------------------------------------ Pluvo


def _pluvo(pluvo: PluvoClient, courses: list[Course], people_per_call: int) -> Iterator[Finding]:
    reached: list[bool] = []

    def token() -> Iterator[Finding]:
        lacking = pluvo.missing_scopes()
        reached.append(True)
        yield (
            fault("pluvo token", "scope_missing", f"no {', '.join(lacking)}")
            if lacking
            else Finding("pluvo token", True)
        )

    def operations() -> Iterator[Finding]:
        refused = pluvo.check_operations()
        if refused:
            yield fault("pluvo operations", "operation_missing", "; ".join(refused[:5]))
        else:
            yield Finding("pluvo operations", True)

    yield from _tried("pluvo token", token)
    if not reached:
        return
    yield from _tried("pluvo operations", operations)
    yield from _tried("pluvo schema", partial(_assumed, pluvo))
    if people_per_call > 1:
        yield from _tried("pluvo people_per_call", partial(_people_per_call, pluvo, people_per_call))
    for course in courses:
        yield from _tried(f"pluvo target (event {course.event_id})", partial(_target, pluvo, course))
        for rule in course.rules:
            name = f"completion title (event {course.event_id})"
            yield from _tried(name, partial(_title, pluvo, rule, name))
    yield from _tried("pluvo's own AFAS link", partial(_own_link, pluvo))


def _assumed(pluvo: PluvoClient) -> Iterator[Finding]:
    """What we assume of Pluvo, unconfirmed. Things work without it, but the customer loses something."""
    shown, lacking = pluvo.check_assumed()
    if lacking:
        yield warning("pluvo schema", "assumed_missing", f"this Pluvo does not know {', '.join(lacking)}")
    if not shown:
        cause = "this Pluvo does not show its schema: what writing needs was not compared"
        yield warning("pluvo schema", "schema_hidden", cause)
    if shown and not lacking:
        yield Finding("pluvo schema", True)


def _people_per_call(pluvo: PluvoClient, wanted: int) -> Iterator[Finding]:
    taken = pluvo.people_in_one_call(wanted)
    if taken < wanted:
        cause = f"people_per_call is {wanted}; Pluvo takes " + (f"{taken} at most" if taken > 1 else "one at a time")
        yield warning("pluvo people_per_call", "people_per_call_refused", cause)
    else:
        yield Finding("pluvo people_per_call", True)


def _target(pluvo: PluvoClient, course: Course) -> Iterator[Finding]:
    event, group = course.pluvo.offer_event_ref, course.pluvo.group_ref
    name = f"pluvo target (event {course.event_id})"
    if event and pluvo.offer_event_id(event) is None:
        yield fault(name, "offer_event_unknown", f"Pluvo has no offer event with ref {event}")
    elif group and pluvo.group_id(group) is None:
        yield fault(name, "group_unknown", f"Pluvo has no group with ref {group}")
    else:
        yield Finding(name, True)


def _title(pluvo: PluvoClient, rule: CompletionRule, name: str) -> Iterator[Finding]:
    verdict = judge_title(pluvo, rule.level, fold_title(rule.title))
    if verdict.reason is None:
        yield Finding(name, True)
        return
    listed = ", ".join(f"{one['title']!r}{' (archived)' if one['archived'] else ''}" for one in verdict.candidates)
    yield fault(name, verdict.reason, f"{rule.title!r}: " + (f"Pluvo has {listed}" if listed else "Pluvo has none"))


def _own_link(pluvo: PluvoClient) -> Iterator[Finding]:
    name = "pluvo's own AFAS link"
    carrying = 0
    try:
        for page in islice(pluvo.user_pages(archived=False), LISTED_PAGES):
            carrying += sum(user.afas_connection_id is not None for user in page.users)
    except Incomplete as error:
        yield warning("pluvo users", "users_incomplete", error.message)
    if carrying:
        yield warning(name, "own_link_active", f"{carrying} users carry the mark of Pluvo's built-in AFAS link")
    else:
        yield Finding(name, True)
