"""Runs: list, show, stop, and the one shape in which a run is told (``sync --wait --json`` prints the same)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection
from ulid import ULID

from models.completion_state import CLOSED
from models.direction import Direction
from models.outcomes import NAMED, WAITS, RowOutcome
from models.run import PREVIEW, UNFINISHED, RunStatus, SnapshotState
from models.session import transaction
from ops import access, audit, lookup
from ops.documents import Failure, RunDocument, RunItem, RunShown, Stopped
from ops.language import SENTENCES, say
from ops.listing import Page, Row, checked_limit, page, rows, where
from ops.problems import Problem
from ops.runs.lines import ANY, LineFilters, lines, read
from tenancy import unreached

__all__ = ["LineFilters", "document", "lines", "listing", "show", "stop"]
FAILED = {RunStatus.FAILED, RunStatus.STOPPED, RunStatus.QUARANTINED, RunStatus.DONE_WITH_FAILURES}
# How long a plan that was only looked at is kept.
KEPT = timedelta(hours=24)

_RUNS = """
    SELECT r.*, t.slug AS tenant, t.timezone,
           extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at) AS seconds
      FROM run r JOIN tenant t ON t.id = r.tenant_id
"""
_FILTERS = {
    "tenant": "r.tenant_id = :tenant",
    "tenants": "r.tenant_id = ANY(:tenants)",
    "direction": "r.direction = :direction",
    "status": "r.status = :status",
    "trigger": "r.trigger = :trigger",
    "batch": "r.batch = :batch",
    "since": "r.id >= :since",
    "cursor": "r.id < :cursor",
}
# Locked: of one that ends at this moment, how it ended.
_TO_STOP = """
    SELECT r.id, r.tenant_id, r.status, r.stop_requested, t.slug AS tenant
      FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE r.id = :run FOR UPDATE OF r
"""
# What a completions run counted without planning anything, as it stands now. What has no date was in no report, so the
# newest run tells of it.
_LISTED = f"""
    SELECT k.event_id, c.internal_id, c.state AS outcome, c.reason, c.completed_raw, c.completed_on,
           c.title, c.field
      FROM completion c JOIN course k ON k.id = c.course_id AND k.tenant_id = c.tenant_id
     WHERE c.tenant_id = :tenant AND c.state IN ('conflict', 'orphan', 'no_date', 'rejected', 'failed') AND NOT {CLOSED}
       AND (c.seen_run = :run OR (c.state = 'no_date' AND NOT EXISTS (
            SELECT 1 FROM run r WHERE r.tenant_id = :tenant AND r.direction = 'completions' AND r.id > :run
               AND r.status <> 'dry_run')))
       AND NOT EXISTS (SELECT 1 FROM plan_line l WHERE l.run_id = :run AND l.tenant_id = c.tenant_id
                          AND l.completion_id = c.id)
     ORDER BY length(k.event_id), k.event_id, c.id LIMIT :limit
"""  # noqa: S608  constants only


def document(run: Row) -> RunDocument:
    """A run as JSON: every outcome is named, also those that didn't happen."""
    enrolling = run["direction"] == Direction.ENROLLMENTS
    acting = run["calls_acting"]
    return {
        "run": run["id"],
        "tenant": run["tenant"],
        "direction": run["direction"],
        "status": run["status"],
        "reason": run["reason"],
        "snapshot": run["snapshot"],
        "reasons": run["reasons"],
        "courses": run["courses"],
        "unlinked": run["unlinked"],
        "rows": run["rows"],
        "outcomes": named(run["direction"], run["outcomes"] or {}),
        "removed": run["removed"],
        "held_removals": run["held_removals"],
        "pending_removals": run["pending_removals"],
        "calls": {
            "afas": run["calls_afas"] + (0 if enrolling else acting),
            "pluvo": run["calls_pluvo"] + (acting if enrolling else 0),
        },
        "seconds": round(float(run["seconds"]), 1) if run["seconds"] is not None else None,
    }


def without_run(tenant: str, direction: Direction, status: RunStatus, reason: str | None = None) -> RunDocument:
    """The same for what has no row: a paused tenant, a dry run."""
    return {
        "run": None,
        "tenant": tenant,
        "direction": direction,
        "status": status,
        "reason": reason,
        "snapshot": None,
        "reasons": [],
        "courses": [],
        "unlinked": {},
        "rows": 0,
        "outcomes": named(direction, {}),
        "removed": 0,
        "held_removals": 0,
        "pending_removals": 0,
        "calls": {"afas": 0, "pluvo": 0},
        "seconds": None,
    }


def named(direction: str, outcomes: Mapping[str, int]) -> dict[str, int]:
    """Every outcome of a direction with its count, and what an older version counted besides."""
    known = NAMED[Direction(direction)]
    return {name: int(outcomes.get(name, 0)) for name in (*known, *sorted(outcomes.keys() - set(known)))}


def item(run: Row) -> RunItem:
    """A run in a listing: the same, with its id, its batch and its times."""
    return {
        "id": run["id"],
        "timezone": run["timezone"],
        "batch": run["batch"],
        "trigger": run["trigger"],
        "options": run["options"],
        "created_at": run["created_at"],
        "started_at": run["started_at"],
        "finished_at": run["finished_at"],
        **document(run),
    }


def by_ids(ids: Sequence[str]) -> list[RunDocument]:
    """Runs in the order asked for."""
    with transaction() as connection:
        found = {run["id"]: document(run) for run in rows(connection, f"{_RUNS} WHERE r.id = ANY(:ids)", ids=list(ids))}
    return [found[run] for run in ids if run in found]


def listing(
    limit: int = 100,
    cursor: str | None = None,
    *,
    tenant: str | None = None,
    direction: str | None = None,
    status: str | None = None,
    trigger: str | None = None,
    batch: str | None = None,
    since: datetime | None = None,
) -> Page:
    """Runs, newest first. ``trigger`` is operator, schedule, nightly, webhook, reopened, preview or dry_run."""
    if status is not None and status not in set(RunStatus):
        raise Problem("status_one_of", listed=", ".join(RunStatus))
    way = lookup.direction(direction) if direction else None
    with transaction() as connection:
        number = lookup.tenant_id(connection, tenant) if tenant is not None else None
        seen = lookup.visible_ids(connection)
        wanted = {"tenant": number, "tenants": seen, "direction": way, "status": status, "cursor": cursor}
        wanted |= {"trigger": trigger, "batch": batch, "since": first_id(since) if since else None}
        newest_first = f"{_RUNS} {where(_FILTERS, wanted)} ORDER BY r.id DESC LIMIT :limit"
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    cut = page(found, limit, "id")
    return Page([{**item(run)} for run in cut.items], cut.next)


def first_id(since: datetime) -> str:
    """The smallest id that a run asked for at this moment can have."""
    return str(ULID.from_datetime(since))[:10].ljust(26, "0")


def show(run_id: str, chosen: LineFilters = ANY, *, limit: int = 1000, cursor: str | int | None = None) -> RunShown:
    """One run with its lines (those that fit), its holds and its progress."""
    with transaction() as connection:
        run_id = lookup.full_id(connection, "run", run_id)
        run = rows(connection, f"{_RUNS} WHERE r.id = :run", run=run_id)[0]
        key = {"run": run_id, "tenant": run["tenant_id"]}
        found, after = read(connection, run, chosen, limit=limit, cursor=cursor)
        holds = rows(
            connection, "SELECT id, guard, event_id, state FROM hold WHERE run_id = :run AND tenant_id = :tenant", **key
        )
        failure = _failure(connection, run)
        listed = []
        if run["direction"] == Direction.COMPLETIONS and cursor is None and chosen == ANY:
            listed = rows(connection, _LISTED, **key, limit=checked_limit(limit))
    preview = run["trigger"] == PREVIEW
    return {
        **item(run),
        "failure": failure,
        "preview": preview,
        "kept_until": run["created_at"] + KEPT if preview else None,
        "plan_hash": run["plan_hash"],
        "progress": run["progress"],
        "stop_requested": run["stop_requested"],
        "holds": holds,
        "listed": listed,
        "lines": found,
        "next": after,
    }


def _failure(connection: Connection, run: Row) -> Failure | None:
    """What a run that failed or was refused met, and what to do; None where no call of it failed."""
    code = run["reason"]
    if run["status"] not in (RunStatus.FAILED, RunStatus.QUARANTINED) or f"cause.{code}" not in SENTENCES:
        return None
    system = unreached.system_of(connection, run["tenant_id"], run["direction"], code)
    named = {"afas": "AFAS", "pluvo": "Pluvo"}.get(system or "", "AFAS or Pluvo")
    cause, action = (say(f"{kind}.{code}", "en", system=named, code=code) for kind in ("cause", "action"))
    return {"system": system, "code": code, "cause": cause, "action": action}


def stop(run_id: str, *, who: str | None = None) -> Stopped:
    """Ask a run to stop. One that is over already is left as it is."""
    from producers.runs.request import request_stop  # noqa: PLC0415  looking at runs needs no ledger

    with transaction() as connection:
        run_id = lookup.full_id(connection, "run", run_id)
        run = next(iter(rows(connection, _TO_STOP, run=run_id)), None)
        if run is None:  # gone with its tenant while somebody waited for it
            raise lookup.none_of("run", run_id)
        access.check("runs.stop", run["tenant"])
        stopping = run["status"] in UNFINISHED
        told: Stopped = {"run": run_id, "status_before": run["status"], "stopping": stopping}
        if stopping:
            request_stop(connection, run_id)
        first = audit.first(connection, "runs stop", subject=run_id) if run["stop_requested"] else None
        if first is not None:
            return {**told, "first": first}
        if stopping:
            audit.record(connection, who=who, verb="runs stop", tenant_id=run["tenant_id"], subject=run_id)
    return told


def exit_code(runs: Sequence[RunDocument], *, timed_out: bool = False) -> int:
    """0, 1 or 3 for runs in the shape of ``document``: 1 before 3 before 0."""
    if any(_failed(run) for run in runs):
        return 1
    return 3 if timed_out or any(_waits(run) for run in runs) else 0


def _failed(run: RunDocument) -> bool:
    failed = run["outcomes"].get(RowOutcome.FAILED)
    return bool(run["status"] in FAILED or run["snapshot"] == SnapshotState.PARTIAL or failed)


def _waits(run: RunDocument) -> bool:
    """Something waits for a person or for later."""
    counted = any(run["outcomes"].get(name) for name in WAITS)
    removals = run["held_removals"] or run["pending_removals"]
    return bool(
        counted or removals or run["status"] == RunStatus.DONE_WITH_HOLDS or run["snapshot"] == SnapshotState.SUSPECT
    )
