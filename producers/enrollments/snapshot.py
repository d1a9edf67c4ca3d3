"""A whole listing of one event and whether it can be trusted: complete, partial or suspect, with every reason.

Removals come only from ``complete``. Whatever is wrong with a listing, it can at worst delay a removal.

=====================  ==========================================================  ==================
reason                 seen                                                        rows may be used
=====================  ==========================================================  ==================
page_failed            a page still failed after tries at 2, 10 and 30 s           yes (partial)
key_order              ids not in the order that was asked for                     yes
read_twice, gap        pages don't fit together, also after two new starts         yes
contradictory          two different rows for one person                           yes
unidentified           a row without a readable id: any person's                   yes
other_event            a row of another event than was asked for                   yes
same_page              the same rows again, whatever is asked                      yes
page_too_long          more rows in a page than were asked for                     yes, those before it
too_many_rows          more than KOPPELING_MAX_EVENT_ROWS                          no
missing_column         a mapped column is absent or holds "(vervangen)"            no
wrong_environment      another environment id than the first time                  no
not_json, redirect, …  the answer is no page at all                                there are none
short                  none where there were some, or under 80 % of the last       yes, removals held
=====================  ==========================================================  ==================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NotRequired, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from clients.afas import AfasClient
from clients.errors import Misconfigured
from models.course import Course
from models.run import SnapshotState
from models.tenant import Tenant
from models.translate import Record, missing_columns, translate
from producers.enrollments.plain_rows import PlainRows
from producers.enrollments.read_ahead import ReadAhead, postgres_now
from producers.event_reader import MAX_RESTARTS, EventReader, Partial, Restart
from producers.runs.context import RunContext

UNUSABLE = {"missing_column", "wrong_environment", "too_many_rows"}
# Rows whose person can't be told: with one of them no person of the event is known to be absent.
UNCERTAIN_WHO = {"no_internal_id": "unidentified", "other_event": "other_event"}
SHORT_SHARE, SHORT_FROM = 0.8, 20

COPIED = (
    *("internal_id", "external_id", "name", "email", "email_folded"),
    *("completion", "row_state", "reason", "fingerprint"),
)
_COPY = f"COPY snapshot_row (run_id, tenant_id, course_id, position, {', '.join(COPIED)}) FROM STDIN"
_FORGET = text("DELETE FROM snapshot_row WHERE run_id = :run AND tenant_id = :tenant AND course_id = :course")
_COUNT = text(
    """
    SELECT count(*) FROM snapshot_row WHERE run_id = :run AND tenant_id = :tenant AND course_id = :course
    """
)


class ShownSnapshot(TypedDict):
    """An event as a run's JSON shows it."""

    event_id: str
    snapshot: str
    reasons: list[str]
    rows: int
    detail: NotRequired[str]
    # A rule linked it
    by_rule: NotRequired[bool]


@dataclass
class Snapshot:
    """What was read of one event, and whether it may be acted on.

    ``read_at`` is when reading began: who is absent was absent then.
    """

    course_id: int
    event_id: str
    read_at: datetime
    state: str = SnapshotState.COMPLETE
    reasons: list[str] = field(default_factory=list)
    rows: int = 0
    detail: str | None = None
    by_rule: bool = False
    # Rows that it is compared with
    base: int = 0
    # Columns of a row, None when there was none
    width: int | None = None

    @property
    def usable(self) -> bool:
        """Whether good rows may be acted on."""
        return not UNUSABLE.intersection(self.reasons)

    @property
    def saw_everybody(self) -> bool:
        """Whether every person of the event was seen. Two rows that contradict each other are one person."""
        return self.state == SnapshotState.COMPLETE or self.reasons == ["contradictory"]

    @property
    def only_short(self) -> bool:
        """Suspect for its size alone: its removals become a hold."""
        return self.reasons == ["short"]

    def suspect(self, *reasons: str) -> None:
        """Add reasons; a partial snapshot stays partial."""
        self.reasons += [reason for reason in reasons if reason not in self.reasons]
        if self.reasons and self.state == SnapshotState.COMPLETE:
            self.state = SnapshotState.SUSPECT

    def as_json(self) -> ShownSnapshot:
        """As a run shows it."""
        shown = ShownSnapshot(event_id=self.event_id, snapshot=self.state, reasons=self.reasons, rows=self.rows)
        if self.detail:
            shown["detail"] = self.detail
        if self.by_rule:
            shown["by_rule"] = True
        return shown


def take_snapshot(
    context: RunContext,
    afas: AfasClient,
    tenant: Tenant,
    course: Course,
    *,
    foreign: bool,
    ahead: ReadAhead | None = None,
) -> Snapshot:
    """Read one event into ``snapshot_row`` and say whether it may be acted on.

    Args:
        foreign: AFAS named another environment id than at the first complete read.
        ahead: what may have read the event already, with others.

    Raises what concerns the whole tenant (``Unauthorized``); everything else ends in its ``state`` and ``reasons``.
    """
    today = datetime.now(ZoneInfo(tenant.timezone)).date()
    snapshot = Snapshot(course.id or 0, course.event_id, postgres_now(), by_rule=course.rule is not None)
    if foreign:
        snapshot.suspect("wrong_environment")
    for restarts_left in range(MAX_RESTARTS, -1, -1):
        with context.writing() as connection:
            _forget(connection, context, snapshot.course_id)
        given = ahead.take(course) if ahead else None
        snapshot.read_at = given.read_at if given else postgres_now()
        try:
            reader = EventReader(
                afas,
                course.getconnector,
                course.fields,
                course.event_id,
                internal_id=context.options.get("person"),
                check=context.check,
                restarts_left=restarts_left,
                width=course.width,
                given=given.rows if given else None,
            )
            _read(context, reader, course, snapshot, today)
            break
        except Restart:
            continue
    with context.writing() as connection:
        context.tell_sizes(connection)
        _settle_doubles(connection, context, snapshot)
        snapshot.rows = _count(connection, context, snapshot.course_id)
        if snapshot.state == SnapshotState.COMPLETE and context.options.get("person") is None:
            _note_size(snapshot, course)
    return snapshot


def _read(context: RunContext, reader: EventReader, course: Course, snapshot: Snapshot, today: date) -> None:
    position = 0
    plain, columns = PlainRows(course.fields, course.event_id), course.fields.columns()
    try:
        for page in reader.pages():
            copied = [plain.copied(row) for row in page]
            odd = {at: row for at, row in enumerate(page) if copied[at] is None}
            if missing := sorted({c for row in odd.values() for c in missing_columns(row, columns)}):
                snapshot.suspect("missing_column")
                snapshot.detail = f"missing or replaced: {', '.join(missing)}"
            records = {at: translate(row, course.fields, course.event_id, today) for at, row in odd.items()}
            reasons = {one.reason for one in records.values()}
            snapshot.suspect(*sorted(UNCERTAIN_WHO[one] for one in reasons if one in UNCERTAIN_WHO))
            with context.writing(pages=1, rows=len(page)) as connection:
                store(connection, context, course, copied, records, position)
            position += len(page)
    except Partial as error:
        snapshot.suspect("page_failed")
        snapshot.state, snapshot.detail = SnapshotState.PARTIAL, error.code
    except Misconfigured as error:
        snapshot.suspect("missing_column" if error.code == "unknown_field" else error.code)
        snapshot.detail = error.message
    snapshot.suspect(*reader.evidence.reasons)
    snapshot.width = reader.width


def store(  # noqa: PLR0917  one page, in its two forms
    connection: Connection,
    context: RunContext,
    course: Course,
    copied: Sequence[str | None],
    records: Mapping[int, Record],
    start: int,
) -> None:
    """Copy one page into staging. ``copied``: its plain rows as text; ``records``: the others, by their place in it."""
    whose = (context.run_id, context.tenant_id, course.id)
    begin = "\t".join(map(str, whose))
    with connection.connection.cursor().copy(_COPY) as copy:
        copy.write("".join([f"{begin}\t{at}\t{row}\n" for at, row in enumerate(copied, start) if row is not None]))
        for at, record in records.items():
            copy.write_row((*whose, start + at, *(getattr(record, name) for name in COPIED)))


def _forget(connection: Connection, context: RunContext, course_id: int) -> None:
    connection.execute(_FORGET, _names(context, course_id))


def _count(connection: Connection, context: RunContext, course_id: int) -> int:
    return int(connection.execute(_COUNT, _names(context, course_id)).scalar_one())


def _names(context: RunContext, course_id: int) -> dict[str, str | int]:
    return {"run": context.run_id, "tenant": context.tenant_id, "course": course_id}


_MARK_DOUBLES = text(
    """
    WITH doubled AS MATERIALIZED (
        SELECT internal_id FROM snapshot_row
         WHERE run_id = :run AND tenant_id = :tenant AND course_id = :course AND internal_id IS NOT NULL
         GROUP BY internal_id HAVING count(*) > 1),
    many AS (
        SELECT internal_id, count(DISTINCT (fingerprint, row_state, completion)) AS versions, min(position) AS first
          FROM snapshot_row
         WHERE run_id = :run AND tenant_id = :tenant AND course_id = :course
           AND internal_id IN (SELECT internal_id FROM doubled)
         GROUP BY internal_id),
    marked AS (
        UPDATE snapshot_row s
           SET row_state = CASE WHEN many.versions > 1 THEN 'rejected' ELSE 'double' END,
               reason = 'duplicate'
          FROM many
         WHERE s.run_id = :run AND s.tenant_id = :tenant AND s.course_id = :course AND s.internal_id = many.internal_id
           AND (many.versions > 1 OR s.position > many.first)
        RETURNING many.versions)
    SELECT coalesce(bool_or(versions > 1), false) FROM marked
    """
)


def _settle_doubles(connection: Connection, context: RunContext, snapshot: Snapshot) -> None:
    """Equal doubles count once as themselves and once as unchanged; contradictory ones are rejected, all of them."""
    if connection.execute(_MARK_DOUBLES, _names(context, snapshot.course_id)).scalar_one():
        snapshot.suspect("contradictory")


def _note_size(snapshot: Snapshot, course: Course) -> None:
    base = snapshot.base = course.base_rows or 0
    if (base and not snapshot.rows) or (base >= SHORT_FROM and snapshot.rows < SHORT_SHARE * base):
        snapshot.suspect("short")
