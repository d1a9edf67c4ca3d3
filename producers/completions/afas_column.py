"""What AFAS shows in the completion column, and what follows from it: a human's date is respected, ours is verified.

A value that was read is kept with the completion (``shown_value``, ``shown_at``). The same judgement serves the run,
which reads a whole event at once, the enrollment snapshot, which has just read it anyway, and the actor (one row).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from clients.afas import AfasClient, Condition, Operator
from clients.errors import AFAS, Unavailable
from models.afas_values import event_number, person_number
from models.completion_dates import Shown, Target, compare
from models.completion_state import CompletionState
from models.course import Course
from models.translate import missing_columns, storable
from producers.completions.record import DayRange, lock_completions
from producers.completions.rules import Rule, rules_of
from producers.event_reader import EventReader
from producers.runs.context import RunContext
from tenancy.alerts import close_alert, open_alert

CHUNK = 1000
_OPEN = "('pending', 'sending', 'failed', 'written', 'conflict')"
# internal id → what the column shows; and a page of it: its age in seconds, and the values of each field.
Values = dict[str, str | None]
Page = tuple[float, dict[str, Values]]

_NOTE = text(
    f"""
    UPDATE completion c SET shown_value = r.value, shown_at = now() - make_interval(secs => :age)
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(subject text, value text)
     WHERE c.tenant_id = :tenant AND c.course_id = :course AND c.field = :field AND c.subject = r.subject
       AND c.state IN {_OPEN}
    """  # noqa: S608  constants only
)
_FROM_SNAPSHOT = text(
    """
    UPDATE completion c SET shown_value = e.completion_value, shown_at = e.completion_read_at
      FROM enrollment e
     WHERE c.tenant_id = :tenant AND c.course_id = :course AND c.field = ANY(:fields)
       AND e.id = c.enrollment_id AND e.tenant_id = c.tenant_id
       AND c.state IN ('written', 'conflict')  -- never a look for a PUT: a snapshot may have been read long ago
       AND e.completion_read_at > coalesce(c.shown_at, '-infinity')
    """
)
_SHOWN = text(
    """
    SELECT c.id, c.field, c.state, c.completed_on, c.shown_value, c.written_at, c.sending_at,
           c.internal_id, c.enrollment_id
      FROM completion c
     WHERE c.tenant_id = :tenant AND c.course_id = :course AND c.field = ANY(:fields) AND c.state = ANY(:states)
       AND c.id > :after
       AND c.completed_on BETWEEN coalesce(CAST(:since AS date), '-infinity')
                              AND coalesce(CAST(:until AS date), 'infinity') AND (
           CASE WHEN c.state = 'written' THEN c.shown_at > c.written_at
                WHEN c.state = 'conflict' THEN c.shown_at > c.changed_at
                ELSE c.shown_at > now() - interval '10 minutes' END)
     ORDER BY c.id LIMIT :limit
    """
)
_SETTLE = text(
    """
    UPDATE completion c
       SET state = r.state, reason = r.reason, found_value = r.found, changed_at = now(),
           written_at = CASE r.state WHEN 'verified' THEN coalesce(c.written_at, now()) WHEN 'pending' THEN NULL
                                     ELSE c.written_at END,
           sending_at = CASE WHEN r.state = 'pending' THEN NULL ELSE c.sending_at END,
           verified_at = CASE WHEN r.state = 'verified' THEN now() ELSE c.verified_at END
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, was text, state text, reason text, found text)
     WHERE c.id = r.id AND c.tenant_id = :tenant AND c.state = r.was
    RETURNING c.id
    """
)


@dataclass(frozen=True)
class _Looked:
    """A completion with what AFAS showed of it: a row of ``_SHOWN``."""

    id: int
    field: str
    state: str
    completed_on: date
    shown_value: str | None
    written_at: datetime | None
    sending_at: datetime | None
    internal_id: str | None
    enrollment_id: int | None


@dataclass(frozen=True)
class Judged:
    """A completion whose state follows from what AFAS shows."""

    id: int
    was: str
    state: str
    reason: str | None = None
    found: str | None = None
    internal_id: str | None = None
    enrollment_id: int | None = None


def judge_due(on: date, shown: str | None, target: Target, *, maybe_sent: bool) -> Judged | None:
    """What a due completion becomes without a PUT; None: the column is empty, so the PUT may go.

    The same date is ``unchanged``, or ``verified`` when an earlier PUT of ours may have put it there.
    """
    verdict = compare(shown, on, target)
    if verdict is Shown.EMPTY:
        return None
    if verdict is Shown.SAME:
        return Judged(0, "", CompletionState.VERIFIED if maybe_sent else CompletionState.UNCHANGED)
    return Judged(0, "", CompletionState.CONFLICT, "other_date", (shown or "").strip()[:200])


def judge_settled(state: str, on: date, shown: str | None, target: Target, *, by_us: bool) -> Judged | None:
    """What a written or conflicting completion becomes by a newer reading; None: it stays as it is."""
    verdict = compare(shown, on, target)
    if verdict is Shown.SAME:
        return Judged(0, "", CompletionState.VERIFIED if by_us else CompletionState.UNCHANGED)
    if verdict is Shown.OTHER and state == CompletionState.WRITTEN:
        return Judged(0, "", CompletionState.CONFLICT, "changed_after_writing", (shown or "").strip()[:200])
    if verdict is Shown.EMPTY and state == CompletionState.CONFLICT:
        # What stood in the way was taken out in AFAS. What we wrote before that is gone too: it begins anew.
        return Judged(0, "", CompletionState.PENDING)
    return None


# ------------------------------------------------------------------------------------------------------- reading AFAS


@dataclass(frozen=True)
class Seen:
    """What one row showed. ``asked_at``: when AFAS was asked, by ``time.monotonic()``: so old is the answer."""

    there: bool
    value: str | None
    asked_at: float


def read_one(afas: AfasClient, course: Course, rule: Rule, internal_id: str) -> Seen:
    """Read one enrollment's column.

    Raises Unavailable("missing_column") when it can't be seen: nothing is written over what we can't see; and
    "unasked_rows" for an answer with other rows or unreadable ids only, which proves no absence.
    """
    event_column, key_column = course.fields.event_id, course.fields.internal_id
    asked: list[float] = []
    rows = afas.rows(
        course.getconnector,
        take=10,
        order_by=[event_column, key_column],
        where=[
            [
                Condition(event_column, Operator.EQUAL, course.event_id),
                Condition(key_column, Operator.EQUAL, internal_id),
            ]
        ],
        about_to=lambda: asked.append(time.monotonic()),
    )
    values: Values = {}
    _take(values, rows, course, rule)
    if rows and internal_id not in values:
        raise Unavailable("unasked_rows", "AFAS answers with rows that were not asked for.", system=AFAS)
    return Seen(internal_id in values, values.get(internal_id), asked[-1])


def read_event(context: RunContext, afas: AfasClient, course: Course, rules: Sequence[Rule]) -> Iterator[Page]:
    """Read an event's columns page by page: (age of the page in seconds, ``{field: {internal id: value}}``)."""
    reader = EventReader(
        afas, course.getconnector, course.fields, course.event_id, check=context.check, width=course.width
    )
    started = time.monotonic()
    for rows in reader.pages():
        values: dict[str, Values] = {rule.field: {} for rule in rules}
        for rule in rules:
            _take(values[rule.field], rows, course, rule)
        yield time.monotonic() - started, values
        started = time.monotonic()


def _take(values: Values, rows: Sequence[Mapping[str, Any]], course: Course, rule: Rule) -> None:
    event, key, shown = course.fields.event_id, course.fields.internal_id, rule.column or ""
    for row in rows:
        if missing_columns(row, [event, key, shown]):
            raise Unavailable(
                "missing_column", "The completion column is not in the GetConnector's answer.", system=AFAS
            )
        person = person_number(row[key])
        if person is None or event_number(row[event]) != course.event_id:
            continue
        value = storable(str(row[shown] or "").strip())
        known = values.get(person)
        # Two rows of one person that disagree: neither may be overwritten.
        values[person] = f"{known} / {value}" if known and value and known != value else known or value


# --------------------------------------------------------------------------------------------------------- recording


def note(connection: Connection, tenant_id: int, course_id: int, age_seconds: float, values: dict[str, Values]) -> None:
    """Keep what a page showed with the completions it matters to."""
    lock_completions(connection, tenant_id)
    for field, shown in values.items():
        rows = json.dumps([{"subject": f"person:{who}", "value": value} for who, value in shown.items()])
        names = {"tenant": tenant_id, "course": course_id, "field": field, "rows": rows, "age": age_seconds}
        connection.execute(_NOTE, names)


def judge(
    connection: Connection,
    tenant_id: int,
    rules: Sequence[Rule],
    states: Sequence[str],
    days: DayRange | None = None,
) -> list[Judged]:
    """Settle the completions of one course's rules by what was shown last; returns those that changed."""
    targets = {rule.field: rule.target for rule in rules if rule.target and rule.column}
    if not targets:
        return []
    lock_completions(connection, tenant_id)
    course_id, after = rules[0].course_id, 0
    changed: list[Judged] = []
    while True:
        values = {
            "tenant": tenant_id,
            "course": course_id,
            "fields": list(targets),
            "states": list(states),
            "since": days.since if days else None,
            "until": days.until if days else None,
            "after": after,
            "limit": CHUNK,
        }
        rows = [_Looked(*row) for row in connection.execute(_SHOWN, values)]
        judged = [one for row in rows if (one := _judged(row, targets[row.field]))]
        if judged:
            found = json.dumps([vars(one) for one in judged])
            settled = connection.execute(_SETTLE, {"tenant": tenant_id, "rows": found})
            done = set(settled.scalars())
            changed += [one for one in judged if one.id in done]
        if len(rows) < CHUNK:
            return changed
        after = rows[-1].id


def _judged(row: _Looked, target: Target | None) -> Judged | None:
    if target is None:
        return None
    if row.state in (CompletionState.WRITTEN, CompletionState.CONFLICT):
        by_us = row.written_at is not None
        found = judge_settled(row.state, row.completed_on, row.shown_value, target, by_us=by_us)
    else:
        found = judge_due(row.completed_on, row.shown_value, target, maybe_sent=row.sending_at is not None)
    if found is None:
        return None
    return Judged(row.id, row.state, found.state, found.reason, found.found, row.internal_id, row.enrollment_id)


def confirm_written(connection: Connection, course: Course) -> int:
    """Verify what we wrote by the snapshot that was just read; returns how many became ``verified``.

    Opens the alert ``not_visible`` for a course where something written is not to be seen after 24 hours, and closes
    it when nothing is missing any more. AFAS's own modified stamp plays no part anywhere, so our write echoes nowhere.
    """
    default = course.fields.completion
    rules = [rule for rule in rules_of(course) if rule.column]
    fields = [rule.field for rule in rules if rule.column == default]
    lock_completions(connection, course.tenant_id)
    connection.execute(_FROM_SNAPSHOT, {"tenant": course.tenant_id, "course": course.id, "fields": fields})
    changed = judge(connection, course.tenant_id, rules, [CompletionState.WRITTEN, CompletionState.CONFLICT])
    watch_visibility(connection, course, rules)
    return sum(one.state == CompletionState.VERIFIED for one in changed)


# Rows of an unchanged roster are not written by the snapshot, so its own time says that it looked.
_INVISIBLE = text(
    """
    SELECT count(*) FROM completion c JOIN course k ON k.id = c.course_id AND k.tenant_id = c.tenant_id
     WHERE c.tenant_id = :tenant AND c.course_id = :course AND c.state = 'written' AND c.field = ANY(:fields)
       AND c.written_at < now() - interval '24 hours'
       AND greatest(c.shown_at, k.base_at) > c.written_at AND coalesce(c.shown_value, '') = ''
    """
)


def watch_visibility(connection: Connection, course: Course, rules: Sequence[Rule]) -> None:
    """One alert a course while something written is not to be seen in AFAS after a day."""
    fields = [rule.field for rule in rules if rule.column]
    values = {"tenant": course.tenant_id, "course": course.id, "fields": fields}
    missing = connection.execute(_INVISIBLE, values).scalar_one()
    if missing:
        told = (
            f"{missing} completion dates written more than 24 hours ago are not to be seen in event {course.event_id}: "
            "is the completion column the field that is written?"
        )
        about = {"count": missing, "event": course.event_id}
        open_alert(connection, course.tenant_id, "not_visible", course.event_id, told, about)
    else:
        close_alert(connection, course.tenant_id, "not_visible", course.event_id)
