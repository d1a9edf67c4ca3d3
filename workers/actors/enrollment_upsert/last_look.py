"""The last look before a person is taken out: does AFAS still miss them, and is what they finished remembered?

A removal may have waited for hours, in an outage, a pause or a hold, or in a database that was restored. So AFAS is
asked about this person right before the removal, and their completions are read unless the run has just read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import text
from sqlmodel import Session

from clients.errors import Unavailable
from models.course import Course
from models.enrollment import RowState
from models.session import session, transaction
from producers.completions.collect import collect_before_removal, load
from producers.completions.record import Finished, record
from producers.completions.rules import Rule, rules_of
from producers.enrollments.leavers import still_blocked, still_gone
from producers.enrollments.snapshot import UNCERTAIN_WHO
from producers.runs.context import PreviewContext
from tenancy.systems import afas_of
from workers.actors.completion_fetch import NotAlone, report_of_one, usable_titles
from workers.actors.enrollment_upsert.standing import Dropped
from workers.actors.enrollment_upsert.state import CALL_SECONDS, Work

AFAS_PATIENCE_SECONDS = 15.0
# The first and the last person of the newest listing: they must show in every proof.
_NEIGHBOURS = text(
    """
    SELECT min(CAST(p.internal_id AS bigint)), max(CAST(p.internal_id AS bigint))
      FROM enrollment e JOIN person p ON p.id = e.person_id
     WHERE e.course_id = :course AND e.row_state <> 'absent' AND p.internal_id ~ '^[1-9][0-9]{0,17}$'
       -- A person whom only a doubted listing misses may be there or not.
       AND NOT EXISTS (SELECT 1 FROM hold_line h WHERE h.enrollment_id = e.id AND h.state = 'open')
    """
)
# What the newest listing of this event was doubted for. A row that can't be told may be this person's.
_DOUBTS = text(
    """
    SELECT one -> 'reasons' FROM run r CROSS JOIN jsonb_array_elements(r.courses) AS one
     WHERE r.tenant_id = :tenant AND r.direction = 'enrollments' AND r.options ->> 'person' IS NULL
       AND one ->> 'event_id' = :event
     ORDER BY r.id DESC LIMIT 1
    """
)


def look(work: Work) -> None:
    """Raises Dropped when AFAS shows the person again, or does not prove that they are gone."""
    with session() as opened:
        course = opened.get_one(Course, work.row.course_id)
        neighbours = _neighbours(opened, work)
        newest = {"tenant": course.tenant_id, "event": course.event_id}
        doubts = opened.connection().execute(_DOUBTS, newest).scalar() or []
    if set(UNCERTAIN_WHO.values()).intersection(doubts):
        raise Dropped("absence_unproven")
    afas = afas_of(work.tenant, work.delivery.call_log.append, AFAS_PATIENCE_SECONDS)
    if work.row.row_state == RowState.BLOCKED:
        away = still_blocked(afas, work.tenant, course, work.row.internal_id)
    else:
        away = still_gone(partial(work.delivery.check, CALL_SECONDS), afas, course, work.row.internal_id, neighbours)
    if away is not True:
        raise Dropped("absence_unproven" if away is None else "came_back")
    if not work.row.just_planned:
        _remember(work)


def _neighbours(opened: Session, work: Work) -> set[str]:
    found = opened.connection().execute(_NEIGHBOURS, {"course": work.row.course_id}).one()
    return {str(one) for one in found if one is not None}


def _remember(work: Work) -> None:
    """Read what the accounts finished; raises Unavailable when that can't be read: then the removal waits."""
    tenant, courses = load(work.delivery.tenant_id)
    rules = usable_titles(work.delivery.tenant_id, work.pluvo, _rules(courses))
    accounts = {place.account for place in work.places.every(work.pluvo_id) if place.account}
    if not rules or not accounts:
        return
    reading = f"removal:{work.delivery.message_id}-{work.delivery.number}"
    finished: list[Finished] = []
    try:
        for account in sorted(accounts):
            found = report_of_one(work.pluvo, rules, account)
            if not found.whole:
                raise Unavailable("report_incomplete", "Pluvo's report could not be read in full.", system="Pluvo")
            finished += found.dated
    except NotAlone:  # everybody's report it is, then
        collect_before_removal(PreviewContext(reading, tenant.id or 0, {}), [course.id or 0 for course in courses])
        return
    with transaction() as connection:
        record(connection, tenant, rules, finished, reading=reading)


def _rules(courses: Sequence[Course]) -> list[Rule]:
    # Whether a field can take the day is not asked here: trouble with writing must not stop a removal.
    return [replace(rule, refusal=None) for course in courses for rule in rules_of(course)]
