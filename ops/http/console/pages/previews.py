"""``/previews/{id}``: what a run would do, its guards with their arithmetic, and the button that does exactly this."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from models.run import RunStatus
from ops import audit
from ops.http.console import choices
from ops.http.console.pages.filters import LineQuery
from ops.http.console.pages.runs import LINES, outcome_parts, unfinished, with_names
from ops.http.console.render import again, page
from ops.problems import Problem
from ops.runs import previews, progress, start
from ops.terminal.guards import arithmetic

router = APIRouter(include_in_schema=False)


@router.post("/previews")
def begin(
    tenant: Annotated[str, Form(max_length=40)],
    full: Annotated[bool, Form()] = False,
    person: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Ask for a preview of one tenant, and go to it."""
    options = start.enrollment_options([tenant], everyone=False, full=full, person=person or None)
    started = previews.begin([tenant], everyone=False, options=options, need_worker=False)
    return RedirectResponse(f"/previews/{started.run_ids[0]}", 303)


@router.get("/previews/{run_id}")
def shown(request: Request, run_id: str, wanted: Annotated[LineQuery, Query()]) -> HTMLResponse:
    """One preview."""
    return _show(request, run_id, wanted)


def _show(request: Request, run_id: str, wanted: LineQuery, problem: Problem | None = None) -> HTMLResponse:
    found = previews.show(run_id, wanted.chosen, limit=LINES, cursor=wanted.cursor)
    run = found["run"]
    language = choices.language(request)
    guards = [one | {"told": arithmetic(one["guard"], one["measure"], language)} for one in found["guards"]]
    does = sum(one["lines"] for one in found["groups"] if one["action"] != "none" and one["outcome"] != "held")
    context: dict[str, Any] = {
        "found": found,
        "run": with_names(run),
        "guards": guards,
        "does": does,
        "ready": run["status"] == RunStatus.DRY_RUN,
        "going": progress.look(run["id"]) if unfinished(run) else None,
        "outcomes": outcome_parts(run),
        "wanted": wanted,
        "done": audit.of(run["id"]),
    }
    return again(request, "preview.html", problem, **context) if problem else page(request, "preview.html", **context)


@router.post("/previews/{run_id}/execute")
def execute(request: Request, run_id: str) -> Response:
    """Run exactly this."""
    try:
        found = previews.execute(run_id)
    except Problem as problem:
        if problem.status in (403, 404):
            raise
        return _show(request, run_id, LineQuery(), problem)
    return RedirectResponse(f"/runs/{found['run']}", 303)
