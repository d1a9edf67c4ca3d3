"""``koppeling dead-letters …``"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from models.session import transaction
from ops.cli.common import (
    Cursor,
    Json,
    Limit,
    TenantFilter,
    Who,
    at_database,
    example,
    group,
    instant,
    named,
    show,
)
from ops.dead_letters import inbox, replay_batch
from ops.dead_letters import replay as replays
from ops.dead_letters.inbox import Filters
from ops.problems import Problem
from ops.servers import environment
from ops.terminal import output
from settings import parse_duration
from workers.process import heartbeat

app = group("Messages that gave up: look, replay, discard.")
Ids = Annotated[list[str] | None, typer.Argument(help="Dead letters' ids.", show_default=False)]
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
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List dead letters: one by one with --json, else grouped by what went wrong."""
    filters = Filters(tenant, kind, error, instant(since, "--since"), instant(until, "--until"), state)
    with at_database():
        if json:
            output.show_json(inbox.listing(filters, limit, cursor).document())
            return
        found = inbox.groups(filters, limit)
        newest = inbox.listing(filters, 20)
    if not found:
        output.say("There are no dead letters.")
        return
    output.show_table(GROUP_COLUMNS, [[row[column] for column in GROUP_COLUMNS] for row in found])
    output.say("")
    output.show_table(COLUMNS, [[row[column] for column in COLUMNS] for row in newest.items], title="newest")


@app.command("show", epilog=example("koppeling dead-letters show 01J…"))
def show_(*, dead_letter: Annotated[str, typer.Argument(help="Its id.")], json: Json = False) -> None:
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
    rate: Annotated[float, typer.Option("--rate", help="At most so many a second.")] = replay_batch.RATE,
    max_failures: Annotated[
        int, typer.Option("--max-failures", help="Stop after so many failures in a row.")
    ] = replay_batch.MAX_FAILURES,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all are done, dead again or waiting.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait at most.")] = "30m",
    who: Who = None,
    json: Json = False,
) -> None:
    """Send dead letters again, for the newest desired state: one as a canary, then the rest."""
    filters = Filters(tenant, kind, error, instant(since, "--since"), instant(until, "--until"))
    if ids and (filters.given or everything):
        raise Problem("Name dead letters or give filters, not both.")
    try:
        seconds = parse_duration(timeout)
    except ValueError as wrong:
        raise Problem(f"--timeout: {wrong}") from None
    with at_database():
        chosen = inbox.choose(ids or [], filters, everything=everything)
        if dry_run:
            with transaction() as connection:
                found = {"batch": None, "state": "dry_run", "lines": replays.preview(connection, chosen)}
        else:
            found = _send(chosen, rate=rate, max_failures=max_failures, wait=wait, seconds=seconds, who=named(who))
    show(found, json, _show_lines)
    raise typer.Exit(_exit_code(found, wait))


def _send(chosen: list[str], *, rate: float, max_failures: int, wait: bool, seconds: int, who: str) -> dict[str, Any]:
    """Drive the batch: with --wait until all is settled; without it as long as no canary has to be waited for."""
    with transaction() as connection:
        judged = replays.preview(connection, chosen)
        workers = heartbeat.live_workers(connection)
    to_do = [line["id"] for line in judged if line["result"] in (replays.WILL_DO, replays.SUPERSEDED)]
    untouched = [line for line in judged if line["id"] not in to_do]
    if not to_do:
        return {"batch": None, "state": "done", "lines": judged}
    if wait and not workers:
        raise Problem(environment.NO_WORKER)
    batch = replay_batch.create(to_do, rate=rate, max_failures=max_failures, who=who)
    if workers or wait:
        told, over = replay_batch.drive(batch, until_settled=wait, timeout_seconds=seconds, watch=lambda told: None)
    else:
        told, over = replay_batch.advance(batch) or {"state": "running"}, True
    lines = sorted([*replay_batch.lines(batch), *untouched], key=lambda line: str(line["id"]))
    return {"batch": batch, "state": told["state"], "lines": lines, "timed_out": not over}


def _show_lines(found: dict[str, Any]) -> None:
    if not found["lines"]:
        output.say("There is nothing to replay.")
        return
    output.show_table(LINE_COLUMNS, [[line.get(column) for column in LINE_COLUMNS] for line in found["lines"]])
    if found["state"] == "stopped":
        output.say("Stopped: what was sent failed again. The rest stays as it is.")
    if found["state"] == "running":
        output.say("One is sent; the rest follows when a worker has done it.")


def _exit_code(found: dict[str, Any], wait: bool) -> int:
    results = {line["result"] for line in found["lines"]}
    if found["state"] == "stopped" or (wait and "failed" in results):
        return 1
    waits = {"pending", "under_way", "not_sent"} if wait else set()
    return 3 if results & (waits | {replays.STILL_BLOCKED}) or found.get("timed_out") else 0


@app.command("discard", epilog=example('koppeling dead-letters discard 01J… --reason "left the company"'))
def discard(
    *,
    ids: Annotated[list[str], typer.Argument(help="Dead letters' ids.")],
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
    with at_database():
        stopped = replay_batch.cancel(batch)
    show(
        {"batch": batch, "cancelled": stopped}, json, lambda _: output.say("Cancelled." if stopped else "It was over.")
    )
