"""``/api/runs``, and what starts them: ``POST /api/sync`` and ``POST /api/completions``."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypedDict

from models.direction import Direction
from models.run import RunOptions, RunStatus
from ops import access
from ops.documents import Batch, RunItem, RunShown, Stopped
from ops.http.api.answers import Document
from ops.http.api.inputs import (
    Body,
    Cursor,
    Day,
    Limit,
    NumberCursor,
    OfDirection,
    OfTenant,
    PersonText,
    RunId,
    SlugText,
    Wait,
)
from ops.http.api.need import need
from ops.runs import history, start

router = APIRouter(tags=["runs"])
# A request that waits has a thread of the web server; the others must not lack one.
WAITING = BoundedSemaphore(8)


class RunPage(TypedDict):
    """Runs, newest first."""

    items: list[RunItem]
    next: str | None


class Start(Body):
    """Either ``tenants`` or ``all``; of all, paused ones are left out."""

    tenants: Annotated[list[SlugText], Field(default_factory=list, max_length=1000)]
    all: bool = False


class StartSync(Start):
    """``full``: look at every enrollment in Pluvo. ``person``: only this one, of one tenant."""

    full: bool = False
    person: PersonText | None = None


class StartCompletions(Start):
    """What was completed on these days."""

    since: Day | None = None
    until: Day | None = None


@router.post(
    "/sync", response_model=Batch, status_code=202, summary="Start enrollment runs", dependencies=[need("sync.start")]
)
def start_sync(given: StartSync, wait: Wait = 0) -> Document:
    """AFAS → Pluvo. `Location` is the address of the first run; with `wait` the answer is what came of them so far."""
    options = start.enrollment_options(given.tenants, everyone=given.all, full=given.full, person=given.person)
    return _start(Direction.ENROLLMENTS, given, options, wait)


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


def _start(direction: Direction, given: Start, options: RunOptions, wait: int) -> Document:
    started = start.start(direction, given.tenants, everyone=given.all, options=options, need_worker=False)
    if wait and started.workers and WAITING.acquire(blocking=False):
        try:
            start.wait(started, wait)
        finally:
            WAITING.release()
    where = {"Location": f"/api/runs/{started.run_ids[0]}"} if started.run_ids else None
    return Document(start.document(started), status_code=202, headers=where)


@router.get("/runs", response_model=RunPage, summary="List runs", dependencies=[need("runs.read")])
def list_runs(
    tenant: OfTenant = None,
    direction: OfDirection = None,
    status: RunStatus | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Document:
    """Newest first."""
    return Document(history.listing(limit, cursor, tenant=tenant, direction=direction, status=status).document())


@router.get("/runs/{run}", response_model=RunShown, summary="Show a run", dependencies=[need("runs.read")])
def show_run(run: RunId, limit: Limit = 100, cursor: NumberCursor = None) -> Document:
    """What it read, planned and did, line by line (ids, no names)."""
    return Document(history.show(run, limit=limit, cursor=cursor))


@router.post("/runs/{run}/stop", response_model=Stopped, summary="Stop a run", dependencies=[need("runs.stop")])
def stop_run(run: RunId) -> Document:
    """Nothing new of it begins. What it did stays, the next run does the rest."""
    return Document(history.stop(run, who=access.actor().name))
