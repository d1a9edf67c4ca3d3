"""``/replays``: dead letters that are sent again together; how one goes, and cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ops import access, audit
from ops.dead_letters import faults, replay, replay_batch, replays
from ops.http.console import choices, live
from ops.http.console.render import page
from ops.language import Language
from ops.listing import Row
from ops.local_time import told_at
from ops.problems import AlreadyDecided

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=40)]
Cursor = Annotated[str | None, Query(max_length=80)]
# In the order of the bar.
SHAPES = {
    "done": "ok",
    "superseded": "stopped",
    "discarded": "stopped",
    "under_way": "busy",
    "pending": "waits",
    "not_sent": "waits",
    "failed": "broken",
}


@router.get("/replays")
def replays_(request: Request, cursor: Cursor = None) -> HTMLResponse:
    """All of them, newest first."""
    return page(request, "replays.html", found=replays.listing(50, cursor))


@router.get("/replays/{batch}")
def replay_(request: Request, batch: Id, cursor: Cursor = None) -> HTMLResponse:
    """One of them, as it stands."""
    found = replays.show(batch, limit=100, cursor=cursor)
    over = found["state"] != "running" and not found["counts"].get("under_way")
    language = choices.language(request)
    said = {name: [_said(line, language) for line in found[name]] for name in ("lines", "failures")}
    return page(
        request,
        "replay.html",
        found={**found, **said},
        over=over,
        shapes=SHAPES,
        decisions=audit.of(found["id"]),
        may=access.actor().role >= access.NEEDS["replays.cancel"],
    )


def _said(line: replay.Line, language: Language) -> Row:
    """A line; of one that failed again why, in the reader's language and with the remote's own words."""
    if line["result"] != "failed":
        return {**line}
    letter = {"kind": line["kind"], "error": line.get("again_error"), "message": line.get("again_message")}
    why = f"{faults.cause(letter).say(language)} {faults.remote_words(letter)}"
    return {**line, "reason": why.strip()}


@router.get("/replays/{batch}/events")
def events(request: Request, batch: Id) -> Response:
    """Says when there is something new of it."""
    full = replays.full_id(batch)

    def look() -> object:
        found = replays.show(full, limit=1)
        over = found["state"] != "running" and not found["counts"].get("under_way")
        return None if over else (found["state"], found["position"], sorted(found["counts"].items()))

    return live.stream(request, look)


@router.post("/replays/{batch}/cancel")
def cancel(batch: Id) -> Response:
    """Send nothing more of it. The second is told who was first."""
    full = replays.full_id(batch)
    if replay_batch.cancel(full):
        return RedirectResponse(f"/replays/{full}", 303)
    first = replay_batch.cancelled_by(full)
    if first is None:
        raise AlreadyDecided("replay_over")
    raise AlreadyDecided("replay_cancelled", who=first["who"], at=told_at(first["at"], "UTC"))
