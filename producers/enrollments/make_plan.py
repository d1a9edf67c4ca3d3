"""Make the plan of an enrollment run: read AFAS, ask Pluvo what matching needs, plan, and let the guards judge.

The same code serves a real run and a preview. Nothing changes outside, and here only what belongs to the run, and the
courses that rules link: a preview brings them in line too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps

from sqlalchemy import Connection, text
from sqlmodel import select

from clients.afas import MetaInfo
from models.course import Course
from models.run import Judged, RunStatus, worst
from models.session import session
from models.tenant import Tenant
from producers.enrollments import pluvo_directory
from producers.enrollments.course_rules import Linking, bring_in_line
from producers.enrollments.facts import FactReader
from producers.enrollments.guards import Judge, Tripped
from producers.enrollments.leavers import plan_leavers, prove_leavers
from producers.enrollments.moves import plan_moves
from producers.enrollments.plan_lines import Targets, plan_hash, store_rejected
from producers.enrollments.planner import Planner
from producers.enrollments.read_ahead import many_at_once
from producers.enrollments.snapshot import Snapshot, take_snapshot
from producers.event_reader import patiently
from producers.runs.context import RunContext
from tenancy.systems import Systems

_CLEAR = text("DELETE FROM plan_line WHERE run_id = :run AND tenant_id = :tenant")
_RECORD = text(
    """
    UPDATE run
       SET status = :status, snapshot = :snapshot, reasons = CAST(:reasons AS jsonb), courses = CAST(:courses AS jsonb),
           unlinked = CAST(:unlinked AS jsonb), rows = :rows, rows_without_line = CAST(:rows_without_line AS jsonb),
           plan_hash = :hash, unconfirmed = :unconfirmed
     WHERE id = :run AND tenant_id = :tenant
    """
)


@dataclass
class Plan:
    """A judged plan: its snapshots, what tripped, and how it counts."""

    snapshots: list[Snapshot]
    tripped: list[Tripped]
    hash: str
    # Rows that have no line: {"unchanged": 1183, "not_yet": 2, …}
    rows_without_line: dict[str, int]
    # Absent, but not for long enough
    unconfirmed: int
    envid: str
    courses: Sequence[Course]
    linking: Linking
    # What each guard counted
    judged: list[Judged]
    # Where the people of each event go
    targets: Targets
    # Users that Pluvo counts and did not give; None when the list was not needed
    missing_users: int | None = None

    @property
    def state(self) -> str:
        return worst(snapshot.state for snapshot in self.snapshots)

    @property
    def reasons(self) -> list[str]:
        found = {reason for snapshot in self.snapshots for reason in snapshot.reasons}
        if self.missing_users:
            found.add("users_incomplete")
        if self.linking.failed:
            found |= {"events_unread", self.linking.failed}
        return sorted(found)

    @property
    def rows(self) -> int:
        return sum(snapshot.rows for snapshot in self.snapshots)


def load(tenant_id: int) -> tuple[Tenant, list[Course]]:
    """The tenant and its active courses, lowest event first."""
    with session() as opened:
        tenant = opened.get_one(Tenant, tenant_id)
        found = opened.exec(select(Course).where(Course.tenant_id == tenant_id, Course.active)).all()
    return tenant, sorted(found, key=lambda course: (len(course.event_id), course.event_id))


def make_plan(context: RunContext, tenant: Tenant, systems: Systems) -> Plan:
    """Bring the courses of rules in line, read, match, plan and judge. Changes nothing outside."""
    with context.writing() as connection:
        _clear(connection, context)
    # A test copy of AFAS answers just as nicely as the real environment.
    info: MetaInfo = patiently(systems.afas.metainfo, context.check)
    foreign = tenant.envid is not None and info.envid != tenant.envid
    linking = Linking() if foreign or context.options.get("person") else bring_in_line(context, systems)
    tenant, courses = load(context.tenant_id)
    ahead = many_at_once(systems.afas, courses, linking.rows, context.check)
    snapshots = [take_snapshot(context, systems.afas, tenant, one, foreign=foreign, ahead=ahead) for one in courses]
    usable = [snapshot.course_id for snapshot in snapshots if snapshot.usable]
    known = _match(context, systems, snapshots, usable)
    with context.writing() as connection:
        context.tell_sizes(connection)
        for course_id in usable:
            store_rejected(connection, context, course_id)
        planner = Planner(connection, context, tenant, snapshots, unread=known.unread)
        planned, settled = planner.build()
        known.rows_without_line["unchanged"] = known.rows_without_line.get("unchanged", 0) + settled
    context.progress(planned=planned)
    unconfirmed = 0
    all_read = all(snapshot.saw_everybody for snapshot in snapshots)
    unread = [course for course, one in zip(courses, snapshots, strict=True) if not one.saw_everybody]
    for course, snapshot in zip(courses, snapshots, strict=True):
        whole = not any(other.target == course.target for other in unread if other is not course)
        unconfirmed += plan_leavers(context, tenant, course, snapshot, target_read=whole, all_read=all_read)
    with context.writing() as connection:
        context.tell_sizes(connection)
        known.rows_without_line["unchanged"] += plan_moves(connection, context, tenant, snapshots)
        judge = Judge(connection, context, tenant)
        tripped = judge.judge(snapshots)
    for course, snapshot in zip(courses, snapshots, strict=True):
        unconfirmed += prove_leavers(context, systems.afas, course, snapshot)
    with context.writing() as connection:
        targets = {course.event_id: [course.target, course.pluvo.send_invite] for course in courses}
        hashed = plan_hash(connection, context, targets)
        return Plan(
            snapshots=snapshots,
            tripped=tripped,
            hash=hashed,
            rows_without_line=known.rows_without_line,
            unconfirmed=unconfirmed,
            envid=info.envid,
            courses=courses,
            linking=linking,
            judged=judge.judged,
            targets=targets,
            missing_users=known.missing_users,
        )


_ROWS_WITHOUT_LINE = text(
    """
    SELECT CASE WHEN row_state = 'double' THEN 'unchanged' ELSE row_state END AS outcome, count(*)
      FROM snapshot_row
     WHERE run_id = :run AND tenant_id = :tenant AND course_id = ANY(:courses)
       AND row_state NOT IN ('present', 'rejected')
     GROUP BY 1
    """
)


@dataclass
class _Known:
    """What was asked before planning: rows that need no line, by outcome; and what Pluvo could not tell."""

    rows_without_line: dict[str, int]
    # Users that Pluvo counts and did not give; None when the list was not needed
    missing_users: int | None = None
    # Folded addresses of newcomers that a user may have whom Pluvo can't read
    unread: frozenset[str] = frozenset()


def _match(context: RunContext, systems: Systems, snapshots: Sequence[Snapshot], usable: Sequence[int]) -> _Known:
    """Fetch what matching needs of Pluvo."""
    with context.writing() as connection:
        reader = FactReader(connection, context, snapshots)
        survey = reader.survey()
        most = pluvo_directory.FEW_ADDRESSES + 1
        addresses = reader.new_addresses(most) if survey.readdressed else []
        presets = reader.preset_accounts(most) if survey.readdressed else []
        values = {"run": context.run_id, "tenant": context.tenant_id, "courses": list(usable)}
        found = connection.execute(_ROWS_WITHOUT_LINE, values).all()
    refused = sum(snapshot.rows for snapshot in snapshots if not snapshot.usable)
    rows_without_line = {str(outcome): int(count) for outcome, count in found} | (
        {"rejected": refused} if refused else {}
    )
    known = _Known(rows_without_line)
    if survey.unlinked or max(len(addresses), len(presets)) > pluvo_directory.FEW_ADDRESSES:
        known.missing_users = pluvo_directory.list_everyone(context, systems.pluvo)
        if known.missing_users:
            with context.writing() as connection:
                newcomers = FactReader(connection, context, snapshots).newcomers()
            known.unread = pluvo_directory.look_up(context, systems.pluvo, newcomers)
    else:
        pluvo_directory.look_at(context, systems.pluvo, presets)
        pluvo_directory.look_up(context, systems.pluvo, addresses)
    return known


def _clear(connection: Connection, context: RunContext) -> None:
    """What an earlier, broken attempt at this run left."""
    forget_rows(connection, context)
    connection.execute(_CLEAR, {"run": context.run_id, "tenant": context.tenant_id})


def forget_rows(connection: Connection, context: RunContext) -> None:
    """Drop what was read of both systems: it was for this plan only."""
    values = {"run": context.run_id, "tenant": context.tenant_id}
    for table in ("snapshot_row", "directory_user"):
        forget = text(f"DELETE FROM {table} WHERE run_id = :run AND tenant_id = :tenant")  # noqa: S608  constants
        connection.execute(forget, values)


def record_run(connection: Connection, context: RunContext, plan: Plan, status: RunStatus) -> None:
    connection.execute(
        _RECORD,
        {
            "run": context.run_id,
            "tenant": context.tenant_id,
            "status": status.value,
            "snapshot": plan.state,
            "reasons": dumps(plan.reasons),
            "courses": dumps([snapshot.as_json() for snapshot in plan.snapshots]),
            "unlinked": dumps(plan.linking.unlinked),
            "rows": plan.rows,
            "rows_without_line": dumps(plan.rows_without_line),
            "hash": plan.hash,
            "unconfirmed": plan.unconfirmed,
        },
    )
