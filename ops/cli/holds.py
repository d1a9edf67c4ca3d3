"""``koppeling holds …``"""

from __future__ import annotations

from typing import Annotated

import typer

from ops import holds
from ops.cli.common import (
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
    show_page,
    wanted_state,
)
from ops.listing import Row
from ops.terminal import output

app = group("What a guard held back: look, then release or refuse.")
HoldId = Annotated[str, typer.Argument(help="A hold's id, the beginning of one, or last.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
COLUMNS = ("id", "tenant", "guard", "event_id", "state", "lines", "created_at", "expires_at")


@app.command("list", epilog=example("koppeling holds list", "koppeling holds list --all --tenant acme"))
def list_(
    *,
    tenant: TenantFilter = None,
    state: Annotated[str | None, typer.Option("--state", help="open, released, cleared, expired or refused.")] = None,
    everything: Everything = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List what is held, newest first: what is still open, unless another state is asked for."""
    wanted = wanted_state(state, everything)
    with at_database():
        found = holds.listing(limit, cursor, tenant=tenant, state=wanted)
    show_page(found, json, COLUMNS, "Nothing is held." if wanted == "open" else "There are no holds.")


@app.command("show", epilog=example("koppeling holds show 01J…"))
def show_(hold: HoldId, json: Json = False) -> None:
    """Show a hold with every line it keeps back, before and after."""
    with at_database():
        found = holds.show(hold)
    show(found, json, _show_hold)


def _show_hold(found: Row) -> None:
    output.show_fields(found, skip=("lines",))
    output.say("")
    columns = ("event_id", "internal_id", "action", "before", "after", "state")
    output.show_table(columns, [[line[column] for column in columns] for line in found["lines"]])


@app.command("release", epilog=example('koppeling holds release 01J… --event 340 --reason "event was cancelled"'))
def release(
    *,
    hold: HoldId,
    reason: Reason,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Only lines of this event; may be repeated.")
    ] = None,
    person: Annotated[list[str] | None, typer.Option("--person", help="Only of this person; may be repeated.")] = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Let held lines go on, all or some. Each is checked again first: who came back is dropped."""
    with at_database():
        done = holds.release(hold, events=event or [], persons=person or [], reason=reason, who=named(who))
    said = f"{done['released']} released, {done['dropped']} dropped, {done['open']} still held."
    show(done, json, lambda _: output.say(said))


@app.command("refuse", epilog=example('koppeling holds refuse 01J… --reason "the filter in AFAS was wrong"'))
def refuse(hold: HoldId, reason: Reason, who: Who = None, json: Json = False) -> None:
    """Never do what is held; the same lines are not raised again."""
    with at_database():
        done = holds.refuse(hold, reason=reason, who=named(who))
    show(done, json, lambda _: output.say(f"{done['refused']} refused."))
