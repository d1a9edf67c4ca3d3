"""Which events the rules of the tenants file link, and why others wait. ``bring_in_line`` writes it down as courses.

=================  ==================================================================================================
why                an event that a rule covers is not linked, or not changed, because
=================  ==================================================================================================
target_unknown     Pluvo does not know its target (yet): it is linked by itself once it does
target_unasked     Pluvo could not be asked, or this one can't be asked for offer events by their ref
column_missing     the GetConnector has no such column as the rule's target names
column_empty       the event's rows say nothing in it
column_differs     the event's rows say different things in it
value_unusable     what they say makes no ref or title: it is too long
no_rule            no rule covers it, and it has no block of its own
=================  ==================================================================================================

What waits is no error for anything else. A course that a rule linked before stays as it is meanwhile. It becomes
inactive only when no rule covers it any more; an event that vanished from the connector is read, and judged, like any
other, until its being empty is accepted and nobody is left in Pluvo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, text
from sqlmodel import Session, col, select

from clients.afas import AfasClient
from clients.errors import Misconfigured, Rejected, Unavailable
from clients.pluvo import Group, OfferEvent, PluvoClient, Target
from models.advisory_locks import AdvisoryLock
from models.course import Course
from models.course_settings import CourseDefaults, CourseRule, CourseSettings
from models.run import Unlinked
from models.session import session
from models.tenant import Tenant
from models.tenant_settings import CourseTarget, FieldMap
from producers.enrollments.event_list import AfasEvent, EventList, EventLister
from producers.event_reader import patiently
from producers.runs.context import RunContext
from tenancy.systems import Systems

# Neither an import nor another run of this tenant changes courses meanwhile.
_LOCK = text("SELECT pg_advisory_xact_lock_shared(:imports), pg_advisory_xact_lock(:courses, :tenant)")

# Events that are over: nothing is read of them any more, until the connector shows them again.
_END = text(
    """
    WITH over AS MATERIALIZED (
        SELECT id FROM course c
         WHERE c.tenant_id = :tenant AND c.event_id = ANY(:gone) AND c.rule IS NOT NULL AND c.active AND c.base_rows = 0
           AND NOT EXISTS (SELECT 1 FROM enrollment e
                            WHERE e.tenant_id = c.tenant_id AND e.course_id = c.id
                              AND (e.state IN ('new', 'enrolled') OR e.left_behind <> '[]'))
         ORDER BY c.id FOR NO KEY UPDATE)
    UPDATE course SET active = false WHERE tenant_id = :tenant AND id IN (SELECT id FROM over)
    """
)


@dataclass(frozen=True)
class CourseFile:
    """What the tenants file says of courses, and all courses that there are, by event."""

    defaults: CourseDefaults
    rules: Sequence[CourseRule]
    courses: Mapping[str, Course]

    def rule_of(self, event_id: str) -> CourseRule | None:
        """The first rule that covers an event."""
        return next((rule for rule in self.rules if rule.covers(event_id)), None)

    @property
    def source(self) -> tuple[str | None, str | None, str | None]:
        """Where events are looked for: the GetConnector, with its columns of event and person."""
        return self.defaults.getconnector, self.defaults.fields.event_id, self.defaults.fields.internal_id

    @property
    def between(self) -> tuple[int, int] | None:
        """The lowest and the highest event that rules cover; None when there is no end."""
        parts = [rule.ranges() for rule in self.rules]
        ends = [end for part in parts for ends in part for end in ends]
        return (min(ends), max(ends)) if ends and all(parts) else None


@dataclass(frozen=True)
class Asked:
    """What Pluvo said of targets: the ids of those it knows, and those that it can't be asked for."""

    ids: Mapping[Target, str] = field(default_factory=dict)
    unasked: frozenset[Target] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """What becomes of an event. ``columns``: of its course, as far as the rule may be carried out now."""

    event_id: str
    people: int
    course: Course | None = None
    rule: CourseRule | None = None
    target: Target | None = None
    why: str | None = None
    # Of the connector, that is the reason
    column: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def linked(self) -> bool:
        """Whether it is linked now, be it to the target of before."""
        return self.course is not None and self.course.active

    @property
    def was_emptied(self) -> bool:
        """Whether its newest listing was found right to have nobody."""
        return self.course is not None and self.course.base_rows == 0

    @property
    def changes(self) -> bool:
        """Whether its course is not yet so."""
        known = self.course
        return any(known is None or getattr(known, column) != value for column, value in self.columns.items())

    def apply(self, course: Course) -> None:
        """Change a course so. Last what ``change`` forgets with the others."""
        for column, value in sorted(self.columns.items(), key=lambda one: one[0] == "target_id"):
            if getattr(course, column) != value:
                course.change(column, value)


@dataclass(frozen=True)
class Linking:
    """How the rules did in one run: what waits, by reason; how many rows the connector has, as far as it was read; why
    not all events could be listed.
    """

    unlinked: dict[str, Unlinked] = field(default_factory=dict)
    rows: int = 0
    failed: str | None = None


def bring_in_line(context: RunContext, systems: Systems) -> Linking:
    """List the events of the GetConnector and link those that the rules cover and whose target Pluvo knows."""
    with session() as opened:
        file = read_file(opened, context.tenant_id)
    if not file.rules:
        return Linking()
    found = list_by_defaults(file, systems.afas, context.check, between=file.between)
    asked = ask_targets(systems.pluvo, file, found, context.check)
    verdicts = judge(file, found, asked)
    if any(verdict.changes for verdict in verdicts):
        with context.writing() as connection:
            _link(connection, context.tenant_id, file, found, asked)
    empty = [one.event_id for one in verdicts if one.linked and one.event_id not in found.events and one.was_emptied]
    if empty and not found.failed:
        with context.writing() as connection:
            connection.execute(_END, {"tenant": context.tenant_id, "gone": empty})
    return Linking(_unlinked(verdicts), sum(event.people for event in found.events.values()), found.failed)


def read_file(opened: Session, tenant_id: int, *, lock: bool = False) -> CourseFile:
    """Rules and courses as they stand; ``lock``: nobody else changes these courses until the transaction ends."""
    tenant = opened.get_one(Tenant, tenant_id)
    wanted = select(Course).where(Course.tenant_id == tenant_id).order_by(col(Course.id))
    courses = opened.exec(wanted.with_for_update(key_share=True) if lock else wanted)
    by_event = sorted(courses, key=lambda course: (len(course.event_id), course.event_id))
    return CourseFile(tenant.course_defaults, tenant.course_rules, {course.event_id: course for course in by_event})


def list_by_defaults(
    file: CourseFile, afas: AfasClient, check: Callable[[], None], *, between: tuple[int, int] | None
) -> EventList:
    """The events of the GetConnector that courses share, with what the rules want to know of each."""
    defaults = file.defaults
    widths = [one.width for one in file.courses.values() if one.width and one.getconnector == defaults.getconnector]
    return EventLister(
        afas,
        str(defaults.getconnector),
        defaults.fields,
        columns=sorted({column for rule in file.rules for column in rule.columns()}),
        between=between,
        width=max(widths, default=None),
        check=check,
    ).read()


def ask_targets(pluvo: PluvoClient, file: CourseFile, found: EventList, check: Callable[[], None]) -> Asked:
    """Ask Pluvo for all targets that are not those of a course already, many in one call."""
    wanted = {one.target for one in judge(file, found, Asked()) if one.target is not None and one.why is not None}
    ids: dict[Target, str] = {}
    unasked: set[Target] = set()
    for kind in (OfferEvent, Group):
        targets = sorted((target for target in wanted if isinstance(target, kind)), key=lambda target: target.ref)
        try:
            ids |= patiently(partial(pluvo.target_ids, targets), check)
        except (Rejected, Misconfigured, Unavailable):
            unasked.update(targets)
    return Asked(ids, frozenset(unasked))


def judge(file: CourseFile, found: EventList, asked: Asked) -> list[Verdict]:
    """What becomes of each event that was found and of each that a rule linked before, lowest first. Pure."""
    linked = {event_id for event_id, course in file.courses.items() if course.rule is not None and course.active}
    events = {event_id: AfasEvent(event_id) for event_id in linked} | found.events
    return [_judge_one(file, found, asked, events[event_id]) for event_id in sorted(events, key=int)]


def _judge_one(file: CourseFile, found: EventList, asked: Asked, event: AfasEvent) -> Verdict:
    course, rule = file.courses.get(event.event_id), file.rule_of(event.event_id)
    active = course is not None and course.active
    if course is not None and active and course.rule is None:
        return Verdict(event.event_id, event.people, course)
    if rule is None:
        return Verdict(event.event_id, event.people, course, why="no_rule", columns={"active": False} if active else {})
    before = course if active else None
    shared = Verdict(event.event_id, event.people, course, rule, columns=_shared(file, rule) if before else {})
    if event.event_id not in found.events:
        return shared  # gone from the connector: read, and judged, as any other
    for column in sorted(rule.target_columns()):
        if why := _unsaid(column, found, event):
            return replace(shared, why=why, column=column)
    unsaid = event.unclear | found.missing
    values = {column: value for column, value in event.values.items() if column not in unsaid}
    try:
        wanted = CourseSettings.model_validate(file.defaults.merged(rule.own(event.event_id, values))).columns()
    except ValidationError:
        return replace(shared, why="value_unusable")
    if before and before.rules and not rule.title_columns() <= values.keys():
        del wanted["rules"]  # the title of before stays
    return _at_target(replace(shared, columns=wanted | {"rule": rule.name, "active": True}), asked, before)


def _at_target(verdict: Verdict, asked: Asked, before: Course | None) -> Verdict:
    """The same as far as Pluvo knows the target."""
    columns = dict(verdict.columns)
    place: CourseTarget = columns["pluvo"]
    target = Group(place.group_ref) if place.group_ref is not None else OfferEvent(str(place.offer_event_ref))
    if before and before.pluvo.place == place.place:
        return replace(verdict, target=target)
    if target in asked.ids:
        return replace(verdict, target=target, columns=columns | {"target_id": asked.ids[target]})
    del columns["pluvo"]
    why = "target_unasked" if target in asked.unasked else "target_unknown"
    return replace(verdict, target=target, why=why, columns=columns if before else {})


def _shared(file: CourseFile, rule: CourseRule) -> dict[str, Any]:
    """What follows from the file alone."""
    defaults = file.defaults.model_dump(exclude_none=True)
    read = {name: defaults[name] for name in ("getconnector", "updateconnector") if name in defaults}
    return read | {"fields": FieldMap.model_validate(defaults["fields"]), "rule": rule.name}


def _unsaid(column: str, found: EventList, event: AfasEvent) -> str | None:
    """Why a column gives no value for an event."""
    if column in found.missing:
        return "column_missing"
    if column in event.unclear:
        return "column_differs"
    return None if column in event.values else "column_empty"


def _link(connection: Connection, tenant_id: int, read: CourseFile, found: EventList, asked: Asked) -> None:
    """Judge again by the settings of this moment, and write it down. Nothing where they name another connector, or
    other columns of it, than what was read: the next run does it.
    """
    locks = {"imports": AdvisoryLock.TENANTS_IMPORT, "courses": AdvisoryLock.COURSES, "tenant": tenant_id}
    connection.execute(_LOCK, locks)
    with Session(connection) as opened:
        file = read_file(opened, tenant_id, lock=True)
        if file.source != read.source:
            return
        changed = [one for one in judge(file, found, asked) if one.changes]
        for verdict in changed:
            if verdict.course is not None:
                verdict.apply(verdict.course)
            else:
                opened.add(Course(tenant_id=tenant_id, event_id=verdict.event_id, **verdict.columns))
        if any(verdict.course is not None for verdict in changed):
            # What was refused before may be tried again.
            opened.get_one(Tenant, tenant_id).settings_version += 1
        opened.flush()


def _unlinked(verdicts: Sequence[Verdict]) -> dict[str, Unlinked]:
    counted: dict[str, Unlinked] = {}
    for verdict in verdicts:
        if verdict.why is not None and verdict.rule is not None:
            one = counted.setdefault(verdict.why, Unlinked(events=0, people=0))
            one["events"] += 1
            one["people"] += verdict.people
    return counted
