"""Check a tenant's rules, read Pluvo's report, and hand on who finished what. Also right before people are removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select, text
from sqlmodel import col

from clients.errors import PLUVO, RemoteError, Unavailable
from models.course import Course
from models.run import SnapshotState, worst
from models.session import session
from models.tenant import Tenant
from producers.completions.record import Finished, record
from producers.completions.report import CourseNote, Notes, find_groups, read_report, usable_rules
from producers.completions.rules import KnownFields, Rule, ask_fields, rules_of
from producers.runs.context import RunContext
from tenancy.rate_limit import RateLimited
from tenancy.systems import Systems, systems_of

BatchSink = Callable[[Sequence[Finished], Sequence[Rule]], None]
REFUSALS = {"title_unknown", "title_ambiguous", "group_unknown"}
REFUSALS |= {"field_unknown", "field_type", "field_too_short", "bad_format"}
HARMLESS = {"title_unknown", "title_ambiguous", "group_unknown"}


@dataclass
class Collected:
    """What a reading of the report was about and how it went; the finished rows themselves went to the sink."""

    tenant: Tenant
    courses: list[Course]
    rules: list[Rule]
    doubtful: list[Rule]
    notes: Notes
    fields: dict[int, KnownFields]

    @property
    def good(self) -> list[Rule]:
        """The rules that may be acted on."""
        refused = {rule.key for rule in self.doubtful}
        return [rule for rule in self.rules if rule.key not in refused]

    @property
    def snapshot(self) -> str:
        return worst(one.snapshot for one in self.notes.values())

    @property
    def refused(self) -> str | None:
        """One word for what the run as a whole did not do, where that is not to be seen from its rows."""
        if self.snapshot != SnapshotState.PARTIAL:
            return None
        return "course_refused" if REFUSALS.intersection(self.reasons) else "report_incomplete"

    @property
    def reasons(self) -> list[str]:
        return sorted({reason for one in self.notes.values() for reason in one.reasons})


def collect(
    context: RunContext,
    systems: Systems,
    tenant: Tenant,
    courses: list[Course],
    sink: BatchSink,
) -> Collected:
    """Check the rules and read the report for these courses. Writes nothing itself."""
    fields = ask_fields(systems.afas, courses) if courses else {}
    rules = [rule for course in courses for rule in rules_of(course, fields[course.id or 0])]
    return _read_report(context, systems, Collected(tenant, courses, rules, [], {}, fields), sink)


def _read_report(context: RunContext, systems: Systems, given: Collected, sink: BatchSink) -> Collected:
    """The report for these rules; returns them without those that can't be used."""
    courses = given.courses
    notes: Notes = {course.id: CourseNote(course.event_id) for course in courses if course.id is not None}
    rules = usable_rules(systems.pluvo, given.rules, notes, context.check)
    groups = find_groups(systems.pluvo, courses, notes)
    usable = [rule for rule in rules if rule.course_id in groups]
    doubtful = read_report(
        systems.pluvo, usable, groups, notes, sink=lambda batch: sink(batch, usable), check=context.check
    )
    return replace(given, rules=usable, doubtful=doubtful, notes=notes)


def collect_before_removal(context: RunContext, course_ids: Sequence[int], systems: Systems | None = None) -> None:
    """Remember the completions of people who are about to be unenrolled; the next completions run writes them.

    Raises Unavailable when the report can't be read in full: then no removal may go yet. A course whose title is
    ambiguous or unknown has no completions to lose.
    """
    tenant, courses = load(context.tenant_id)
    if not any(course.id in set(course_ids) for course in courses):
        return

    def sink(batch: Sequence[Finished], rules: Sequence[Rule]) -> None:
        with context.writing() as connection:
            record(connection, tenant, rules, batch, reading=context.run_id)

    # Whether the field can take the day is not asked of AFAS here: trouble with writing must not stop enrollments.
    rules = [replace(rule, refusal=None) for course in courses for rule in rules_of(course)]
    given = Collected(tenant, courses, rules, [], {}, {})
    found = _read_report(context, systems or systems_of(tenant), given, sink)
    with context.writing() as connection:
        forget(connection, context.tenant_id, None, found.doubtful)
    lost = {reason for one in found.notes.values() for reason in one.reasons} - HARMLESS
    if lost:
        raise Unavailable(min(lost), "Pluvo's report could not be read in full before a removal.", system=PLUVO)


def unread_before_removal(context: RunContext, course_ids: Sequence[int], systems: Systems | None = None) -> str | None:
    """The same for callers that go on without the removals: None, or why the removals must wait.

    Everything that may remove people calls it first. Raises only what ends ``context`` itself.
    """
    try:
        collect_before_removal(context, course_ids, systems)
    except RemoteError as error:
        return error.code
    except RateLimited:
        return "pace"
    except TimeoutError:
        return "no_slot"
    return None


def load(tenant_id: int) -> tuple[Tenant, list[Course]]:
    """A tenant and its active courses that have something to write back."""
    with session() as database:
        tenant = database.get_one(Tenant, tenant_id)
        wanted = (col(Course.tenant_id) == tenant_id, col(Course.active).is_(True))
        query = select(Course).where(*wanted).order_by(col(Course.id))
        courses = [course for course in database.scalars(query) if course.rules]
    return tenant, courses


_FORGET = text(
    """
    DELETE FROM completion
     WHERE tenant_id = :tenant AND course_id = :course AND field = :field
       AND state IN ('pending', 'orphan', 'rejected') AND puts = 0 AND first_seen_at > now() - interval '1 day'
    """
)
_NOT_SEEN = text(
    """UPDATE completion SET seen_run = NULL
        WHERE tenant_id = :tenant AND course_id = :course AND field = :field AND seen_run = :run"""
)


def forget(connection: Connection, tenant_id: int, run_id: str | None, doubtful: Sequence[Rule]) -> None:
    """Drop what was noted under a title that turned out to stand for several courses: the dates may be another's."""
    for rule in doubtful:
        values = {"tenant": tenant_id, "course": rule.course_id, "field": rule.field}
        connection.execute(_FORGET, values)
        connection.execute(_NOT_SEEN, values | {"run": run_id})
