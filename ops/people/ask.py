"""Ask AFAS now about one person: in which events are they, linked or not, and can the rows be used? Reads only.

One call a GetConnector: the ids of people are filtered on, whatever the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from clients.afas import AfasClient, Condition, Operator
from clients.errors import RemoteError
from models.afas_values import event_number, person_number
from models.course import Course
from models.enrollment import RowState
from models.session import session
from models.tenant_settings import FieldMap
from models.translate import Record, translate
from ops import access, lookup
from ops.language import Words
from ops.people.next_action import Next
from ops.people.unasked import why
from ops.people.unseen import Asked
from ops.problems import Problem
from producers.enrollments.course_rules import CourseFile, ask_targets, judge, read_file
from producers.enrollments.event_list import AfasEvent, EventList
from tenancy.systems import Systems, systems_at_once

TAKE = 200  # rows of one person


def ask(slug: str, who: str, *, known: bool = False) -> Asked:
    """Ask AFAS for an internal id over all GetConnectors of a tenant. ``known``: the person was seen before.

    Raises Problem for what is no internal id, or a tenant without a GetConnector.
    """
    access.check("people.ask", slug)
    internal_id = person_number(who)
    if internal_id is None:
        raise Problem("ask_number", given=who[:60])
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        file = read_file(opened, tenant.id or 0)
        opened.expunge_all()
    systems = systems_at_once(tenant)
    connectors = _connectors(file)
    if not connectors:
        raise Problem("ask_no_connector", slug=slug)
    rows: list[tuple[FieldMap, dict[str, Any]]] = []
    failed: list[Next] = []
    for connector, fields in connectors.items():
        try:
            rows += [(fields, row) for row in _read(systems.afas, connector, fields, internal_id)]
        except RemoteError as error:
            failed.append(_sentence("failed", connector=connector, why=why(error)))
    today = datetime.now(ZoneInfo(tenant.timezone)).date()
    records = {
        event: translate(row, fields, event, today)
        for fields, row in rows
        if (event := event_number(row.get(fields.event_id))) is not None
    }
    found = sorted(_told(file, systems, internal_id, records, rows, known=known), key=_to_act_on_first)
    if not found and len(failed) < len(connectors):
        found = [_sentence("nowhere", id=internal_id, connectors=", ".join(connectors))]
    return {
        "internal_id": internal_id,
        "at": datetime.now(UTC),
        "connectors": list(connectors),
        "rows": len(rows),
        "found": found,
        "failed": failed,
    }


def _sentence(code: str, **params: object) -> Next:
    verb = {"linked": "sync person", "later": "sync person", "next_run": "sync"}.get(code)
    return {"code": f"asked.{code}", "params": params, "verb": verb}


def _to_act_on_first(told: Next) -> tuple[int, int]:
    order = ("asked.unusable", "asked.linked", "asked.next_run", "asked.unlinked", "asked.later", "asked.known")
    return order.index(told["code"]), int(told["params"]["event"])


def _connectors(file: CourseFile) -> dict[str, FieldMap]:
    """Each GetConnector once, with the columns by which it is asked: those that courses share, else a course's own."""
    found: dict[str, FieldMap] = {}
    defaults = file.defaults
    if defaults.getconnector:
        with suppress(ValidationError):  # where not all columns are shared a course names them
            found[defaults.getconnector] = FieldMap.model_validate(defaults.fields.model_dump(exclude_none=True))
    for course in file.courses.values():
        if course.active:
            found.setdefault(course.getconnector, course.fields)
    return found


def _read(afas: AfasClient, connector: str, fields: FieldMap, internal_id: str) -> Iterable[dict[str, Any]]:
    rows = afas.rows(
        connector,
        take=TAKE,
        order_by=[fields.event_id, fields.internal_id],
        where=[[Condition(fields.internal_id, Operator.EQUAL, internal_id)]],
    )
    # A filter that does not work gives everybody.
    return [row for row in rows if person_number(row.get(fields.internal_id)) == internal_id]


def _told(
    file: CourseFile,
    systems: Systems,
    internal_id: str,
    records: dict[str, Record],
    rows: list[tuple[FieldMap, dict[str, Any]]],
    *,
    known: bool,
) -> Iterator[Next]:
    unlinked = [event for event in records if not _is_linked(file.courses.get(event))]
    whys = _why_unlinked(file, systems, unlinked, rows)
    for event, record in records.items():
        about = {"id": internal_id, "event": event}
        if whys.get(event) == "next_run":
            yield _sentence("next_run", **about)
        elif event in whys:
            yield _sentence("unlinked", **about, why=Words(f"reason.{whys[event]}"))
        elif record.row_state == RowState.REJECTED:
            yield _sentence("unusable", **about, why=Words(f"reason.{record.reason}"))
        elif record.row_state != RowState.PRESENT:
            yield _sentence("later", **about, why=Words(f"reason.{record.row_state}"))
        else:
            yield _sentence("known" if known else "linked", **about)


def _is_linked(course: Course | None) -> bool:
    return course is not None and course.active


def _why_unlinked(
    file: CourseFile, systems: Systems, events: list[str], rows: list[tuple[FieldMap, dict[str, Any]]]
) -> dict[str, str]:
    """Event → why no run reads it, as the rules would judge it by the rows of this one person."""
    seen = EventList({event: AfasEvent(event, 1) for event in events})
    for fields, row in rows:
        event = seen.events.get(event_number(row.get(fields.event_id)) or "")
        if event:
            event.values |= {column: str(value) for column, value in row.items() if value not in (None, "")}
    if not events:
        return {}
    verdicts = judge(file, seen, ask_targets(systems.pluvo, file, seen, lambda: None)) if file.rules else []
    judged = {one.event_id: one.why for one in verdicts if one.event_id in seen.events}
    return {event: judged.get(event, "no_rule") or "next_run" for event in events}
