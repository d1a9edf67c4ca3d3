"""``koppeling holds …``"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ops import holds
from ops.cli.common import (
    Csv,
    Cursor,
    Everything,
    Json,
    Limit,
    TenantFilter,
    Who,
    at_database,
    example,
    group,
    named,
    show,
    show_next,
    show_page,
    wanted_state,
    write_csv,
)
from ops.language import Language, language_of, say
from ops.listing import Page, Row
from ops.terminal import csv_file, guards, output, plan_view
from ops.terminal.csv_file import AS_EXCEL

app = group("What a guard held back: look, then release or refuse.")
HoldId = Annotated[str, typer.Argument(help="A hold's id, the beginning of one, or last.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
COLUMNS = ("id", "tenant", "guard", "event_id", "state", "lines", "created_at", "expires_at")
CSV_COLUMNS = ("event_id", "internal_id", "action", "before", "after", "state", "reason", "absent_since", "decided_at")
Events = Annotated[list[str] | None, typer.Option("--event", help="Only lines of this event; may be repeated.")]
People = Annotated[list[str] | None, typer.Option("--person", help="Only of this person; may be repeated.")]
Plan = Annotated[str | None, typer.Option("--plan", help="Only while the hold is of this plan (its plan_hash).")]


@app.command("list", epilog=example("koppeling holds list", "koppeling holds list --all --tenant acme"))
def list_(
    *,
    tenant: TenantFilter = None,
    state: Annotated[str | None, typer.Option("--state", help="open, released, cleared, expired or refused.")] = None,
    everything: Everything = False,
    csv: Csv = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List what is held, newest first: what is still open, unless another state is asked for."""
    wanted = wanted_state(state, everything)
    listed = partial(holds.listing, tenant=tenant, state=wanted)
    with at_database():
        if csv:
            write_csv(csv, COLUMNS, listed, cursor)
            return
        found = listed(limit, cursor)
    if not json:
        found = Page([output.in_zone(hold, hold["timezone"]) for hold in found.items], found.next)
    show_page(found, json, COLUMNS, "Nothing is held." if wanted == "open" else "There are no holds.")


@app.command("show", epilog=example("koppeling holds show 01J…", "koppeling holds show last --csv lines.csv"))
def show_(
    *,
    hold: HoldId,
    event: Annotated[str | None, typer.Option("--event", help="Only lines of this event.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only lines that are open, released, dropped, cleared, …")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help=f"Write these lines to a CSV file. {AS_EXCEL}")] = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """Show a hold: what it counted, the last readings, and the lines it keeps back, before and after."""

    with at_database():
        if csv:
            one = holds.show(hold, limit=1)["id"]  # by the next page, "last" may be another one

            def page(size: int, after: str | None) -> Page:
                found = holds.show(one, event=event, state=state, limit=size, cursor=after)
                return Page(found["lines"], found["next"])

            csv_file.write(csv, CSV_COLUMNS, csv_file.every(page, cursor), language_of(None))
            return
        found = holds.show(hold, event=event, state=state, limit=limit, cursor=cursor)
    show(found, json, _show_hold, page=f"/holds/{found['id']}")


def _show_hold(found: Row) -> None:
    language = language_of(None)
    told = output.in_zone(found, found["timezone"])
    output.show_fields(told, skip=("lines", "events", "reads", "measure", "next", "timezone"))
    output.say(f"{found['guard']}: {guards.arithmetic(found['guard'], found['measure'], language)}")
    if found["reads"]:
        output.say("")
        reads = [output.in_zone(read, found["timezone"]) for read in found["reads"]]
        output.show_table(("at", "rows", "snapshot"), [[one["at"], one["rows"], one["snapshot"]] for one in reads])
    output.say("")
    columns = ("event_id", "internal_id", "action", "what", "state", "reason")
    lines = [line | {"what": plan_view.difference(line["before"], line["after"])} for line in found["lines"]]
    output.show_table(columns, [[line[column] for column in columns] for line in lines])
    show_next(found["next"])


@app.command("preview", epilog=example("koppeling holds preview 01J…"))
def preview(hold: HoldId, event: Events = None, person: People = None, json: Json = False) -> None:
    """Say what a release would do now: who goes on, and who would be dropped because something changed."""
    with at_database():
        found = holds.preview(hold, events=event or [], persons=person or [])
    show(found, json, lambda document: _show_outlook(document, language_of(None)))


def _show_outlook(found: Any, language: Language) -> None:
    output.say(say("hold.outlook", language, going=found["going"], dropped=sum(found["dropped"].values())))
    for line in found["lines"]:
        code = line["why"]
        why = f"{code}: {say(f'reason.{code}', language)}" if code else say("hold.goes_on", language)
        output.say(f"  {line['event_id']}  {line['internal_id']}  {line['action']}  {why}")


@app.command("release", epilog=example('koppeling holds release 01J… --event 340 --reason "event was cancelled"'))
def release(
    *,
    hold: HoldId,
    reason: Reason,
    event: Events = None,
    person: People = None,
    line: Annotated[
        list[int] | None, typer.Option("--line", help="Only this line (its id in JSON); may be repeated.")
    ] = None,
    plan: Plan = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Let held lines go on, all or some. Each is checked again first: who came back is dropped."""
    with at_database():
        done = holds.release(
            hold,
            events=event or [],
            persons=person or [],
            lines=line or [],
            plan_hash=plan,
            reason=reason,
            who=named(who),
        )
    said = f"{done['released']} released, {done['dropped']} dropped, {done['open']} still held."
    show(done, json, lambda _: output.say(said))


@app.command("refuse", epilog=example('koppeling holds refuse 01J… --reason "the filter in AFAS was wrong"'))
def refuse(*, hold: HoldId, reason: Reason, plan: Plan = None, who: Who = None, json: Json = False) -> None:
    """Never do what is held; the same lines are not raised again."""
    with at_database():
        done = holds.refuse(hold, plan_hash=plan, reason=reason, who=named(who))
    show(done, json, lambda _: output.say(f"{done['refused']} refused."))
