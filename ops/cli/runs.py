"""``koppeling runs …``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from ops.cli.common import (
    Cursor,
    Json,
    Limit,
    TenantFilter,
    Watch,
    Who,
    at_database,
    by,
    example,
    group,
    instant,
    named,
    show,
    show_next,
    shown_again,
)
from ops.documents import RunItem, RunLine, RunShown
from ops.language import language_of
from ops.listing import Page
from ops.problems import Problem
from ops.runs import history, lines
from ops.runs.lines import LineFilters
from ops.terminal import csv_file, output, plan_view
from ops.terminal.csv_file import AS_EXCEL

app = group("The ledger of runs: snapshot, plan, outcomes, calls, durations.")
RunId = Annotated[str, typer.Argument(help="A run's id, the beginning of one, or last.")]
COLUMNS = ("id", "tenant", "direction", "status", "snapshot", "started_at", "seconds", "rows", "outcomes")
CSV_COLUMNS = (*COLUMNS, "trigger", "batch", "reason", "removed", "held_removals", "pending_removals", "finished_at")


@app.command("list", epilog=example("koppeling runs list --tenant acme", "koppeling runs list --trigger preview"))
def list_(
    *,
    tenant: TenantFilter = None,
    direction: Annotated[str | None, typer.Option("--direction", help="enrollments or completions.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only with this status.")] = None,
    trigger: Annotated[
        str | None,
        typer.Option("--trigger", help="operator, schedule, nightly, webhook, reopened, preview or dry_run."),
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Only those that were started together.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Asked for on this day or time, or later.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help=f"Write them, older ones too, to this CSV file. {AS_EXCEL}")
    ] = None,
    watch: Watch = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List runs, newest first. Previews are runs too: their trigger is preview."""
    begin = instant(since, "--since")

    def found(size: int, after: str | None) -> Page:
        wanted = {"tenant": tenant, "direction": direction, "status": status, "trigger": trigger, "batch": batch}
        return history.listing(size, after, **wanted, since=begin)

    if watch and (json or csv):
        raise Problem("watch_alone")
    with at_database():
        if csv:
            csv_file.write(csv, CSV_COLUMNS, map(_cells, csv_file.every(found, cursor)), language_of(None))
            return
        if json:
            output.show_json(found(limit, cursor).document())
            return
        shown_again(lambda: _show_list(found(limit, cursor)), watch)


def _show_list(runs: Page) -> None:
    if not runs.items:
        output.say("There are no runs yet.")
        return
    output.show_table(COLUMNS, [[_row(cast(RunItem, run))[name] for name in COLUMNS] for run in runs.items])
    show_next(runs.next)


def _cells(run: dict[str, object]) -> dict[str, object]:
    return run | {"outcomes": output.counted(cast("dict[str, int]", run["outcomes"]))}


def _row(run: RunItem) -> dict[str, object]:
    kind = f"{run['direction']}, {run['trigger']}" if run["trigger"] in ("preview", "dry_run") else run["direction"]
    return output.in_zone(_cells(dict(run)), run["timezone"]) | {"direction": kind}


@app.command(
    "show", epilog=example("koppeling runs show 01J…", "koppeling runs show last --outcome failed --csv failed.csv")
)
def show_(
    *,
    run: RunId,
    outcome: Annotated[str | None, typer.Option("--outcome", help="Only lines that came to this.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Only lines with this reason (a code).")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only lines of this action: create, link, …")] = None,
    event: Annotated[str | None, typer.Option("--event", help="Only lines of this AFAS event.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help=f"Write all these lines to this CSV file. {AS_EXCEL}")
    ] = None,
    watch: Watch = False,
    limit: Limit = 1000,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """Show a run: what it read, planned and did, line by line, before and after.

    Names and addresses show only in a preview or a dry run, which are there to be looked at.
    """
    chosen = LineFilters(outcome=outcome, reason=reason, action=action, event=event)
    if watch and (json or csv):
        raise Problem("watch_alone")
    with at_database():
        if csv:
            one = lines.lines(run, chosen, limit=1)["run"]  # by the next page, "last" may be another one
            every = csv_file.every(lambda size, after: _page(one, chosen, size, after), cursor)
            csv_file.write(csv, lines.COLUMNS, every, language_of(None))
            return

        def draw() -> None:
            found = history.show(run, chosen, limit=limit, cursor=cursor)
            show(found, json, _show_run, page=f"/runs/{found['id']}")

        shown_again(draw, watch)


def _page(run: str, chosen: LineFilters, size: int, after: str | None) -> Page:
    found = lines.lines(run, chosen, limit=size, cursor=after)
    return Page([dict(line) for line in found["items"]], found["next"])


def _show_run(found: RunShown) -> None:
    listed = ("failure", "courses", "unlinked", "lines", "listed", "holds", "next", "run")
    shown = output.in_zone(dict(found), found["timezone"])
    output.show_fields(shown | {"outcomes": output.counted(found["outcomes"])}, skip=listed)
    if found["failure"]:
        output.say(f"{found['failure']['cause']} {found['failure']['action']}")
    for line in plan_view.unlinked_events(found):
        output.say(line)
    for title in ("courses", "holds", "listed"):
        if found[title]:
            output.say("")
            keys = list(dict.fromkeys(key for one in found[title] for key in one))
            output.show_table(keys, [[one.get(key) for key in keys] for one in found[title]], title=title)
    if found["lines"]:
        output.say("")
        columns = ("event_id", "internal_id", "action", "outcome", "reason", "what", "hold", "settled_at")
        rows = [output.in_zone(_shown_line(line), found["timezone"]) for line in found["lines"]]
        output.show_table(columns, [[row[column] for column in columns] for row in rows], title="lines")
    show_next(found["next"])


def _shown_line(line: RunLine) -> dict[str, object]:
    """A line as a row; of names that don't show, that they changed."""
    told = [plan_view.difference(line["before"], line["after"])]
    hidden = [name for name in line["changes"] if name not in (line["after"] or {})]
    told += [f"{name} changes" for name in hidden]
    return dict(line) | {"what": ", ".join(filter(None, told))}


@app.command("stop", epilog=example("koppeling runs stop 01J…"))
def stop(run: RunId, who: Who = None, json: Json = False) -> None:
    """Stop a run: nothing new of it begins. What it did stays, the next run does the rest."""
    with at_database():
        found = history.stop(run, who=named(who))
    before = found["status_before"]
    late = by(found.get("first"))
    said = f"{run} was over already: {before}{late}."
    if found["stopping"]:
        said = f"{run} was told to stop already{late}." if late else f"{run} is told to stop (it was {before})."
    show(found, json, lambda _: output.say(said))


@app.command("again", epilog=example("koppeling runs again 01J…"))
def again(run: RunId, who: Who = None, json: Json = False) -> None:
    """Ask for the same run once more; of a preview, for a new preview."""
    from ops.runs import start  # noqa: PLC0415  it brings the ledger, and most verbs of runs need none

    with at_database():
        found = start.again(run, who=named(who))
    show(found, json, lambda _: output.say(f"Run {found['run']} is asked for."))
