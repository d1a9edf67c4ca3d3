"""Who is gone from AFAS, and whether this is certain enough to act on.

Absent from two complete snapshots at least ``confirm_after`` apart makes a leaver. Before a removal goes anywhere the
absence is proven: AFAS is asked for exactly that person, for neighbours who are known to be there, and for rows without
an id. It is asked forwards and backwards, since an answer that is cut off hides other people in each order. An answer
counts if it shows the neighbours and no other person; anything else makes the snapshot suspect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, CursorResult, Row, text

from clients.afas import AfasClient, Condition, Operator
from clients.errors import Misconfigured, Rejected, TooLarge, Unavailable
from models.afas_values import event_number, person_number
from models.course import Course
from models.enrollment import Applied, RowState
from models.run import SnapshotState
from models.tenant import ARCHIVING, Tenant
from models.translate import translate
from producers.enrollments.plan_lines import Line, store
from producers.enrollments.snapshot import Snapshot
from producers.event_reader import AfasRow, EventReader, Partial, Restart
from producers.runs.context import RunContext

# People asked about in one query, next to two neighbours: more would pass AFAS's limit on a query's length.
PER_QUERY = 4
PROOF_ROWS = 50  # more than so few people can have, doubles included
AT_ONCE = 1000
NOBODY = None  # asked about as well: a row without an id may belong to any person
NO_ANSWER = (Unavailable, Misconfigured, TooLarge, Rejected)

# Blocked counts as absent. A row that was rejected, has ended or not begun says that the person is there.
_ABSENT = text(
    """
    SELECT e.id AS enrollment_id, e.state, e.absent_since, p.internal_id, p.applied_name, p.applied_email,
           l.created_by_us,
           e.told_target IS NOT NULL OR e.left_behind <> '[]' OR (e.state = 'removed' AND e.archive)
               AS put_there,
           CASE WHEN e.desired = 'removed' AND e.failed_version = e.version AND e.failed_settings = :settings
                THEN e.failed_code END AS failed_code,
           EXISTS (SELECT 1 FROM message m WHERE m.kind = 'enrollment.upsert' AND m.subject_id = e.id) AS under_way,
           EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.course_id = e.course_id
                      AND s.internal_id = p.internal_id AND s.row_state = 'blocked') AS blocked
      FROM enrollment e
      JOIN person p ON p.id = e.person_id
      LEFT JOIN link l ON l.person_id = p.id
     WHERE e.tenant_id = :tenant AND e.course_id = :course AND NOT e.removal_refused
       AND (e.state IN ('enrolled', 'new')
            -- asked for again with an unknown result; or the archive still waits for a run that reads all
            OR (e.state = 'removed' AND (e.told_target IS NOT NULL OR (e.archive AND :archiving))))
       AND l.state IS DISTINCT FROM 'ignored'
       -- what was let go already, by a guard or an operator, is on its way
       AND NOT (e.desired = 'removed'
                AND EXISTS (SELECT 1 FROM message m WHERE m.kind = 'enrollment.upsert' AND m.subject_id = e.id))
       AND (CAST(:person AS text) IS NULL OR p.internal_id = :person)
       AND NOT EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.course_id = e.course_id
                          AND s.internal_id = p.internal_id AND s.row_state <> 'blocked')
     ORDER BY length(p.internal_id), p.internal_id
    """
)


@dataclass(frozen=True)
class Absent:
    """Someone in Pluvo for an event whom its snapshot does not show, or shows as blocked."""

    enrollment_id: int
    state: str
    absent_since: datetime | None
    internal_id: str
    applied_name: str | None
    applied_email: str | None
    created_by_us: bool | None
    put_there: bool
    failed_code: str | None
    under_way: bool
    blocked: bool

    @classmethod
    def from_row(cls, row: Row[Any]) -> Absent:
        """Of a row of ``_ABSENT``."""
        return cls(**row._mapping)


_NEIGHBOURS = text(
    """
    SELECT min(CAST(internal_id AS bigint)), max(CAST(internal_id AS bigint)) FROM snapshot_row
     WHERE run_id = :run AND tenant_id = :tenant AND course_id = :course AND internal_id ~ '^[1-9][0-9]{0,17}$'
    """
)


def plan_leavers(
    context: RunContext, tenant: Tenant, course: Course, snapshot: Snapshot, *, target_read: bool, all_read: bool
) -> int:
    """Write removal lines of one event; returns how many people are absent but not yet confirmed.

    Without ``target_read`` everybody waits: another event with the same target could not be read, and people who are
    missing here may be there by now. Accounts go to the archive only with ``all_read``: people who moved to an event
    that could not be read still need theirs. Until a run reads all events they are only taken out.

    A ``short`` snapshot gives lines for everybody it misses: the guard holds them all.
    """
    if not (snapshot.state == SnapshotState.COMPLETE or snapshot.only_short):
        return 0
    confirm_after = timedelta(seconds=tenant.removals.confirm_after)
    waiting = planned = 0
    with context.writing() as connection:
        # Some at a time: a whole roster may be gone.
        for part in _absent(connection, context, tenant, course, all_read).partitions(AT_ONCE):
            absent = [Absent.from_row(row) for row in part]
            if snapshot.only_short:
                doubted = [_line(row, course, tenant, "short_snapshot", all_read) for row in absent]
                planned += store(connection, context, [line for line in doubted if line.outcome == "pending"])
                continue
            due = [row for row in absent if target_read and _confirmed(row, snapshot, confirm_after)]
            waiting += len(absent) - len(due)
            whys = ["blocked" if row.blocked else "left_afas" for row in due]
            lines = [_line(row, course, tenant, why, all_read) for row, why in zip(due, whys, strict=True)]
            planned += store(connection, context, lines)
    context.progress(planned=planned)
    return waiting


_GOING = text(
    """SELECT internal_id FROM plan_line
        WHERE run_id = :run AND tenant_id = :tenant AND course_id = :course AND NOT is_row AND outcome = 'pending'
          AND reason = 'left_afas' AND (length(internal_id), internal_id) > (length(:after), :after)
        ORDER BY length(internal_id), internal_id LIMIT :most"""
)
_UNPROVEN = text(
    """DELETE FROM plan_line
        WHERE run_id = :run AND tenant_id = :tenant AND course_id = :course AND NOT is_row AND outcome = 'pending'
          AND reason IN ('left_afas', 'blocked')"""
)


def prove_leavers(context: RunContext, afas: AfasClient, course: Course, snapshot: Snapshot) -> int:
    """Prove the absence of the people whose removals the guards let go. Held ones are proven when they are released.

    Without the proof the snapshot is suspect (``absence_unproven``), and no person of the event is removed; returns how
    many wait for that.
    """
    going = {"run": context.run_id, "tenant": context.tenant_id, "course": course.id}
    neighbours: set[str] = set()
    after = ""
    while True:
        with context.writing() as connection:
            people = list(connection.execute(_GOING, going | {"after": after, "most": AT_ONCE}).scalars())
            if people and not after and not context.options.get("person"):
                neighbours = _neighbours(connection, context, course)
        if not people:
            return 0
        if context.options.get("person"):
            neighbours = _ends_of_event(context.check, afas, course, people)
        if not prove_absent(context.check, afas, course, people, neighbours):
            break
        after = people[-1]
    snapshot.suspect("absence_unproven")
    with context.writing() as connection:
        return connection.execute(_UNPROVEN, going).rowcount


def _neighbours(connection: Connection, context: RunContext, course: Course) -> set[str]:
    """The first and the last person of the event as just read: they must show in every proof."""
    values = {"run": context.run_id, "tenant": context.tenant_id, "course": course.id}
    row = connection.execute(_NEIGHBOURS, values).one()
    return {str(found) for found in row if found is not None}


def _ends_of_event(check: Callable[[], None], afas: AfasClient, course: Course, people: Sequence[str]) -> set[str]:
    """The same for a run that asked for one person only, which can't see a row of theirs under an id that is written
    otherwise: all of the event is read. Empty when it has a row that can't be told, or one of ``people``.
    """
    reader = EventReader(afas, course.getconnector, course.fields, course.event_id, check=check)
    ends: set[str] = set()
    try:
        for page in reader.pages():
            check()
            found = _people_of(page, course)
            if None in found or not found.isdisjoint(people):
                return set()
            known = sorted(ends | {one for one in found if one is not None}, key=int)
            ends = {*known[:1], *known[-1:]}
    except (Partial, Restart, *NO_ANSWER):
        return set()
    return set() if reader.evidence.reasons else ends


def _people_of(rows: Iterable[AfasRow], course: Course) -> set[str | None]:
    """The people of these rows; None for a row that may be any person's: no readable id, or another event."""
    fields, event = course.fields, event_number(course.event_id)
    return {
        person_number(row.get(fields.internal_id)) if event_number(row.get(fields.event_id)) == event else None
        for row in rows
    }


def _absent(
    connection: Connection, context: RunContext, tenant: Tenant, course: Course, all_read: bool
) -> CursorResult[Any]:
    values = {
        "run": context.run_id,
        "tenant": context.tenant_id,
        "course": course.id,
        "person": context.options.get("person"),
        "settings": tenant.settings_version,
        "archiving": all_read and tenant.removals.policy == ARCHIVING,
    }
    return connection.execute(_ABSENT, values, execution_options={"yield_per": AT_ONCE})


def _confirmed(row: Absent, snapshot: Snapshot, confirm_after: timedelta) -> bool:
    if not confirm_after:
        return True
    return row.absent_since is not None and snapshot.read_at - row.absent_since >= confirm_after


def _line(row: Absent, course: Course, tenant: Tenant, why: str, all_read: bool) -> Line:
    wanted = tenant.removals.policy == ARCHIVING and bool(row.created_by_us)
    archive = wanted and all_read
    outcome, reason = _outcome(row, tenant.removals.policy, why)
    send = outcome == "pending"
    out_already = row.state == Applied.REMOVED and archive  # the guards judged it then
    return Line(
        course.id or 0,
        course.event_id,
        row.internal_id,
        action=("archive" if archive else "unenroll") if send else "none",
        outcome=outcome,
        reason=reason,
        enrollment_id=row.enrollment_id,
        is_row=False,
        kind="removal" if send and not out_already else None,
        before={"name": row.applied_name, "email": row.applied_email, "enrolled": True},
        after={"enrolled": False, "archived": archive} if send else None,
        archive=wanted,
    )


def _outcome(row: Absent, policy: str, why: str) -> tuple[str, str]:
    if policy == "keep":
        return "kept", "policy_keep"
    # Never asked for in this event and nothing on its way: if they are in it in Pluvo, it is not our doing.
    if not (row.put_there or row.under_way):
        return "kept", "never_enrolled"
    return ("failed", row.failed_code) if row.failed_code else ("pending", why)


# ---------------------------------------------------------------------------------------------------------------- proof


def prove_absent(
    check: Callable[[], None], afas: AfasClient, course: Course, people: Sequence[str], neighbours: set[str]
) -> bool:
    """Ask AFAS for these very people and neighbours who are there; True only when just the neighbours come."""
    if not neighbours:
        return False
    asked = [*people, NOBODY]
    try:
        for start in range(0, len(asked), PER_QUERY):
            check()
            if not _proven(afas, course, asked[start : start + PER_QUERY], neighbours):
                return False
    except NO_ANSWER:
        return False
    return True


def _proven(afas: AfasClient, course: Course, asked: Sequence[str | None], neighbours: set[str]) -> bool:
    return all(seen == neighbours for seen in _answers(afas, course, asked, neighbours))


def _answers(
    afas: AfasClient, course: Course, asked: Sequence[str | None], neighbours: set[str]
) -> list[set[str | None]]:
    """Which of these people and neighbours AFAS shows, asked forwards and backwards."""
    try:
        return [_ask(afas, course, [*sorted(neighbours), *asked], minus) for minus in ("", "-")]
    except ValueError:  # long column names: the query would pass AFAS's limit
        half = len(asked) // 2
        if not half:
            return [set()]  # an empty answer proves nothing
        parts = (asked[:half], asked[half:])
        return [seen for part in parts for seen in _answers(afas, course, part, neighbours)]


def _ask(afas: AfasClient, course: Course, people: Sequence[str | None], minus: str) -> set[str | None]:
    """Which of these people have a row in the event right now, blocked or not; None for a row whose
    person can't be told. ``minus`` "-" asks from the last on.
    """
    fields = course.fields
    event = Condition(fields.event_id, Operator.EQUAL, course.event_id)
    key = fields.internal_id
    whose = [
        Condition(key, Operator.EMPTY) if internal_id is NOBODY else Condition(key, Operator.EQUAL, internal_id)
        for internal_id in people
    ]
    order_by = [fields.event_id, minus + key]
    where = [[event, one] for one in whose]
    return _people_of(afas.rows(course.getconnector, take=PROOF_ROWS, order_by=order_by, where=where), course)


# --------------------------------------------------------------------------------------------------------- once more


def still_gone(
    check: Callable[[], None], afas: AfasClient, course: Course, internal_id: str, neighbours: set[str]
) -> bool | None:
    """Whether AFAS misses this person right now; None when that can't be told.

    Without ``neighbours`` the event is empty, as an operator has confirmed: it is enough then that the person does not
    show. Neighbours who have left meanwhile are replaced by those who are first and last now.
    """
    check()
    away = _away(afas, course, internal_id, neighbours)
    if away is None and (ends := _ends_of_event(check, afas, course, [internal_id])):
        away = _away(afas, course, internal_id, ends)
    return away


def _away(afas: AfasClient, course: Course, internal_id: str, neighbours: set[str]) -> bool | None:
    try:
        answers = _answers(afas, course, [internal_id, NOBODY], neighbours)
    except NO_ANSWER:
        return None
    if any(internal_id in seen for seen in answers):
        return False
    return True if all(seen == neighbours for seen in answers) else None


def still_blocked(afas: AfasClient, tenant: Tenant, course: Course, internal_id: str) -> bool | None:
    """The same for a person whose row is blocked: away as long as all their rows are blocked."""
    fields = course.fields
    where = [
        [
            Condition(fields.event_id, Operator.EQUAL, course.event_id),
            Condition(fields.internal_id, Operator.EQUAL, internal_id),
        ]
    ]
    today = datetime.now(ZoneInfo(tenant.timezone)).date()
    try:
        rows = afas.rows(
            course.getconnector,
            take=PROOF_ROWS,
            order_by=[fields.event_id, fields.internal_id],
            where=where,
        )
    except NO_ANSWER:
        return None
    return all(translate(row, fields, course.event_id, today).row_state == RowState.BLOCKED for row in rows)
