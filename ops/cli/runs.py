"""``koppeling runs …``"""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.common import Cursor, Json, Limit, TenantFilter, Who, at_database, example, group, named, show, show_next
from ops.documents import RunShown
from ops.listing import number_cursor
from ops.runs import history
from ops.terminal import output, plan_view

app = group("The ledger of runs: snapshot, plan, outcomes, calls, durations.")
RunId = Annotated[str, typer.Argument(help="A run's id, the beginning of one, or last.")]
COLUMNS = ("id", "tenant", "direction", "status", "snapshot", "started_at", "seconds", "rows", "outcomes")


@app.command("list", epilog=example("koppeling runs list --tenant acme"))
def list_(
    *,
    tenant: TenantFilter = None,
    direction: Annotated[str | None, typer.Option("--direction", help="enrollments or completions.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only with this status.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List runs, newest first."""
    with at_database():
        found = history.listing(limit, cursor, tenant=tenant, direction=direction, status=status)
    if json:
        output.show_json(found.document())
        return
    if not found.items:
        output.say("There are no runs yet.")
        return
    items = [run | {"outcomes": output.counted(run["outcomes"])} for run in found.items]
    rows = [[run[name] for name in COLUMNS] for run in items]
    output.show_table(COLUMNS, rows)
    show_next(found.next)


@app.command("show", epilog=example("koppeling runs show 01J…"))
def show_(run: RunId, limit: Limit = 1000, cursor: Cursor = None, json: Json = False) -> None:
    """Show a run: what it read, planned and did, line by line (ids, no names)."""
    with at_database():
        found = history.show(run, limit=limit, cursor=number_cursor(cursor))
    show(found, json, _show_run)


def _show_run(found: RunShown) -> None:
    listed = ("failure", "courses", "unlinked", "lines", "listed", "holds", "next", "run")
    output.show_fields(found | {"outcomes": output.counted(found["outcomes"])}, skip=listed)
    if found["failure"]:
        output.say(f"{found['failure']['cause']} {found['failure']['action']}")
    for line in plan_view.unlinked_events(found):
        output.say(line)
    for title in ("courses", "holds", "listed", "lines"):
        if found[title]:
            output.say("")
            keys = list(dict.fromkeys(key for one in found[title] for key in one))
            output.show_table(keys, [[one.get(key) for key in keys] for one in found[title]], title=title)
    show_next(found["next"])


@app.command("stop", epilog=example("koppeling runs stop 01J…"))
def stop(run: RunId, who: Who = None, json: Json = False) -> None:
    """Stop a run: nothing new of it begins. What it did stays, the next run does the rest."""
    with at_database():
        found = history.stop(run, who=named(who))
    before = found["status_before"]
    said = f"{run} is told to stop (it was {before})." if found["stopping"] else f"{run} was over already: {before}."
    show(found, json, lambda _: output.say(said))
