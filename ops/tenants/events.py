"""Which events AFAS has, with how many people, and whether each is linked: read live, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import TypedDict

from clients.afas import AfasClient
from clients.pluvo import Group, Target
from models.course_settings import DefaultFields
from models.session import session
from ops import lookup
from ops.listing import Page, checked_limit, number_cursor, page
from ops.problems import Problem
from producers.enrollments.course_rules import CourseFile, Verdict, ask_targets, judge, list_by_defaults, read_file
from producers.enrollments.event_list import AfasEvent, EventList, EventLister
from tenancy.systems import systems_of

Connector = tuple[str | None, str | None, str | None]


class EventItem(TypedDict):
    """An event of AFAS. ``by``: rule or block. ``why``: a code where it is not linked, of a ``column`` of AFAS."""

    tenant: str
    event_id: str
    people: int
    linked: bool
    by: str | None
    rule: str | None
    target: str | None
    why: str | None
    column: str | None
    values: dict[str, str]


def listing(
    slug: str, limit: int = 100, cursor: str | None = None, *, unlinked: bool = False
) -> tuple[Page, str | None]:
    """The events by number; and a code where AFAS could not be read to the end, so that there may be more.

    ``unlinked``: only those that are not linked. Raises Problem when there is no GetConnector to ask.
    """
    after = number_cursor(cursor) or 0
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        file = read_file(opened, tenant.id or 0)
    systems = systems_of(tenant, patience_seconds=30.0)
    shared = _shared(file)
    found = list_by_defaults(file, systems.afas, lambda: None, between=None) if shared else EventList()
    verdicts = judge(file, found, ask_targets(systems.pluvo, file, found, lambda: None))
    others = _others(file, systems.afas, shared)
    failed = found.failed or others.failed
    told = {one.event_id: one for one in [*_of_blocks(file, others), *verdicts]}
    items = [
        _item(slug, one, found, unread=one.people == 0 and not failed)
        for one in sorted(told.values(), key=lambda one: int(one.event_id))
        if int(one.event_id) > after and not (unlinked and one.linked)
    ]
    return page(items[: checked_limit(limit) + 1], limit, "event_id"), failed


def _shared(file: CourseFile) -> Connector | None:
    """The GetConnector that courses share, with its columns of event and person."""
    return file.source if all(file.source) else None


def _others(file: CourseFile, afas: AfasClient, shared: Connector | None) -> EventList:
    """All events of the GetConnectors that courses name themselves."""
    connectors: set[Connector] = {
        (one.getconnector, one.fields.event_id, one.fields.internal_id) for one in file.courses.values() if one.active
    }
    connectors.discard(shared or (None, None, None))
    if not (connectors or shared):
        raise Problem("no_connector_yet")
    found = EventList()
    for connector, event, person in sorted(connectors, key=str):
        more = EventLister(afas, str(connector), DefaultFields(event_id=event, internal_id=person)).read()
        found = EventList(more.events | found.events, failed=found.failed or more.failed)
    return found


def _of_blocks(file: CourseFile, others: EventList) -> Iterator[Verdict]:
    """What no rule is about: events of other connectors, and blocks, also those without a row."""
    blocks = {event: course for event, course in file.courses.items() if course.active and course.rule is None}
    for event in others.events.keys() | blocks.keys():
        people = others.events[event].people if event in others.events else 0
        yield Verdict(event, people, blocks.get(event), why=None if event in blocks else "no_rule")


def _item(slug: str, verdict: Verdict, found: EventList, *, unread: bool) -> EventItem:
    course = verdict.course if verdict.course is not None and verdict.course.active else None
    target = _named(verdict.target) if verdict.target else course.target if course else None
    return {
        "tenant": slug,
        "event_id": verdict.event_id,
        "people": verdict.people,
        "linked": verdict.linked,
        "by": "rule" if verdict.rule else "block" if verdict.linked else None,
        "rule": verdict.rule.name if verdict.rule else None,
        "target": target,
        "why": "no_rows" if unread else verdict.why or ("next_run" if verdict.changes else None),
        "column": verdict.column,
        "values": found.events.get(verdict.event_id, AfasEvent(verdict.event_id)).values,
    }


def _named(target: Target) -> str:
    return f"{'group' if isinstance(target, Group) else 'offer_event'}:{target.ref}"
