"""The enrollment producer: AFAS pages → snapshot → plan → guards → one message per enrollment.

Reading and planning may take minutes and hold nothing; the end is one transaction in which the plan becomes desired
state and messages. A producer that dies before it leaves a run that is simply begun again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any

from sqlalchemy import Connection, text
from sqlmodel import select

from clients.afas import MetaInfo
from clients.errors import RemoteError, Unauthorized, Unavailable
from models.base import new_id
from models.course import Course
from models.run import RunStatus, SnapshotState
from models.session import session, transaction
from models.tenant import Direction, Tenant
from producers import commit, directory, holds
from producers.completions import collect_before_removal
from producers.facts import FactReader
from producers.guards import Judge, Tripped
from producers.lease import RunLease
from producers.leavers import plan_leavers
from producers.outside import Outside, outside_of
from producers.plan import Planner, plan_hash, store, store_rejected
from producers.reading import RETRY_WAITS_SECONDS, sleep
from producers.scope import PreviewScope, Scope
from producers.snapshot import Snapshot, take_snapshot, worst

OUTCOMES = (
    "created",
    "linked",
    "updated",
    "unchanged",
    "rejected",
    "ambiguous",
    "held",
    "failed",
    "pending",
    "not_yet",
    "ended",
    "blocked",
)


@dataclass
class Plan:
    """A judged plan: its snapshots, what tripped, and how it counts."""

    snapshots: list[Snapshot]
    tripped: list[Tripped]
    hash: str
    # Rows that have no line: {"unchanged": 1183, "not_yet": 2, …}
    quiet: dict[str, int]
    # Absent, but not for long enough
    unconfirmed: int
    envid: str

    @property
    def state(self) -> str:
        return worst(snapshot.state for snapshot in self.snapshots)

    @property
    def reasons(self) -> list[str]:
        return sorted({reason for snapshot in self.snapshots for reason in snapshot.reasons})

    @property
    def rows(self) -> int:
        return sum(snapshot.rows for snapshot in self.snapshots)


def load(tenant_id: int) -> tuple[Tenant, list[Course]]:
    """The tenant and its active courses, lowest event first."""
    with session() as opened:
        tenant = opened.get_one(Tenant, tenant_id)
        found = opened.exec(select(Course).where(Course.tenant_id == tenant_id, Course.active)).all()
    return tenant, sorted(found, key=lambda course: (len(course.event_id), course.event_id))


def run(lease: RunLease) -> None:
    """Do one enrollment run up to its messages. Raises what concerns the whole tenant or the run itself."""
    tenant, courses = load(lease.tenant_id)
    outside = outside_of(tenant)
    try:
        plan = make_plan(lease, tenant, courses, outside)
        if leaving := _courses_with_removals(lease):
            collect_before_removal(lease, leaving)
        with lease.writing() as connection:
            commit.record_roster(connection, lease, plan.snapshots)
            holds.store_holds(connection, lease, plan.tripped, plan.snapshots, plan.hash)
            commit.commit_plan(connection, lease)
            _record_tenant(connection, lease, plan)
            _record_run(connection, lease.run_id, plan, RunStatus.APPLYING)
    finally:
        _record_calls(lease.run_id, outside.counts.take())


def make_plan(scope: Scope, tenant: Tenant, courses: Sequence[Course], outside: Outside) -> Plan:
    """Read, match, plan and judge. Changes nothing outside, and nothing here but what belongs to the run."""
    with scope.writing() as connection:
        _clear(connection, scope.run_id)
    info = _environment(scope, outside)
    foreign = tenant.envid is not None and info.envid != tenant.envid
    snapshots = [take_snapshot(scope, outside.afas, tenant, course, foreign=foreign) for course in courses]
    usable = [snapshot.course_id for snapshot in snapshots if snapshot.usable]
    quiet = _match(scope, outside, snapshots, usable)
    with scope.writing() as connection:
        for course_id in usable:
            store_rejected(connection, scope, course_id)
        planner = Planner(connection, scope, tenant, usable)
        quiet["unchanged"] = quiet.get("unchanged", 0) + planner.facts.count_settled()
        planned = planner.build()
    scope.progress(planned=planned)
    unconfirmed = 0
    for course, snapshot in zip(courses, snapshots, strict=True):
        lines, waiting = plan_leavers(scope, outside.afas, tenant, course, snapshot)
        unconfirmed += waiting
        with scope.writing() as connection:
            store(connection, scope, lines)
    with scope.writing() as connection:
        tripped = Judge(connection, scope, tenant).judge(snapshots)
        return Plan(snapshots, tripped, plan_hash(connection, scope.run_id), quiet, unconfirmed, info.envid)


def _environment(scope: Scope, outside: Outside) -> MetaInfo:
    """Which environment answers: a test copy answers just as nicely as the real one."""
    waits = iter(RETRY_WAITS_SECONDS)
    while True:
        try:
            return outside.afas.metainfo()
        except Unavailable as error:
            wait = next(waits, None)
            if wait is None:
                raise
            sleep(max(wait, min(error.retry_after_seconds or 0, 60)), scope.check)


_QUIET = text(
    """
    SELECT CASE WHEN row_state = 'double' THEN 'unchanged' ELSE row_state END AS outcome, count(*)
      FROM snapshot_row
     WHERE run_id = :run AND course_id = ANY(:courses) AND row_state NOT IN ('present', 'rejected')
     GROUP BY 1
    """
)


def _match(scope: Scope, outside: Outside, snapshots: Sequence[Snapshot], usable: Sequence[int]) -> dict[str, int]:
    """Fetch what matching needs of Pluvo; returns the rows that need no line, by outcome."""
    with scope.writing() as connection:
        reader = FactReader(connection, scope, usable)
        unlinked = reader.someone_unlinked()
        addresses = reader.new_addresses(directory.FEW_ADDRESSES + 1)
        found = connection.execute(_QUIET, {"run": scope.run_id, "courses": list(usable)}).all()
    if unlinked or len(addresses) > directory.FEW_ADDRESSES:
        directory.list_everyone(scope, outside.pluvo)
    elif addresses:
        directory.look_up(scope, outside.pluvo, addresses)
    quiet = {str(outcome): int(count) for outcome, count in found}
    refused = sum(snapshot.rows for snapshot in snapshots if not snapshot.usable)
    return quiet | ({"rejected": refused} if refused else {})


def _courses_with_removals(scope: Scope) -> list[int]:
    """Courses from which somebody will be removed: their completions are read first."""
    with transaction() as connection:
        query = text(
            """SELECT DISTINCT course_id FROM plan_line
                WHERE run_id = :run AND kind = 'removal' AND outcome = 'pending'"""
        )
        return list(connection.execute(query, {"run": scope.run_id}).scalars())


def _clear(connection: Connection, run_id: str) -> None:
    """What an earlier, broken attempt at this run left."""
    for table in ("snapshot_row", "directory_user", "plan_line"):
        connection.execute(text(f"DELETE FROM {table} WHERE run_id = :run"), {"run": run_id})  # noqa: S608  constants


def _record_tenant(connection: Connection, scope: Scope, plan: Plan) -> None:
    whole = plan.state == SnapshotState.COMPLETE and scope.options.get("person") is None and plan.snapshots
    if whole:
        connection.execute(
            text(
                """UPDATE tenant
                      SET envid = coalesce(envid, :envid), first_complete_at = coalesce(first_complete_at, now())
                    WHERE id = :tenant AND (envid IS NULL OR first_complete_at IS NULL)"""
            ),
            {"envid": plan.envid, "tenant": scope.tenant_id},
        )


def _record_run(connection: Connection, run_id: str, plan: Plan, status: RunStatus) -> None:
    connection.execute(
        text(
            """UPDATE run SET status = :status, snapshot = :snapshot, reasons = CAST(:reasons AS jsonb),
                      courses = CAST(:courses AS jsonb), rows = :rows, quiet = CAST(:quiet AS jsonb),
                      plan_hash = :hash, unconfirmed = :unconfirmed
                WHERE id = :run"""
        ),
        {
            "run": run_id,
            "status": status.value,
            "snapshot": plan.state,
            "reasons": dumps(plan.reasons),
            "courses": dumps([snapshot.as_json() for snapshot in plan.snapshots]),
            "rows": plan.rows,
            "quiet": dumps(plan.quiet),
            "hash": plan.hash,
            "unconfirmed": plan.unconfirmed,
        },
    )
    for table in ("snapshot_row", "directory_user"):
        if status == RunStatus.APPLYING:
            connection.execute(text(f"DELETE FROM {table} WHERE run_id = :run"), {"run": run_id})  # noqa: S608


def _record_calls(run_id: str, made: dict[str, int]) -> None:
    with transaction() as connection:
        connection.execute(
            text("UPDATE run SET calls_afas = calls_afas + :afas, calls_pluvo = calls_pluvo + :pluvo WHERE id = :run"),
            {"run": run_id, "afas": made["afas"], "pluvo": made["pluvo"]},
        )


# ------------------------------------------------------------------------------------------------------------- preview


@dataclass(frozen=True)
class Adoption:
    """How people without a link would get an account: what to look at before the first real run."""

    by_afas_id: int
    by_email: int
    shared: int
    to_create: int
    ambiguous: int
    # Accounts that no AFAS person has: [{"pluvo_id", "name", "email", "archived"}]; untouched, always
    only_in_pluvo: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Preview:
    """What a run would do. ``lines`` are JSON-ready, one per row and one per removal."""

    run_id: str
    status: str
    hash: str
    snapshot: str | None
    reasons: list[str]
    courses: list[dict[str, Any]]
    rows: int
    outcomes: dict[str, int]
    lines: list[dict[str, Any]]
    removals: int
    held_removals: int
    unconfirmed: int
    calls: dict[str, int]
    adoption: Adoption | None


_LINES = text(
    """
    SELECT event_id, internal_id, action,
           CASE WHEN outcome = 'pending' AND is_row THEN CASE action WHEN 'create' THEN 'created'
                WHEN 'link' THEN 'linked' WHEN 'none' THEN 'unchanged' ELSE 'updated' END
                WHEN outcome = 'pending' THEN 'removed' ELSE outcome END AS outcome,
           reason, before, after, is_row
      FROM plan_line WHERE run_id = :run
     UNION ALL
    SELECT c.event_id, s.internal_id, 'none',
           CASE WHEN s.row_state IN ('present', 'double') THEN 'unchanged'
                WHEN NOT (s.course_id = ANY(:usable)) THEN 'rejected' ELSE s.row_state END,
           s.reason, NULL, NULL, true
      FROM snapshot_row s JOIN course c ON c.id = s.course_id
     WHERE s.run_id = :run AND NOT EXISTS (
           SELECT 1 FROM plan_line l WHERE l.run_id = :run AND l.course_id = s.course_id AND l.is_row
              AND l.internal_id IS NOT DISTINCT FROM s.internal_id AND s.row_state IN ('present', 'rejected'))
     ORDER BY 1, 2
    """
)
_ONLY_IN_PLUVO = text(
    """
    SELECT d.pluvo_id, d.name, d.email, d.archived FROM directory_user d
     WHERE d.run_id = :run
       AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant_id = d.tenant_id AND l.pluvo_id = d.pluvo_id)
       AND NOT EXISTS (SELECT 1 FROM plan_line l WHERE l.run_id = :run AND l.todo#>>'{match,pluvo_id}' = d.pluvo_id)
     ORDER BY d.name, d.pluvo_id
    """
)


def preview(tenant_id: int, options: dict[str, Any]) -> Preview:
    """Plan a run without doing it: reads both systems, changes neither. Kept in the ledger as a ``dry_run``.

    Raises RemoteError when a system can't be read.
    """
    tenant, courses = load(tenant_id)
    scope = PreviewScope(new_id(), tenant_id, options)
    with transaction() as connection:
        connection.execute(
            text(
                """INSERT INTO run (id, batch, tenant_id, direction, trigger, options, status, started_at)
                   VALUES (:run, :run, :tenant, :direction, 'dry_run', CAST(:options AS jsonb), 'dry_run', now())"""
            ),
            {
                "run": scope.run_id,
                "tenant": tenant_id,
                "direction": Direction.ENROLLMENTS.value,
                "options": dumps(options),
            },
        )
    outside = outside_of(tenant)
    try:
        plan = make_plan(scope, tenant, courses, outside)
        return _read_preview(scope, tenant, plan, outside.counts.take())
    except RemoteError as error:
        _fail_preview(scope.run_id, error)
        raise
    finally:
        with transaction() as connection:
            for table in ("snapshot_row", "directory_user"):
                connection.execute(text(f"DELETE FROM {table} WHERE run_id = :run"), {"run": scope.run_id})  # noqa: S608


def _fail_preview(run_id: str, error: RemoteError) -> None:
    status = RunStatus.QUARANTINED if isinstance(error, Unauthorized) else RunStatus.FAILED
    with transaction() as connection:
        connection.execute(
            text("UPDATE run SET status = :status, reason = :reason, finished_at = now() WHERE id = :run"),
            {"run": run_id, "status": status.value, "reason": error.code},
        )


def _read_preview(scope: Scope, tenant: Tenant, plan: Plan, calls: dict[str, int]) -> Preview:
    usable = [snapshot.course_id for snapshot in plan.snapshots if snapshot.usable]
    with transaction() as connection:
        rows = connection.execute(_LINES, {"run": scope.run_id, "usable": usable}).mappings().all()
        lines = [{key: value for key, value in row.items() if key != "is_row"} for row in rows]
        outcomes = count(row["outcome"] for row in rows if row["is_row"])
        removals = [row for row in rows if not row["is_row"]]
        _record_run(connection, scope.run_id, plan, RunStatus.DRY_RUN)
        connection.execute(
            text(
                """UPDATE run SET outcomes = CAST(:outcomes AS jsonb), finished_at = now(), calls_afas = :afas,
                          calls_pluvo = :pluvo, held_removals = :held WHERE id = :run"""
            ),
            {
                "run": scope.run_id,
                "outcomes": dumps(outcomes),
                "afas": calls["afas"],
                "pluvo": calls["pluvo"],
                "held": sum(row["outcome"] == "held" for row in removals),
            },
        )
        only = connection.execute(_ONLY_IN_PLUVO, {"run": scope.run_id}).mappings().all()
    return Preview(
        run_id=scope.run_id,
        status=RunStatus.DRY_RUN,
        hash=plan.hash,
        snapshot=plan.state,
        reasons=plan.reasons,
        courses=[snapshot.as_json() for snapshot in plan.snapshots],
        rows=plan.rows,
        outcomes=outcomes,
        lines=lines,
        removals=sum(row["outcome"] == "removed" for row in removals),
        held_removals=sum(row["outcome"] == "held" for row in removals),
        unconfirmed=plan.unconfirmed,
        calls=calls,
        adoption=_adoption(lines, [dict(row) for row in only]) if tenant.first_complete_at is None else None,
    )


def count(outcomes: Iterable[str]) -> dict[str, int]:
    """All outcomes with their numbers, also those that did not occur."""
    counted = dict.fromkeys(OUTCOMES, 0)
    for outcome in outcomes:
        counted[outcome] = counted.get(outcome, 0) + 1
    return counted


def _adoption(lines: Sequence[dict[str, Any]], only_in_pluvo: list[dict[str, Any]]) -> Adoption:
    reasons = [str(line["reason"]) for line in lines if line["action"] in ("link", "create")]
    return Adoption(
        by_afas_id=sum(reason == "by_afas_id" for reason in reasons),
        by_email=sum(reason == "by_email" for reason in reasons),
        shared=sum(reason.startswith("same_person_as:") for reason in reasons),
        to_create=sum(line["action"] == "create" for line in lines),
        ambiguous=len({line["internal_id"] for line in lines if line["outcome"] == "ambiguous"}),
        only_in_pluvo=only_in_pluvo,
    )
