"""``koppeling replays …``"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.common import (
    Csv,
    Cursor,
    Json,
    Limit,
    TenantFilter,
    Who,
    at_database,
    by,
    example,
    group,
    named,
    show,
    show_page,
    with_first,
    write_csv,
)
from ops.cli.dead_letters import (
    LINE_COLUMNS,
    AllOpen,
    Error,
    Fingerprint,
    Ids,
    KindOption,
    Since,
    Until,
    filters_of,
)
from ops.terminal import output

if TYPE_CHECKING:
    from ops.dead_letters.replays import Previewed, Shown

app = group("Replays of many dead letters: what one would do, how it goes; cancel it.")
Batch = Annotated[str, typer.Argument(help="A replay's id, the beginning of one, or last.")]
COLUMNS = ("id", "state", "letters", "position", "rate", "started_by", "reason", "created_at", "finished_at")


@app.command("list", epilog=example("koppeling replays list"))
def list_(
    *,
    state: Annotated[str | None, typer.Option("--state", help="running, done, stopped or cancelled.")] = None,
    csv: Csv = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List replays, newest first."""
    from ops.dead_letters import replays  # noqa: PLC0415  replaying is large, and --help needs none of it

    listed = partial(replays.listing, state=state)
    with at_database():
        if csv:
            write_csv(csv, COLUMNS, listed, cursor)
            return
        found = listed(limit, cursor)
    show_page(found, json, COLUMNS, "There were no replays.")


@app.command("show", epilog=example("koppeling replays show last"))
def show_(*, batch: Batch, limit: Limit = 100, cursor: Cursor = None, json: Json = False) -> None:
    """Show how a replay goes: its canary, what is done, what failed again and why. Sends nothing."""
    from ops.dead_letters import replays  # noqa: PLC0415  as above

    with at_database():
        found = replays.show(batch, limit=limit, cursor=cursor)
    show(found, json, _show_batch, page=f"/replays/{found['id']}")


def _show_batch(found: Shown) -> None:
    output.show_fields(found, skip=("lines", "failures", "canary", "next"))
    if found["canary"]:
        output.say(f"canary: {found['canary']['id']}, {found['canary']['result']}")
    if found["failures"]:
        output.say("")
        columns = ("id", "again", "reason")
        output.show_table(columns, [[one.get(name) for name in columns] for one in found["failures"]], title="failed")
    output.say("")
    output.show_table(LINE_COLUMNS, [[line.get(column) for column in LINE_COLUMNS] for line in found["lines"]])
    if found["next"]:
        output.say(f"More: --cursor {found['next']}")


@app.command(
    "preview", epilog=example("koppeling replays preview --error no_room", "koppeling replays preview --all --json")
)
def preview(
    *,
    ids: Ids = None,
    tenant: TenantFilter = None,
    kind: KindOption = None,
    error: Error = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
    everything: AllOpen = False,
    json: Json = False,
) -> None:
    """Count what a replay would do with dead letters, and why not with others. Sends nothing."""
    from ops.dead_letters import inbox, replays  # noqa: PLC0415  as above

    filters = filters_of(tenant=tenant, kind=kind, error=error, fingerprint=fingerprint, since=since, until=until)
    with at_database():
        if ids:
            found = replays.preview(inbox.choose(ids, filters, everything=everything))
        else:
            found = replays.preview_matching(filters, everything=everything)
    show(found, json, _show_preview)


def _show_preview(found: Previewed) -> None:
    output.say(f"{found['goes']} of {found['letters']} would be sent again.")
    columns = ("count", "result", "reason", "first")
    if found["verdicts"]:
        output.show_table(columns, [[one.get(column) for column in columns] for one in found["verdicts"]])


@app.command("cancel", epilog=example("koppeling replays cancel last"))
def cancel(*, batch: Batch, who: Who = None, json: Json = False) -> None:
    """Send nothing more of a replay that is still under way."""
    from ops.dead_letters import replay_batch, replays  # noqa: PLC0415  as above

    with at_database():
        full = replays.full_id(batch)
        stopped = replay_batch.cancel(full, who=named(who))
        first = None if stopped else replay_batch.cancelled_by(full)
    said = "Cancelled." if stopped else f"It was over{by(first)}."
    show({"batch": full, "cancelled": stopped} | with_first(first), json, lambda _: output.say(said))
