"""Remember who finished what: one row per (tenant, course, person, field) for ever, the first date wins.

A row of Pluvo's report names a Pluvo user and a title. Whose AFAS enrollment that is, the links and the last snapshot
decide: each course with this title in which one of the user's persons is enrolled. Where none is, the row is an
``orphan`` and is looked at again whenever it is seen. Equal rows are one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, text

from models.advisory_locks import AdvisoryLock
from models.completion_dates import day_of, plausible
from models.completion_state import CompletionState
from models.enrollment import RowState
from models.run import RunOptions
from models.tenant import Tenant
from producers.completions.rules import Rule

_LOCK = text("SELECT pg_advisory_xact_lock(:class, :tenant)")


class Finished(NamedTuple):
    """Someone finished something. ``raw`` None: a finish event told so, but the report has no date (yet)."""

    pluvo_id: str
    level: str
    title: str
    raw: str | None


@dataclass(frozen=True)
class DayRange:
    """Only days from ``since`` to ``until``, both included."""

    since: date | None = None
    until: date | None = None

    @classmethod
    def of(cls, options: RunOptions) -> DayRange:
        """Read a run's options: ``{"since": "2026-01-01", "until": "2026-06-30"}``."""
        since, until = options.get("since"), options.get("until")
        return cls((since and date.fromisoformat(since)) or None, (until and date.fromisoformat(until)) or None)

    @property
    def narrow(self) -> bool:
        return self.since is not None or self.until is not None


@dataclass
class Entry:
    """What one completion row should say. Field names are column names."""

    course_id: int
    subject: str
    internal_id: str | None
    enrollment_id: int | None
    pluvo_id: str
    field: str
    level: str
    title: str
    completed_raw: str | None
    completed_on: str | None
    # The reading that brought the day: an earlier day of the same reading takes its place.
    dated_run: str | None
    state: str
    reason: str | None
    # State and reason as they would be with a day.
    dated: tuple[str, str | None]


class _Owner(NamedTuple):
    """A person behind a Pluvo user, with their enrollment in one course if there is one."""

    internal_id: str
    course_id: int | None
    enrollment_id: int | None
    row_state: str | None


# The link that makes a completion that person's: ``c`` is the completion, ``e`` the enrollment, ``l`` the link.
LINK_OF = "l.tenant_id = c.tenant_id AND l.person_id = e.person_id AND l.pluvo_id = c.pluvo_id AND l.state <> 'ignored'"
_OWNERS = text(
    """
    SELECT l.pluvo_id, p.internal_id, e.course_id, e.id AS enrollment_id, e.row_state
      FROM link l
      JOIN person p ON p.id = l.person_id
      LEFT JOIN enrollment e ON e.person_id = p.id AND e.course_id = ANY(:courses)
     WHERE l.tenant_id = :tenant AND l.pluvo_id = ANY(:users) AND l.state <> 'ignored'
     ORDER BY p.id, e.course_id
    """
)
# Known only by Pluvo user until now: the person's own row takes over what was first seen.
_TAKE_OVER = text(
    """
    DELETE FROM completion c USING jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(pluvo_id text, level text, title text)
     WHERE c.tenant_id = :tenant AND c.subject = 'pluvo:' || r.pluvo_id AND c.level = r.level AND c.title = r.title
       AND c.course_id = ANY(:courses)
    RETURNING c.pluvo_id, c.level, c.title, c.completed_raw, c.completed_on::text AS completed_on, c.dated_run
    """
)
# The day came from an account that is no longer this person's, or from something the rule no longer means, and nothing
# was sent: it was never theirs.
_FOREIGN = f"""
    (c.puts = 0 AND ((c.level, c.title) <> (excluded.level, excluded.title) OR (
        c.pluvo_id <> excluded.pluvo_id AND NOT EXISTS (
            SELECT 1 FROM enrollment e JOIN link l ON {LINK_OF} WHERE e.id = c.enrollment_id))))
"""  # noqa: S608  constants only
# Which of two days of one reading comes first must not depend on the pages they stand on.
_EARLIER = """
    (excluded.completed_on < c.completed_on AND c.puts = 0 AND c.dated_run IS NOT DISTINCT FROM excluded.dated_run
     AND c.state IN ('pending', 'orphan', 'rejected'))
"""
_TAKES = f"({_FOREIGN} OR c.completed_on IS NULL OR {_EARLIER})"
# What was not sent yet follows what is seen now; a finish without a date, or an unreadable one, takes nothing back.
_OPEN = f"""
    ({_FOREIGN} OR (c.state IN ('pending', 'orphan', 'no_date', 'rejected') AND excluded.state <> 'no_date'
                    AND NOT (excluded.completed_on IS NULL AND c.completed_on IS NOT NULL)))
"""


def _in_range(day: str) -> str:
    """SQL: the run that reads, where the day is inside its range."""
    return f"""CASE WHEN coalesce({day} BETWEEN coalesce(CAST(:since AS date), '-infinity')
                                        AND coalesce(CAST(:until AS date), 'infinity'), NOT :narrow) THEN :run END"""


MAX_LATER = 20
_UPSERT = text(
    f"""
    INSERT INTO completion AS c (tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id, field, level,
                                 title, completed_raw, completed_on, dated_run, state, reason, seen_run, signalled_by)
    SELECT :tenant, r.course_id, r.subject, r.internal_id, r.enrollment_id, r.pluvo_id, r.field, r.level, r.title,
           r.completed_raw, r.completed_on, r.dated_run, r.state, r.reason, {_in_range("r.completed_on")}, :signal
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
           course_id bigint, subject text, internal_id text, enrollment_id bigint, pluvo_id text, field text,
           level text, title text, completed_raw text, completed_on date, dated_run text, state text, reason text)
     ORDER BY r.course_id, r.subject, r.field
    ON CONFLICT (tenant_id, course_id, subject, field) DO UPDATE SET
        enrollment_id = coalesce(excluded.enrollment_id, c.enrollment_id), pluvo_id = excluded.pluvo_id,
        level = excluded.level, title = excluded.title,
        completed_raw = CASE WHEN {_TAKES} THEN coalesce(excluded.completed_raw, c.completed_raw)
                             ELSE c.completed_raw END,
        completed_on = CASE WHEN {_TAKES} THEN excluded.completed_on ELSE c.completed_on END,
        dated_run = CASE WHEN {_TAKES} THEN excluded.dated_run ELSE c.dated_run END,
        later = CASE WHEN {_FOREIGN} THEN '[]'
                     WHEN {_EARLIER}
                     THEN c.later || jsonb_build_object('raw', c.completed_raw, 'on', c.completed_on, 'at', now())
                     WHEN excluded.completed_on <> c.completed_on AND jsonb_array_length(c.later) < {MAX_LATER}
                      AND NOT c.later @> jsonb_build_array(jsonb_build_object('on', excluded.completed_on))
                     THEN c.later || jsonb_build_object('raw', excluded.completed_raw, 'on', excluded.completed_on,
                                                        'at', now())
                     ELSE c.later END,
        state = CASE WHEN {_OPEN} THEN excluded.state ELSE c.state END,
        reason = CASE WHEN {_OPEN} THEN excluded.reason ELSE c.reason END,
        found_value = CASE WHEN {_FOREIGN} THEN NULL ELSE c.found_value END,
        changed_at = CASE WHEN {_OPEN} AND c.state <> excluded.state THEN now() ELSE c.changed_at END,
        seen_run = coalesce({_in_range(f"CASE WHEN {_TAKES} THEN excluded.completed_on ELSE c.completed_on END")},
                            c.seen_run)
    RETURNING c.id
    """  # noqa: S608  constants only
)
_TODAY = text("SELECT CAST(now() AT TIME ZONE :zone AS date)")


# The name of an execution option: this connection writes into copies of its own and takes no lock.
COPIES = "koppeling_copies"


def lock_completions(connection: Connection, tenant_id: int) -> None:
    """One writer of many completions at a time per tenant, until the transaction ends: no order of rows can deadlock.

    Taken before any row is locked. The write-back actor, which touches one row, needs no part in it.
    """
    if connection.get_execution_options().get(COPIES):
        return
    connection.execute(_LOCK, {"class": AdvisoryLock.COMPLETIONS, "tenant": tenant_id})


def record(
    connection: Connection,
    tenant: Tenant,
    rules: Sequence[Rule],
    finished: Sequence[Finished],
    *,
    run_id: str | None = None,
    reading: str | None = None,
    days: DayRange | None = None,
    signal: str = "poll",
) -> list[int]:
    """Bring the completion rows of these people up to date; returns their ids. Safe to repeat, in any order.

    The first date is the first one whatever the ``days``: they only choose what counts as seen by ``run_id``.
    ``reading`` (default ``run_id``) names one reading of the report, which may come in several parts.
    """
    entries = _entries(connection, tenant, rules, finished, reading or run_id)
    if not entries:
        return []
    lock_completions(connection, tenant.id or 0)
    rounds = _rounds(entries)
    _take_over(connection, tenant, rules, rounds[0])
    chosen = days or DayRange()
    within = {"since": chosen.since, "until": chosen.until, "narrow": chosen.narrow}
    values = {"tenant": tenant.id, "run": run_id, "signal": signal} | within
    kept = [
        list(connection.execute(_UPSERT, values | {"rows": json.dumps([vars(one) for one in each])}).scalars())
        for each in rounds[: 1 + MAX_LATER]
    ]
    return kept[0]


def _entries(
    connection: Connection,
    tenant: Tenant,
    rules: Sequence[Rule],
    finished: Sequence[Finished],
    reading: str | None,
) -> list[Entry]:
    by_title: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in rules:
        by_title[rule.level, rule.title].append(rule)
    owners = _owners(connection, tenant, rules, finished)
    today = connection.execute(_TODAY, {"zone": tenant.timezone}).scalar_one()
    days = {raw: _day(raw, tenant, today) for raw in {row.raw for row in finished}}
    made: list[Entry] = []
    for row in finished:
        of_user = owners.get(row.pluvo_id, [])
        made += [
            _entry(rule, row, owner, days[row.raw], reading)
            for rule, owner in _assign(by_title[row.level, row.title], of_user)
            # A finish without a date is worth listing only for someone whose date could be written.
            if row.raw is not None or (owner and owner.row_state not in (None, RowState.ABSENT))
        ]
    return made


def _owners(
    connection: Connection, tenant: Tenant, rules: Sequence[Rule], finished: Sequence[Finished]
) -> dict[str, list[_Owner]]:
    users, courses = {row.pluvo_id for row in finished}, {rule.course_id for rule in rules}
    values = {"tenant": tenant.id, "users": list(users), "courses": list(courses)}
    found: dict[str, list[_Owner]] = defaultdict(list)
    for pluvo_id, *owner in connection.execute(_OWNERS, values):
        found[pluvo_id].append(_Owner(*owner))
    return found


def _assign(rules: Sequence[Rule], owners: Sequence[_Owner]) -> list[tuple[Rule, _Owner | None]]:
    """Which rules a row counts for, and for whom: where someone is enrolled, else where someone was, else the first."""
    pairs = [(rule, owner) for rule in rules for owner in owners if owner.course_id == rule.course_id]
    enrolled = [(rule, owner) for rule, owner in pairs if owner.row_state != RowState.ABSENT]
    if chosen := enrolled or pairs:
        return [*chosen]
    known = owners[0]._replace(course_id=None, enrollment_id=None, row_state=None) if owners else None
    return [(rules[0], known)] if rules else []


class _Day(NamedTuple):
    """The day of a finish; without one, ``state`` is what is listed instead."""

    on: str | None
    state: str
    reason: str | None


def _day(raw: str | None, tenant: Tenant, today: date) -> _Day:
    if raw is None:
        return _Day(None, CompletionState.NO_DATE, None)
    try:
        on, note = day_of(raw, tenant.timezone)
    except ValueError:
        return _Day(None, CompletionState.REJECTED, "unreadable_date")
    if not plausible(on, today):
        return _Day(None, CompletionState.REJECTED, "implausible_date")
    return _Day(on.isoformat(), CompletionState.PENDING, note)


def _entry(rule: Rule, row: Finished, owner: _Owner | None, day: _Day, reading: str | None) -> Entry:
    enrollment_id = owner.enrollment_id if owner else None
    # Without an AFAS row the completion stays with the Pluvo user: its event is not known yet.
    subject = f"person:{owner.internal_id}" if owner and enrollment_id is not None else f"pluvo:{row.pluvo_id}"
    dated = _state_with_a_day(rule, owner, day.reason)
    state, reason = dated if day.on is not None else (day.state, day.reason)
    return Entry(
        course_id=rule.course_id,
        subject=subject,
        internal_id=owner.internal_id if owner else None,
        enrollment_id=enrollment_id,
        pluvo_id=row.pluvo_id,
        field=rule.field,
        level=rule.level,
        title=rule.title,
        completed_raw=row.raw,
        completed_on=day.on,
        dated_run=reading,
        state=state,
        reason=reason,
        dated=dated,
    )


def _state_with_a_day(rule: Rule, owner: _Owner | None, note: str | None) -> tuple[str, str | None]:
    """State and reason of a finish that has a day: whether there is a row and a field for it."""
    if owner is None or owner.enrollment_id is None or owner.row_state == RowState.ABSENT:
        return CompletionState.ORPHAN, _why_orphan(owner)
    return (CompletionState.REJECTED, rule.refusal) if rule.refusal else (CompletionState.PENDING, note)


def _why_orphan(owner: _Owner | None) -> str:
    if owner is None:
        return "unknown_person"
    return "not_enrolled" if owner.enrollment_id is None else "not_in_afas"


def _rounds(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The earliest day of each completion row; then the next one of those that have more, which moves nothing."""
    days: dict[tuple[int, str, str], list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda one: (one.completed_on is None, one.completed_on or "")):
        known = days[entry.course_id, entry.subject, entry.field]
        if not known or entry.completed_on not in {None, known[-1].completed_on}:
            known.append(entry)
    return [[known[n] for known in days.values() if n < len(known)] for n in range(max(map(len, days.values())))]


def _take_over(connection: Connection, tenant: Tenant, rules: Sequence[Rule], entries: Sequence[Entry]) -> None:
    found = [e for e in entries if e.subject.startswith("person:")]
    if not found:
        return
    rows = json.dumps([{"pluvo_id": e.pluvo_id, "level": e.level, "title": e.title} for e in found])
    values = {"tenant": tenant.id, "rows": rows, "courses": list({rule.course_id for rule in rules})}
    first = {(row.pluvo_id, row.level, row.title): row for row in connection.execute(_TAKE_OVER, values)}
    for entry in found:
        known = first.get((entry.pluvo_id, entry.level, entry.title))
        if known is None or known.completed_on is None:
            continue
        same_reading = known.dated_run == entry.dated_run
        if entry.completed_on is not None and same_reading and entry.completed_on < known.completed_on:
            continue
        if entry.completed_on is None:
            entry.state, entry.reason = entry.dated
        entry.completed_raw, entry.completed_on = known.completed_raw, known.completed_on
        entry.dated_run = known.dated_run
