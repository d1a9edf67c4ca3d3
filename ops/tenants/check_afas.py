"""What ``koppeling check`` tries of AFAS, reading only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial

import settings
from clients.afas import AfasClient, Field, MetaInfo
from clients.afas.query import usable
from models.completion_dates import Target, TargetKind, UnfitField, target_of
from models.course import Course
from models.tenant import Tenant
from models.tenant_settings import CompletionRule
from ops.tenants import check_rows
from ops.tenants.check_findings import Finding, fault, reached, tried, warning
from ops.tenants.fields import days_fields
from ops.tenants.nearest import nearest
from producers.completions.rules import known_field

# Days before a token or secret ends; which of them is reached tells one warning from the next
WARN_DAYS = (7, 14, 30, 60)
ENDS = "afas token end"  # the probe that says until when the credentials work
CLASSIC_ENDS = date(2027, 8, 31)
SAMPLED_EVENTS = 40
LISTED = 30  # names in one sentence
# An answer without a list of rows is another fault than an empty list.
_NO_LIST = {"no_rows": "not_a_page"}
# The UpdateConnector has words of its own: who reads them must know which of the two it is.
_NOT_ALLOWED = {"connector_not_allowed": "updateconnector_not_allowed"}
_LETTERS = {"O": "production", "T": "test", "A": "accept"}
_ENVID = re.compile(r"([A-Z])\d{5}[A-Z]{2}", re.IGNORECASE)
_DAYS = ("date", "datetime", "string")
# Which types a column may have, in AFAS's words; what is not here may have any that a text can be made of.
_TYPES = {
    "event_id": ("int", "string"),
    "internal_id": ("int", "string"),
    "external_id": ("string", "int"),
    "name": ("string",),
    "email_primary": ("string",),
    "email_secondary": ("string",),
    "completion": _DAYS,
    "modified": _DAYS,
    "start": _DAYS,
    "end": _DAYS,
    "blocked": ("boolean", "string", "int"),
}
_KNOWN_TYPES = ("string", "int", "boolean", "date", "datetime", "decimal", "blob")


def credentials(afas: AfasClient, tenant: Tenant, seen: list[MetaInfo]) -> Iterator[Finding]:
    """Whether AFAS lets us in, where, and until when; then ``seen`` has what it says of itself."""

    def metainfo() -> Iterator[Finding]:
        seen.append(afas.metainfo())
        yield Finding("afas token", True)

    yield from reached("afas", metainfo)
    if seen:
        yield from _ends(tenant, seen[0], datetime.now(UTC).date())
        yield _environment(seen[0], tenant)
        yield _integration_id()


class Connectors:
    """What is tried of the connectors of courses; what several courses share is asked for once."""

    def __init__(self, afas: AfasClient, meta: MetaInfo) -> None:
        self._afas, self._meta = afas, meta
        self._columns: dict[str, dict[str, Field]] = {}
        self._fields: dict[str, dict[str, Field]] = {}
        self._looked_at = 0

    def shared(self, course: Course) -> Iterator[Finding]:
        """The GetConnector of all courses of rules."""
        yield from self._getconnector(course, f"getconnector {course.getconnector} (course rules)")

    def of(self, courses: Sequence[Course]) -> Iterator[Finding]:
        """The connectors of courses, and rows of their events."""
        for course in courses:
            event, fits = f"(event {course.event_id})", True
            for finding in self._getconnector(course, f"getconnector {course.getconnector} {event}"):
                fits = fits and finding.ok
                yield finding
            if fits and self._looked_at < SAMPLED_EVENTS:
                self._looked_at += 1
                width = len(self._columns[course.getconnector])
                yield from tried(
                    f"sample page {event}", partial(check_rows.sample, self._afas, course, width), _NO_LIST
                )
            if course.rules:
                name = f"updateconnector {course.updateconnector} {event}"
                yield from tried(name, partial(self._updateconnector, course, name), _NOT_ALLOWED)
        if len(courses) > SAMPLED_EVENTS:
            yield warning("sample page", "events_sampled", count=len(courses), sampled=SAMPLED_EVENTS)

    def _getconnector(self, course: Course, name: str) -> Iterator[Finding]:
        first, fits = course.getconnector not in self._columns, True
        for finding in tried(name, partial(self._definition, course, name)):
            fits = fits and finding.ok
            yield finding
        if first and fits:
            width = len(self._columns[course.getconnector])
            whole = f"whole page ({course.getconnector})"
            yield from tried(whole, partial(check_rows.whole_page, self._afas, course, width), _NO_LIST)

    def _definition(self, course: Course, name: str) -> Iterator[Finding]:
        if course.getconnector not in self._meta.get_connectors:
            yield _not_open(name, "connector", course.getconnector, self._meta.get_connectors)
            return
        if course.getconnector not in self._columns:
            listed = self._afas.get_connector_fields(course.getconnector)
            self._columns[course.getconnector] = {field.id: field for field in listed}
        yield from _columns(name, course, self._columns[course.getconnector])

    def _updateconnector(self, course: Course, name: str) -> Iterator[Finding]:
        wanted = course.updateconnector
        if wanted not in self._meta.update_connectors:
            yield _not_open(name, "updateconnector", wanted, self._meta.update_connectors)
            return
        if wanted not in self._fields:
            self._fields[wanted] = {field.id: field for field in self._afas.update_connector_fields(wanted)}
        yield Finding(name, True)
        for rule in course.rules:
            field = f"completion field {rule.field} (event {course.event_id})"
            yield _completion_field(field, rule, self._fields[wanted])
            if rule.column is None and rule.field in self._fields[wanted]:
                shown = f"completion column (event {course.event_id})"
                yield warning(shown, "completion_unseen", field=rule.field, connector=course.getconnector)


# ---------------------------------------------------------------------------------------- token and environment


def _ends(tenant: Tenant, meta: MetaInfo, today: date) -> Iterator[Finding]:
    """When the credentials end, in ``day`` where it is known.

    AFAS tells it of a classic token; of an OAuth secret only the customer knows.
    """
    classic = tenant.afas.auth == "token"
    noted = None if classic or tenant.afas.secret_ends is None else date.fromisoformat(tenant.afas.secret_ends)
    told = meta.token_ends_at
    ends_on = min((each for each in (noted, told.date() if told else None) if each is not None), default=None)
    known = {"day": ends_on.isoformat()} if ends_on else {}
    if classic:
        over = today > CLASSIC_ENDS
        yield fault(ENDS, "classic_token_ended") if over else warning(ENDS, "classic_token", **known)
    if ends_on is None:
        if told is None and meta.token_expiry.strip("0 "):
            yield warning(ENDS, "token_end_unknown", text=meta.token_expiry[:40])
        elif not classic:
            yield Finding(ENDS, True)
        return
    days = (ends_on - today).days
    if days < 0:
        yield fault(ENDS, "token_ended", **known)
    elif days <= max(WARN_DAYS):
        yield warning(ENDS, "token_ends", count=days, within=min(each for each in WARN_DAYS if days <= each), **known)
    elif not classic:
        yield Finding(ENDS, True, parameters=known)


def _environment(meta: MetaInfo, tenant: Tenant) -> Finding:
    name = "afas environment"
    letter = _ENVID.fullmatch(meta.envid)
    meant = _LETTERS.get(letter[1].upper()) if letter else None
    if tenant.envid and meta.envid != tenant.envid:
        return fault(name, "envid_changed", envid=meta.envid, before=tenant.envid)
    if tenant.afas.member_id not in meta.envid:
        return fault(name, "environment_mismatch", envid=meta.envid, member_id=tenant.afas.member_id)
    if meant is not None and meant != tenant.afas.environment:
        return warning(name, "environment_letter", envid=meta.envid, environment=tenant.afas.environment)
    return Finding(name, True)


def _integration_id() -> Finding:
    given = settings.get().integration_id
    fits = not given or re.fullmatch(r"\d+_\d+", given) is not None
    return Finding("integration id", True) if fits else warning("integration id", "integration_id")


# --------------------------------------------------------------------------------------------------- GetConnector


def _columns(name: str, course: Course, columns: Mapping[str, Field]) -> Iterator[Finding]:
    lacking = sorted(set(course.fields.columns()) - columns.keys())
    if lacking:
        yield _no_column(name, course, lacking, columns)
        return
    for column in (course.fields.event_id, course.fields.internal_id):
        usable(column)
    odd = [
        f"{column} ({columns[column].data_type})"
        for word, column in course.fields
        if column is not None and columns[column].data_type in set(_KNOWN_TYPES) - set(_TYPES[word])
    ]
    if odd:
        yield warning(name, "column_type", columns=odd)
    if columns[course.fields.internal_id].data_type == "string":
        yield warning(name, "id_is_text", column=course.fields.internal_id)
    elif not odd:
        yield Finding(name, True)


def _not_open(name: str, kind: str, wanted: str, listed: Mapping[str, str]) -> Finding:
    """AFAS shows a description beside each name, and that is what people tend to copy."""
    same = [one for one, description in listed.items() if description.strip().casefold() == wanted.casefold()]
    if same:
        return fault(name, f"{kind}_description", name=wanted, right=same[0])
    near = nearest(wanted, listed)
    return fault(name, f"{kind}_missing", name=wanted, listed=near or sorted(listed)[:LISTED])


def _no_column(name: str, course: Course, lacking: list[str], columns: Mapping[str, Field]) -> Finding:
    connector, taken = course.getconnector, course.fields.columns()
    # What is another word's already was not meant: Intern_ID is no misspelt Extern_ID.
    labels = {column: field.label for column, field in columns.items() if column not in taken}
    near = [f"{wanted} → {' / '.join(found)}" for wanted in lacking if (found := nearest(wanted, labels))]
    if near:
        return fault(name, "column_near", connector=connector, columns=lacking, near=near)
    return fault(name, "column_missing", connector=connector, columns=lacking, listed=sorted(columns)[:LISTED])


# ------------------------------------------------------------------------------------------------ UpdateConnector


def _completion_field(name: str, rule: CompletionRule, fields: dict[str, Field]) -> Finding:
    field = fields.get(rule.field)
    if field is None:
        return fault(name, "completion_field_missing", field=rule.field, listed=days_fields(fields.values())[:LISTED])
    try:
        target_of(rule.type, rule.format, known_field(field))
    except UnfitField as unfit:
        if unfit.reason == "bad_format":
            return fault(name, "completion_format", format=rule.format)
        if unfit.reason == "field_too_short":
            example = Target(TargetKind.TEXT, rule.format).write(date(2026, 12, 31))
            return fault(name, "completion_field_short", label=field.label, length=field.length, example=example)
        return fault(name, "completion_field_type", label=field.label, type=field.data_type)
    return Finding(name, True)
