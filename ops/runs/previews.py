"""Look at what a run would do, and carry out exactly that.

A preview is a run that a worker does and that only plans; it is kept for a day. Carrying it out is a run that ends
``stopped`` with reason ``plan_changed`` unless its plan is the one that was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from sqlalchemy import Connection
from typing_extensions import TypedDict

from models.base import utc_now
from models.direction import Direction
from models.outcomes import AT_REST, WOULD_BE
from models.run import PREVIEW, AdoptionCounts, Judged, RunOptions, RunStatus
from models.session import transaction
from ops import access, audit, lookup
from ops.documents import Batch, PlannedLine, RunDocument, RunLine, RunShown
from ops.language import Words
from ops.listing import MAX_LIMIT, Row, rows
from ops.problems import AlreadyDecided, NotThere, Problem
from ops.runs import history, start
from ops.runs.lines import ANY, LineFilters, lines
from ops.runs.spool import Spool

# A run that ended so did nothing of the plan: it may be asked for again.
_IN_VAIN = (RunStatus.FAILED, RunStatus.QUARANTINED, RunStatus.STOPPED, RunStatus.PAUSED)
# A hash has 32 letters; so few of them may be one by chance.
LEAST_LETTERS = 6
_LOOKED_AT = """
    SELECT r.id, r.plan_hash, r.options FROM run r
     WHERE r.tenant_id = :tenant AND r.direction = 'enrollments' AND r.id > :since AND r.status = 'dry_run'
       AND starts_with(r.plan_hash, :given)
     ORDER BY r.id DESC
"""
_PREVIEW = """
    SELECT r.id, r.tenant_id, t.slug AS tenant, r.status, r.trigger, r.direction, r.plan_hash, r.options, r.looked
      FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE r.id = :run
"""
_CARRIED_OUT = """
    SELECT r.id AS run, r.status, r.reason, r.created_at FROM run r
     WHERE r.tenant_id = :tenant AND r.direction = 'enrollments' AND r.id > :run AND r.options ->> 'looked_at' = :run
     ORDER BY r.id DESC LIMIT 20
"""
_GROUPS = f"""
    SELECT event_id, action, {WOULD_BE} AS outcome, CASE WHEN outcome = 'held' THEN reason END AS guard,
           count(*) AS lines
      FROM plan_line
     WHERE run_id = :run AND tenant_id = :tenant AND (action <> 'none' OR outcome <> ALL(:at_rest))
     GROUP BY 1, 2, 3, 4 ORDER BY length(event_id), event_id, 2, 3, 4
"""  # noqa: S608  constants only


class Group(TypedDict):
    """Lines of one event that would come to the same. ``guard``: what holds them back."""

    event_id: str | None
    action: str
    outcome: str
    guard: str | None
    lines: int


class PreviewShown(TypedDict):
    """What a run would do. ``carried_out``: the runs that were asked to do exactly this, newest first."""

    run: RunShown
    guards: list[Judged]
    adoption: AdoptionCounts | None
    groups: list[Group]
    carried_out: list[dict[str, object]]


class Executed(TypedDict):
    """The run that carries a preview out."""

    run: str
    tenant: str
    preview: str
    plan_hash: str


def show(run_id: str, chosen: LineFilters = ANY, *, limit: int = 1000, cursor: str | None = None) -> PreviewShown:
    """A preview with its lines, names and addresses included. Raises NotThere for a run that is none."""
    with transaction() as connection:
        run_id, row = _preview(connection, run_id)
        key = {"run": run_id, "tenant": row["tenant_id"]}
        groups = rows(connection, _GROUPS, **key, at_rest=[*AT_REST])
        carried_out = rows(connection, _CARRIED_OUT, **key)
    looked = row["looked"] or {"guards": [], "adoption": None}
    return {
        "run": history.show(run_id, chosen, limit=limit, cursor=cursor),
        "guards": looked["guards"],
        "adoption": looked["adoption"],
        "groups": [cast(Group, group) for group in groups],
        "carried_out": carried_out,
    }


def _preview(connection: Connection, run_id: str) -> tuple[str, Row]:
    run_id = lookup.full_id(connection, "run", run_id)
    row = rows(connection, _PREVIEW, run=run_id)[0]
    if row["trigger"] != PREVIEW:
        raise NotThere("no_preview", run=run_id)
    return run_id, row


def begin(slugs: Sequence[str], *, everyone: bool, options: RunOptions, need_worker: bool) -> start.Started:
    """Ask for a preview of each tenant."""
    access.need("sync.preview")
    return start.start(
        Direction.ENROLLMENTS, slugs, everyone=everyone, options=options, need_worker=need_worker, trigger=PREVIEW
    )


def with_plans(batch: Batch) -> Batch:
    """The same with the plan of each preview that is there by now, every line of it, as a dry run tells it."""
    spool = Spool()
    return {"batch": batch["batch"], "runs": [_with_plan(run, spool) for run in batch["runs"]]}


def _with_plan(run: RunDocument, spool: Spool) -> RunDocument:
    if run["run"] is None:
        return run | {"plan": {"hash": None, "lines": []}}
    first = history.show(run["run"], limit=MAX_LIMIT)
    planned = spool.keep(_planned(run["run"], first["lines"], first["next"]))
    return run | {"plan": {"hash": first["plan_hash"], "lines": planned}}


def _planned(run_id: str, found: list[RunLine], cursor: str | None) -> Iterator[PlannedLine]:
    while True:
        for line in cast(list[dict[str, object]], found):
            yield cast(PlannedLine, {name: line[name] for name in PlannedLine.__annotations__})
        if cursor is None:
            return
        more = lines(run_id, limit=MAX_LIMIT, cursor=cursor)
        found, cursor = more["items"], more["next"]


def expecting(slug: str, given: str, options: RunOptions) -> RunOptions:
    """The options of a run that carries out the plan whose hash begins so, and nothing else.

    What the plan was asked for (``full``, ``person``) belongs to it. Raises Problem where no plan that somebody looked
    at within a day has such a hash, or several have.
    """
    wanted = given.strip().lower()
    if len(wanted) < LEAST_LETTERS or not set(wanted) <= set("0123456789abcdef"):
        raise Problem("plan_hash", given=given[:60], least=LEAST_LETTERS)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        since = history.first_id(utc_now() - history.KEPT)
        found = rows(connection, _LOOKED_AT, tenant=tenant, since=since, given=wanted)
    if not found:
        raise NotThere("no_plan", slug=slug, given=given[:60])
    if len({row["plan_hash"] for row in found}) > 1:
        raise Problem("several_plans", given=given[:60])
    return _expecting(found[0], options)


def _expecting(looked_at: Row, options: RunOptions) -> RunOptions:
    asked: RunOptions = looked_at["options"]
    return {**asked, **options, "expect": looked_at["plan_hash"], "looked_at": looked_at["id"]}


def execute(run_id: str, *, who: str | None = None) -> Executed:
    """Carry out exactly what a preview shows; a run that is no longer that changes nothing.

    Raises AlreadyDecided where a run does or did so already, Problem for a preview that shows no plan.
    """
    from producers.runs.request import lock_runs, request_run  # noqa: PLC0415  looking needs no ledger

    with transaction() as connection:
        run_id, row = _preview(connection, run_id)
        access.check("previews.execute", row["tenant"])
        if row["status"] != RunStatus.DRY_RUN:
            raise Problem("preview_unfinished", run=run_id, status=row["status"])
        (chosen,) = start.chosen(connection, [row["tenant"]], everyone=False, direction=Direction.ENROLLMENTS)
        options = _expecting(row, {})
        start.begin_timetable(connection, chosen.id, "operator", options)
        lock_runs(connection, chosen.id, row["direction"])
        for before in rows(connection, _CARRIED_OUT, run=run_id, tenant=row["tenant_id"]):
            if before["status"] not in _IN_VAIN:
                first = audit.first(connection, "previews execute", subject=run_id, detail={"run": before["run"]})
                told = Words(f"run_status.{before['status']}")
                raise AlreadyDecided("preview_executed", run=before["run"], status=told, first=audit.by(first))
        started = request_run(connection, chosen.id, row["direction"], trigger="operator", options=options)
        did = {"run": started, "plan_hash": row["plan_hash"]}
        audit.record(connection, who=who, verb="previews execute", tenant_id=chosen.id, subject=run_id, detail=did)
    return {"run": started, "tenant": row["tenant"], "preview": run_id, "plan_hash": row["plan_hash"]}
