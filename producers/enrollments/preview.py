"""What an enrollment run would do, without doing it: the plan of a real run, shown instead of carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import dumps
from typing import Any, TypedDict

from sqlalchemy import Connection, text

from clients.errors import RemoteError, Unauthorized
from models.base import new_id
from models.direction import Direction
from models.outcomes import WOULD_BE, RemovalOutcome, zeros
from models.run import AdoptionCounts, Looked, RunOptions, RunStatus, Unlinked
from models.session import transaction
from models.tenant import Tenant
from producers.enrollments.make_plan import Plan, forget_rows, load, make_plan, record_run
from producers.enrollments.plan_lines import Shown
from producers.enrollments.snapshot import ShownSnapshot
from producers.runs.context import PreviewContext, RunContext
from producers.runs.keep import Keep, streamed
from tenancy.systems import systems_of

_FINISHED = text("SELECT finished_at FROM run WHERE id = :run AND tenant_id = :tenant FOR UPDATE")
_BEGIN = text(
    """
    INSERT INTO run (id, batch, tenant_id, direction, trigger, options, status, started_at)
    VALUES (:run, :run, :tenant, :direction, 'dry_run', CAST(:options AS jsonb), 'dry_run', now())
    """
)
_FAIL = text(
    """
    UPDATE run SET status = :status, reason = :reason, finished_at = now() WHERE id = :run AND tenant_id = :tenant
    """
)


class PlannedLine(TypedDict):
    """A line of a plan as JSON shows it."""

    event_id: str
    internal_id: str | None
    action: str
    outcome: str
    reason: str | None
    before: Shown | None
    after: Shown | None


class UnusedAccount(TypedDict):
    """An account that no AFAS person has."""

    pluvo_id: str
    name: str | None
    email: str | None
    archived: bool


@dataclass(frozen=True)
class Adoption:
    """How people without a link would get an account: what to look at before the first real run."""

    by_afas_id: int
    by_email: int
    shared: int
    to_create: int
    ambiguous: int
    # Untouched, always
    only_in_pluvo: Sequence[UnusedAccount] = ()


@dataclass(frozen=True)
class Preview:
    """What a run would do. ``lines`` are JSON-ready, one per row and one per removal."""

    run_id: str
    status: str
    hash: str
    snapshot: str | None
    reasons: list[str]
    courses: list[ShownSnapshot]
    rows: int
    outcomes: dict[str, int]
    lines: Sequence[PlannedLine]
    removals: int
    held_removals: int
    unconfirmed: int
    calls: dict[str, int]
    # Events of course rules that wait, by reason
    unlinked: dict[str, Unlinked]
    adoption: Adoption | None


# Rows without a line need nothing. A rejected one of a course that may be used always has a line; the others are
# compared by equality alone, which PostgreSQL does in one pass over both.
_LINES = text(
    f"""
    SELECT event_id, internal_id, action, {WOULD_BE} AS outcome, reason, before, after, is_row
      FROM plan_line WHERE run_id = :run AND tenant_id = :tenant
     UNION ALL
    SELECT c.event_id, s.internal_id, 'none',
           CASE WHEN s.row_state IN ('present', 'double') THEN 'unchanged'
                WHEN NOT (s.course_id = ANY(:usable)) THEN 'rejected' ELSE s.row_state END,
           s.reason, NULL, NULL, true
      FROM snapshot_row s JOIN course c ON c.id = s.course_id AND c.tenant_id = s.tenant_id
     WHERE s.run_id = :run AND s.tenant_id = :tenant AND NOT (s.row_state = 'rejected' AND s.course_id = ANY(:usable))
       AND NOT EXISTS (SELECT 1 FROM plan_line l
                        WHERE l.run_id = :run AND l.is_row AND s.row_state = 'present'
                          AND l.tenant_id = s.tenant_id AND l.course_id = s.course_id AND l.internal_id = s.internal_id)
     ORDER BY 1, 2
    """  # noqa: S608  constants only
)
_NOBODYS = """
    FROM directory_user d
   WHERE d.run_id = :run AND d.tenant_id = :tenant
     AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant_id = d.tenant_id AND l.pluvo_id = d.pluvo_id)
     AND NOT EXISTS (SELECT 1 FROM plan_line l
                      WHERE l.run_id = :run AND l.tenant_id = d.tenant_id AND l.match_account = d.pluvo_id)
"""
_ONLY_IN_PLUVO = text(f"SELECT d.pluvo_id, d.name, d.email, d.archived {_NOBODYS} ORDER BY d.name, d.pluvo_id")
_UNUSED = text(f"SELECT count(*) {_NOBODYS}")


class PreviewOver(Exception):
    """A person was erased, or the tenant removed, after the dry run read them: it writes nothing more."""


class _DryRun(PreviewContext):
    """Has a row in the ledger, by which an erasure ends it."""

    @contextmanager
    def writing(self, **progress: int) -> Iterator[Connection]:
        with super().writing(**progress) as connection:
            found = connection.execute(_FINISHED, {"run": self.run_id, "tenant": self.tenant_id}).first()
            if found is None or found.finished_at is not None:
                raise PreviewOver(self.run_id)
            yield connection


def preview(tenant_id: int, options: RunOptions, keep: Keep = list) -> Preview:
    """Plan a run without doing it: reads both systems, changes neither. Kept in the ledger as a ``dry_run``.

    ``keep`` makes the lists: there may be more lines than fit into memory. Raises RemoteError when a system can't be
    read, PreviewOver when a person was erased meanwhile.
    """
    tenant, _ = load(tenant_id)
    context = _DryRun(new_id(), tenant_id, options)
    with transaction() as connection:
        values = {"run": context.run_id, "tenant": tenant_id, "options": dumps(options)}
        connection.execute(_BEGIN, values | {"direction": Direction.ENROLLMENTS.value})
    systems = systems_of(tenant)
    try:
        plan = make_plan(context, tenant, systems)
        return _read_preview(context, tenant, plan, systems.counts.take(), keep)
    except RemoteError as error:
        _fail_preview(context, error)
        raise
    finally:
        with transaction() as connection:
            forget_rows(connection, context)


def _fail_preview(context: RunContext, error: RemoteError) -> None:
    status = RunStatus.QUARANTINED if isinstance(error, Unauthorized) else RunStatus.FAILED
    with transaction() as connection:
        values = {"run": context.run_id, "tenant": context.tenant_id}
        connection.execute(_FAIL, values | {"status": status.value, "reason": error.code})


def _read_preview(context: RunContext, tenant: Tenant, plan: Plan, calls: dict[str, int], keep: Keep) -> Preview:
    usable = [snapshot.course_id for snapshot in plan.snapshots if snapshot.usable]
    run = {"run": context.run_id, "tenant": context.tenant_id}
    first = tenant.first_complete_at is None
    # Without the run's row: an erasure does not wait until all is read. It is seen right after.
    with transaction() as connection:
        lines = keep(map(_line, streamed(connection, _LINES, run | {"usable": usable})))
        unused = keep(map(_account, streamed(connection, _ONLY_IN_PLUVO, run) if first else ()))
    with context.writing() as connection:
        came_to = _record(connection, context, tenant, plan, calls)
    return Preview(
        run_id=context.run_id,
        status=RunStatus.DRY_RUN,
        hash=plan.hash,
        snapshot=plan.state,
        reasons=plan.reasons,
        courses=[snapshot.as_json() for snapshot in plan.snapshots],
        rows=plan.rows,
        outcomes=came_to.outcomes,
        lines=lines,
        removals=came_to.removed,
        held_removals=came_to.held,
        unconfirmed=plan.unconfirmed,
        calls=calls,
        unlinked=plan.linking.unlinked,
        adoption=_adoption(came_to.adoption, unused) if came_to.adoption else None,
    )


def _line(row: Any) -> PlannedLine:
    return PlannedLine(
        event_id=row.event_id,
        internal_id=row.internal_id,
        action=row.action,
        outcome=row.outcome,
        reason=row.reason,
        before=row.before,
        after=row.after,
    )


def _account(row: Any) -> UnusedAccount:
    return UnusedAccount(pluvo_id=row.pluvo_id, name=row.name, email=row.email, archived=row.archived)


def _adoption(counts: AdoptionCounts, only_in_pluvo: Sequence[UnusedAccount]) -> Adoption:
    return Adoption(
        by_afas_id=counts["by_afas_id"],
        by_email=counts["by_email"],
        shared=counts["shared"],
        to_create=counts["to_create"],
        ambiguous=counts["ambiguous"],
        only_in_pluvo=only_in_pluvo,
    )


# The same counted, without a line for each row that needs nothing.
_COUNTS = text(
    f"""
    SELECT {WOULD_BE} AS outcome, is_row, count(*) AS lines
      FROM plan_line WHERE run_id = :run AND tenant_id = :tenant GROUP BY 1, 2
    """  # noqa: S608  constants only
)
_ADOPTED = text(
    """
    SELECT count(*) FILTER (WHERE reason = 'by_afas_id') AS by_afas_id,
           count(*) FILTER (WHERE reason = 'by_email') AS by_email,
           count(*) FILTER (WHERE starts_with(reason, 'same_person_as:')) AS shared,
           count(*) FILTER (WHERE action = 'create') AS to_create,
           count(DISTINCT internal_id) FILTER (WHERE outcome = 'ambiguous') AS ambiguous
      FROM plan_line
     WHERE run_id = :run AND tenant_id = :tenant AND (action IN ('link', 'create') OR outcome = 'ambiguous')
    """
)
_END = text(
    """
    UPDATE run
       SET outcomes = CAST(:outcomes AS jsonb), calls_afas = calls_afas + :afas, calls_pluvo = calls_pluvo + :pluvo,
           removed = :removed, held_removals = :held, pending_removals = unconfirmed, looked = CAST(:looked AS jsonb),
           finished_at = now(), lease_owner = NULL, lease_until = NULL
     WHERE id = :run AND tenant_id = :tenant
    """
)


@dataclass(frozen=True)
class _CameTo:
    """What a plan would come to: rows by outcome, removals, and before a first run who comes to which account."""

    outcomes: dict[str, int]
    removed: int
    held: int
    adoption: AdoptionCounts | None


def preview_run(lease: RunContext) -> None:
    """The same as a run that a worker does: it ends as ``dry_run`` and keeps its lines, for a day.

    Raises what concerns the whole tenant or the run itself.
    """
    tenant, _ = load(lease.tenant_id)
    systems = systems_of(tenant)
    plan = make_plan(lease, tenant, systems)
    with lease.writing() as connection:
        _record(connection, lease, tenant, plan, systems.counts.take())
        forget_rows(connection, lease)
        connection.execute(text("NOTIFY koppeling_runs"))


def _record(connection: Connection, context: RunContext, tenant: Tenant, plan: Plan, calls: dict[str, int]) -> _CameTo:
    """Count the plan and end its run, while what was read is still there."""
    key = {"run": context.run_id, "tenant": context.tenant_id}
    counted = connection.execute(_COUNTS, key).all()
    outcomes = Counter(zeros(Direction.ENROLLMENTS) | plan.rows_without_line)
    outcomes.update({row.outcome: row.lines for row in counted if row.is_row})
    removals = {row.outcome: row.lines for row in counted if not row.is_row}
    came_to = _CameTo(
        outcomes=dict(outcomes),
        removed=removals.get(RemovalOutcome.REMOVED, 0),
        held=removals.get(RemovalOutcome.HELD, 0),
        adoption=_adopted(connection, context) if tenant.first_complete_at is None else None,
    )
    record_run(connection, context, plan, RunStatus.DRY_RUN)
    connection.execute(
        _END,
        key
        | {
            "afas": calls["afas"],
            "pluvo": calls["pluvo"],
            "outcomes": dumps(came_to.outcomes),
            "removed": came_to.removed,
            "held": came_to.held,
            "looked": dumps(_looked(plan, came_to.adoption)),
        },
    )
    return came_to


def _adopted(connection: Connection, context: RunContext) -> AdoptionCounts:
    key = {"run": context.run_id, "tenant": context.tenant_id}
    counts = connection.execute(_ADOPTED, key).one()
    return AdoptionCounts(
        by_afas_id=counts.by_afas_id,
        by_email=counts.by_email,
        shared=counts.shared,
        to_create=counts.to_create,
        ambiguous=counts.ambiguous,
        only_in_pluvo=connection.execute(_UNUSED, key).scalar_one(),
    )


def _looked(plan: Plan, adoption: AdoptionCounts | None) -> Looked:
    targets = {event: list(target) for event, target in plan.targets.items()}
    return {"targets": targets, "guards": plan.judged, "adoption": adoption}
