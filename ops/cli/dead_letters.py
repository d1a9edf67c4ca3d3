"""``koppeling dead-letters …``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.common import (
    Cursor,
    Everything,
    Json,
    Limit,
    TenantFilter,
    Who,
    at_database,
    duration,
    example,
    group,
    instant,
    named,
    show,
    wanted_state,
)
from ops.dead_letters import MAX_FAILURES, RATE, inbox
from ops.dead_letters.inbox import Filters
from ops.terminal import output

if TYPE_CHECKING:
    from ops.dead_letters import replay_batch

app = group("Messages that gave up: look, replay, discard.")
Ids = Annotated[list[str] | None, typer.Argument(help="Dead letters' ids, or beginnings of them.", show_default=False)]
KindOption = Annotated[str | None, typer.Option("--kind", help="enrollment.upsert, completion.write_back, …")]
Error = Annotated[str | None, typer.Option("--error", help="An error's code, or a fingerprint.")]
Since = Annotated[str | None, typer.Option("--since", help="Failed last at this time or later.")]
Until = Annotated[str | None, typer.Option("--until", help="Failed last before this time.")]
GROUP_COLUMNS = ("count", "error", "message", "kind", "tenant", "last_failed_at", "fingerprint")
COLUMNS = ("id", "tenant", "kind", "internal_id", "event_id", "error", "state", "last_failed_at")
LINE_COLUMNS = ("id", "tenant", "kind", "internal_id", "event_id", "error", "result", "reason")


@app.command("list", epilog=example("koppeling dead-letters list --tenant acme"))
def list_(
    *,
    tenant: TenantFilter = None,
    kind: KindOption = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[str | None, typer.Option("--state", help="open, replayed, superseded or discarded.")] = None,
    everything: Everything = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List open dead letters (or others): one by one with --json, else grouped by what went wrong."""
    wanted = wanted_state(state, everything)
    filters = Filters(tenant, kind, error, instant(since, "--since"), instant(until, "--until"), wanted)
    with at_database():
        if json:
            output.show_json(inbox.listing(filters, limit, cursor).document())
            return
        found = inbox.groups(filters, limit)
        newest = inbox.listing(filters, 20)
    if not found:
        output.say("There are no open dead letters." if wanted == "open" else "There are no dead letters.")
        return
    output.show_table(GROUP_COLUMNS, [[row[column] for column in GROUP_COLUMNS] for row in found])
    output.say("")
    output.show_table(COLUMNS, [[row[column] for column in COLUMNS] for row in newest.items], title="newest")


@app.command("show", epilog=example("koppeling dead-letters show 01J…"))
def show_(
    *, dead_letter: Annotated[str, typer.Argument(help="Its id, the beginning of it, or last.")], json: Json = False
) -> None:
    """Show a dead letter: who it is about, every attempt, the last call (masked)."""
    with at_database():
        found = inbox.show(dead_letter)
    show(found, json, output.show_fields)


@app.command(
    "replay", epilog=example("koppeling dead-letters replay 01J…", "koppeling dead-letters replay --all --wait")
)
def replay(
    *,
    ids: Ids = None,
    tenant: TenantFilter = None,
    kind: KindOption = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="All open dead letters.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say per line what would be done, do nothing.")] = False,
    rate: Annotated[float, typer.Option("--rate", help="At most so many a second.")] = RATE,
    max_failures: Annotated[
        int, typer.Option("--max-failures", help="Stop after so many failures in a row.")
    ] = MAX_FAILURES,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all are done, dead again or waiting.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait at most.")] = "30m",
    who: Who = None,
    json: Json = False,
) -> None:
    """Send dead letters again, for the newest desired state: one as a canary, then the rest."""
    from ops.dead_letters import replay_batch  # noqa: PLC0415  replaying is large, and looking needs none of it

    filters = Filters(tenant, kind, error, instant(since, "--since"), instant(until, "--until"))
    seconds = duration(timeout, "--timeout")
    with at_database():
        chosen = inbox.choose(ids or [], filters, everything=everything)
        if dry_run:
            found = replay_batch.preview(chosen)
        else:
            found = replay_batch.replay_now(
                chosen,
                rate=rate,
                max_failures=max_failures,
                wait=wait,
                timeout_seconds=seconds,
                who=named(who),
            )
    show(found, json, _show_lines)
    raise typer.Exit(replay_batch.exit_code(found, waited=wait))


def _show_lines(found: replay_batch.Replayed) -> None:
    if not found["lines"]:
        output.say("There is nothing to replay.")
        return
    output.show_table(LINE_COLUMNS, [[line.get(column) for column in LINE_COLUMNS] for line in found["lines"]])
    if found["state"] == "stopped":
        output.say("Stopped: what was sent failed again. The rest stays as it is.")
    if found["state"] == "running":
        output.say("One is sent; the rest follows when a worker has done it.")


@app.command("discard", epilog=example('koppeling dead-letters discard 01J… --reason "left the company"'))
def discard(
    *,
    ids: Annotated[list[str], typer.Argument(help="Dead letters' ids, or beginnings of them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the dead letter.")],
    who: Who = None,
    json: Json = False,
) -> None:
    """Close dead letters without sending them again."""
    with at_database():
        done = inbox.discard(ids, reason=reason, who=named(who))
    said = f"{done['discarded']} discarded" + (f", {done['settled']} settled before" if done["settled"] else "") + "."
    show(done, json, lambda _: output.say(said))


@app.command("cancel", epilog=example("koppeling dead-letters cancel 01J…"))
def cancel(
    *, batch: Annotated[str, typer.Argument(help="A batch's id, as replay shows it.")], json: Json = False
) -> None:
    """Send nothing more of a replay that is still under way."""
    from ops.dead_letters import replay_batch  # noqa: PLC0415  as above

    with at_database():
        stopped = replay_batch.cancel(batch)
    show(
        {"batch": batch, "cancelled": stopped}, json, lambda _: output.say("Cancelled." if stopped else "It was over.")
    )
