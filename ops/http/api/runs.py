"""``/api/runs``, ``/api/previews``, and what starts them: ``POST /api/sync`` and ``POST /api/completions``."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from typing_extensions import TypedDict

from models.direction import Direction
from models.run import PREVIEW, Action, RunOptions, RunStatus
from ops.documents import Again, Batch, RunItem, RunLines, RunShown, Stopped
from ops.http.api.answers import Document
from ops.http.api.inputs import (
    ID,
    Body,
    Cursor,
    Day,
    HashText,
    Limit,
    Moment,
    NumberCursor,
    OfDirection,
    OfEvent,
    OfTenant,
    PersonText,
    RunId,
    SlugText,
    Wait,
    Word,
    cursor_text,
    example,
)
from ops.http.api.need import need
from ops.problems import Problem
from ops.runs import history, lines, previews, start
from ops.runs.lines import LineFilters
from ops.runs.start import Started

router = APIRouter(tags=["runs"])
# A request that waits has a thread of the web server; the others must not lack one.
WAITING = BoundedSemaphore(8)
READ = [need("runs.read")]


class RunPage(TypedDict):
    """Runs, newest first."""

    items: list[RunItem]
    next: str | None


class Start(Body):
    """Either ``tenants`` or ``all``; of all, paused ones are left out."""

    tenants: Annotated[list[SlugText], Field(default_factory=list, max_length=1000)]
    all: bool = False


class StartSync(Start):
    """``full``: look at every enrollment in Pluvo. ``person``: only this one, of one tenant.

    ``preview``: a worker plans, the plan is kept for a day, and nothing is written. ``expect_plan``: of one tenant, do
    what a preview with this hash (or a beginning of it) showed, else stop.
    """

    model_config = example(tenants=["acme"])

    full: bool = False
    person: PersonText | None = None
    preview: bool = False
    expect_plan: HashText | None = None


class StartCompletions(Start):
    """What was completed on these days."""

    model_config = example(tenants=["acme"])

    since: Day | None = None
    until: Day | None = None


@router.post(
    "/sync",
    response_model=Batch,
    status_code=202,
    summary="Start enrollment runs",
    dependencies=[need("sync.start")],
)
def start_sync(given: StartSync, wait: Wait = 0) -> Document:
    """AFAS → Pluvo. `Location` is the address of the first run; with `wait` the answer is what came of them so far."""
    options = start.enrollment_options(given.tenants, everyone=given.all, full=given.full, person=given.person)
    if given.expect_plan is None:
        return _start(Direction.ENROLLMENTS, given, options, wait, trigger=PREVIEW if given.preview else "operator")
    if given.preview:
        raise Problem("one_plan")
    if given.all or len(given.tenants) != 1:
        raise Problem("expect_one_tenant")
    return _start(Direction.ENROLLMENTS, given, previews.expecting(given.tenants[0], given.expect_plan, options), wait)


@router.post(
    "/completions",
    response_model=Batch,
    status_code=202,
    summary="Start completion runs",
    dependencies=[need("completions.start")],
)
def start_completions(given: StartCompletions, wait: Wait = 0) -> Document:
    """Pluvo → AFAS; as `/api/sync`."""
    since, until = (one.isoformat() if one else None for one in (given.since, given.until))
    return _start(Direction.COMPLETIONS, given, start.completion_options(since=since, until=until), wait)


def _start(direction: Direction, given: Start, options: RunOptions, wait: int, trigger: str = "operator") -> Document:
    slugs, everyone = given.tenants, given.all
    if trigger == PREVIEW:
        started = previews.begin(slugs, everyone=everyone, options=options, need_worker=False)
    else:
        started = start.start(direction, slugs, everyone=everyone, options=options, need_worker=False)
    _wait(started, wait)
    place = "previews" if trigger == PREVIEW else "runs"
    where = {"Location": f"/api/{place}/{started.run_ids[0]}"} if started.run_ids else None
    return Document(start.document(started), status_code=202, headers=where)


def _wait(started: Started, seconds: int) -> None:
    if seconds and started.workers and WAITING.acquire(blocking=False):
        try:
            start.wait(started, seconds)
        finally:
            WAITING.release()


@router.get("/runs", response_model=RunPage, summary="List runs", dependencies=READ)
def list_runs(
    *,
    tenant: OfTenant = None,
    direction: OfDirection = None,
    status: RunStatus | None = None,
    trigger: Annotated[
        Word | None, Query(description="operator, schedule, nightly, webhook, reopened, preview or dry_run.")
    ] = None,
    batch: Annotated[str | None, Query(pattern=ID, max_length=26, description="Only those started together.")] = None,
    since: Moment = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Document:
    """Newest first."""
    wanted = {"tenant": tenant, "direction": direction, "status": status, "trigger": trigger, "batch": batch}
    return Document(history.listing(limit, cursor, **wanted, since=since).document())


def _lines(
    outcome: Annotated[Word | None, Query(description="Only lines that came to this.")] = None,
    reason: Annotated[
        str | None, Query(pattern=r"^[a-z0-9_:.]{1,120}$", max_length=120, description="Only lines with this code.")
    ] = None,
    action: Annotated[Action | None, Query(description="Only lines of this action.")] = None,
    event: OfEvent = None,
) -> LineFilters:
    return LineFilters(outcome=outcome, reason=reason, action=action, event=event)


Lines = Annotated[LineFilters, Depends(_lines)]


@router.get("/runs/{run}", response_model=RunShown, summary="Show a run", dependencies=READ)
def show_run(run: RunId, chosen: Lines, limit: Limit = 100, cursor: NumberCursor = None) -> Document:
    """What it read, planned and did, line by line. Names show only in a preview or a dry run."""
    return Document(history.show(run, chosen, limit=limit, cursor=cursor))


@router.get("/runs/{run}/lines", response_model=RunLines, summary="List the lines of a run", dependencies=READ)
def list_lines(run: RunId, chosen: Lines, limit: Limit = 100, cursor: NumberCursor = None) -> Document:
    """In the order of the plan: before, after, and what came of it."""
    return Document(lines.lines(run, chosen, limit=limit, cursor=cursor_text(cursor)))


@router.post("/runs/{run}/stop", response_model=Stopped, summary="Stop a run", dependencies=[need("runs.stop")])
def stop_run(run: RunId) -> Document:
    """Nothing new of it begins. What it did stays, the next run does the rest."""
    return Document(history.stop(run))


@router.post(
    "/runs/{run}/again",
    response_model=Again,
    status_code=202,
    summary="Ask for the same run once more",
    dependencies=[need("runs.again")],
)
def repeat_run(run: RunId) -> Document:
    """Of a preview, for a new preview. `Location` is the address of the new one."""
    found = start.again(run)
    return Document(found, status_code=202, headers={"Location": f"/api/runs/{found['run']}"})


@router.get(
    "/previews/{run}",
    response_model=previews.PreviewShown,
    summary="Show a preview",
    dependencies=[need("previews.read")],
)
def show_preview(run: RunId, chosen: Lines, limit: Limit = 100, cursor: NumberCursor = None) -> Document:
    """What a run would do: its guards with their counts, groups of lines, and the lines, names included."""
    return Document(previews.show(run, chosen, limit=limit, cursor=cursor_text(cursor)))


@router.post(
    "/previews/{run}/execute",
    response_model=previews.Executed,
    status_code=202,
    summary="Run exactly this",
    dependencies=[need("previews.execute")],
)
def execute_preview(run: RunId) -> Document:
    """Carry out what a preview shows; a run that is no longer that changes nothing."""
    found = previews.execute(run)
    return Document(found, status_code=202, headers={"Location": f"/api/runs/{found['run']}"})
