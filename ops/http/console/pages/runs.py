"""``/runs``: the ledger of runs. ``/runs/{id}``: one run, step by step; stop it, or ask for it once more."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from models.direction import Direction
from models.run import PREVIEW, RunStatus
from ops import audit
from ops.documents import RunShown, Stopped
from ops.http.console import live
from ops.http.console.pages.filters import LineQuery, RunQuery
from ops.http.console.render import again, page, sheet
from ops.language import Words
from ops.listing import Page
from ops.problems import AlreadyDecided, Problem
from ops.runs import history, lines, progress, start
from ops.terminal import csv_file, output

router = APIRouter(include_in_schema=False)
PAGE = 50
LINES = 100
_SYSTEMS = {"afas": "AFAS", "pluvo": "Pluvo"}
TRIGGERS = ("operator", "schedule", "nightly", "webhook", "reopened", "preview", "dry_run")
STATUSES = tuple(status for status in RunStatus if status != RunStatus.PAUSED)
LIST_COLUMNS = (
    *("id", "tenant", "direction", "trigger", "status", "reason", "snapshot", "created_at", "started_at"),
    *("finished_at", "seconds", "rows", "outcomes", "removed", "held_removals", "pending_removals"),
)


def _since(day: str) -> datetime | None:
    """The beginning of a day; Problem for what is none."""
    if not day:
        return None
    try:
        return datetime.combine(date.fromisoformat(day), time(), UTC)
    except ValueError:
        raise Problem("no_day", option="since") from None


def _listing(wanted: RunQuery, limit: int, cursor: str | None) -> Page:
    given = {name: value or None for name, value in wanted.model_dump(exclude={"since", "cursor"}).items()}
    return history.listing(limit, cursor, **given, since=_since(wanted.since))


@router.get("/runs")
def listed(request: Request, wanted: Annotated[RunQuery, Query()]) -> HTMLResponse:
    """Runs, newest first."""
    context: dict[str, Any] = {"wanted": wanted, "directions": [*Direction], "statuses": STATUSES, "triggers": TRIGGERS}
    try:
        found = _listing(wanted, PAGE, wanted.cursor)
    except Problem as problem:
        return again(request, "runs.html", problem, **context, found=Page([]))
    return page(request, "runs.html", **context, found=found)


@router.get("/runs.csv")
def listed_csv(request: Request, wanted: Annotated[RunQuery, Query()]) -> Response:
    """The same as a file, all of them."""
    _listing(wanted, 1, None)  # what can't be listed is said before a file begins
    found = csv_file.every(lambda size, after: _listing(wanted, size, after))
    told = ({**run, "outcomes": output.counted(run["outcomes"])} for run in found)
    return sheet(request, "runs", LIST_COLUMNS, told)


@router.get("/runs/{run_id}")
def shown(request: Request, run_id: str, wanted: Annotated[LineQuery, Query()]) -> Response:
    """One run."""
    found = history.show(run_id, wanted.chosen, limit=LINES, cursor=wanted.cursor)
    if found["preview"]:
        return RedirectResponse(f"/previews/{found['id']}", 303)
    return _show(request, found, wanted)


def _show(request: Request, found: RunShown, wanted: LineQuery, problem: Problem | None = None) -> HTMLResponse:
    context: dict[str, Any] = {
        "run": with_names(found),
        "steps": steps(found),
        "going": progress.look(found["id"]) if unfinished(found) else None,
        "outcomes": outcome_parts(found),
        "nothing": nothing(found),
        "wanted": wanted,
        "done": audit.of(found["id"]),
    }
    return again(request, "run.html", problem, **context)


@router.get("/runs/{run_id}/lines.csv")
def lines_csv(request: Request, run_id: str, wanted: Annotated[LineQuery, Query()]) -> Response:
    """Its lines as a file."""
    chosen = wanted.chosen
    run_id = lines.lines(run_id, chosen, limit=1)["run"]  # as above; and by the next page, "last" may be another one

    def part(size: int, after: str | None) -> Page:
        found = lines.lines(run_id, chosen, limit=size, cursor=after)
        return Page([dict(line) for line in found["items"]], found["next"])

    return sheet(request, f"run-{run_id}", lines.COLUMNS, csv_file.every(part))


@router.get("/runs/{run_id}/events")
def events(request: Request, run_id: str) -> StreamingResponse:
    """Says when the page should look again; ends with the run."""
    progress.look(run_id)  # what is not there, or may not be seen, is said before a stream begins

    def look() -> object:
        now = progress.look(run_id)
        return None if now["over"] else {name: value for name, value in now.items() if name != "seconds_left"}

    return live.stream(request, look)


@router.post("/runs")
def begin(
    tenant: Annotated[str, Form(max_length=40)],
    direction: Annotated[str, Form(max_length=20)] = "enrollments",
    full: Annotated[bool, Form()] = False,
) -> Response:
    """Ask for a run of one tenant, and go to it."""
    way = Direction.COMPLETIONS if direction == "completions" else Direction.ENROLLMENTS
    options = start.enrollment_options([tenant], everyone=False, full=full, person=None)
    started = start.start(
        way, [tenant], everyone=False, options=options if way == Direction.ENROLLMENTS else {}, need_worker=False
    )
    return RedirectResponse(f"/runs/{started.run_ids[0]}", 303)


@router.post("/runs/{run_id}/stop")
def stop(request: Request, run_id: str) -> Response:
    """Nothing new of it begins. The second is told who was first."""
    done = history.stop(run_id)
    problem = _late(done)
    if problem is None:
        return RedirectResponse(f"/runs/{done['run']}", 303)
    found = history.show(done["run"], limit=LINES)
    if found["preview"]:
        raise problem
    return _show(request, found, LineQuery(), problem)


def _late(done: Stopped) -> Problem | None:
    if "first" in done:
        return AlreadyDecided("run_stopping", run=done["run"], first=audit.by(done["first"]))
    if not done["stopping"]:
        return AlreadyDecided("run_over", run=done["run"], status=Words(f"run_status.{done['status_before']}"))
    return None


@router.post("/runs/{run_id}/again")
def once_more(run_id: str) -> Response:
    """The same run, or preview, once more."""
    found = start.again(run_id)
    return RedirectResponse(f"/runs/{found['run']}", 303)


def with_names(run: RunShown) -> dict[str, Any]:
    """With the name of the system that a failed run met."""
    failure = run["failure"]
    if failure is None:
        return {**run}
    return {**run, "failure": failure | {"named": _SYSTEMS.get(failure["system"] or "", "AFAS / Pluvo")}}


def unfinished(run: RunShown) -> bool:
    """Whether something of it goes on."""
    return run["status"] in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.APPLYING)


def outcome_parts(run: RunShown) -> list[dict[str, Any]]:
    """What came of its rows, and its removals, as parts of one bar: each leads to its lines."""
    counted = {name: count for name, count in run["outcomes"].items() if count}
    removals = {"removed": run["removed"], "held_removals": run["held_removals"]}
    counted |= {name: count for name, count in removals.items() if count}
    return [{"name": name, "value": count} for name, count in counted.items()]


def nothing(run: RunShown) -> str | None:
    """The sentence for a run that is over and counted nothing; None for one that may still, or did."""
    if unfinished(run) or outcome_parts(run):
        return None
    status = RunStatus(run["status"])
    if status == RunStatus.QUARANTINED and run["trigger"] in (PREVIEW, "dry_run"):
        return "run.nothing_quarantined_only_looked"
    known = (RunStatus.QUARANTINED, RunStatus.FAILED, RunStatus.STOPPED)
    return f"run.nothing_{status if status in known else 'done'}"


_JUDGED = {"complete": "ok", "partial": "broken", "suspect": "waits_for_you"}


def steps(run: RunShown) -> list[dict[str, Any]]:
    """Read → Judge → Plan → Apply → Verify, each with its state. Pure.

    What a run that was cut short did not come to has no state.
    """
    status, snapshot, planned = run["status"], run["snapshot"], run["plan_hash"] is not None
    over, looked_at = not unfinished(run), run["trigger"] in (PREVIEW, "dry_run")
    cut = status in (RunStatus.FAILED, RunStatus.STOPPED, RunStatus.QUARANTINED)
    short = "stopped" if status == RunStatus.STOPPED else "broken"
    reading = status == RunStatus.RUNNING and snapshot is None
    found = {
        "read": "ok" if snapshot else short if cut else "busy" if reading else None,
        "judge": _JUDGED.get(snapshot or ""),
        "plan": "ok" if planned else short if cut and snapshot else None,
        "apply": None if looked_at or not planned else short if cut else "ok" if over else "busy",
        "verify": _verified(run) if over and not cut and not looked_at else None,
    }
    return [{"name": name, "state": state} for name, state in found.items()]


def _verified(run: RunShown) -> str:
    if run["outcomes"].get("failed"):
        return "broken"
    return "waits" if run["outcomes"].get("pending") or run["pending_removals"] else "ok"
