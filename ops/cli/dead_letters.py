"""``koppeling dead-letters …``"""

from __future__ import annotations

import json as json_text
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.common import (
    Csv,
    Cursor,
    Everything,
    InLanguage,
    Json,
    Limit,
    TenantFilter,
    Watch,
    Who,
    Yes,
    at_database,
    by,
    confirm,
    duration,
    example,
    group,
    instant,
    named,
    show,
    shown_again,
    wanted_state,
    with_first,
    write_csv,
)
from ops.dead_letters import MAX_FAILURES, RATE, faults, inbox
from ops.dead_letters.inbox import Filters
from ops.language import Language, language_of, say
from ops.listing import Row
from ops.problems import Problem
from ops.terminal import output

if TYPE_CHECKING:
    from ops.dead_letters import replay_batch

app = group("Messages that gave up: look, replay, discard.")
Ids = Annotated[list[str] | None, typer.Argument(help="Dead letters' ids, or beginnings of them.", show_default=False)]
KindOption = Annotated[str | None, typer.Option("--kind", help="enrollment.upsert, completion.write_back, …")]
Error = Annotated[str | None, typer.Option("--error", help="An error's code, or a fingerprint.")]
Fingerprint = Annotated[
    str | None, typer.Option("--fingerprint", help="One kind of fault, as `list --group` names it.")
]
Since = Annotated[str | None, typer.Option("--since", help="Failed last at this time or later.")]
Until = Annotated[str | None, typer.Option("--until", help="Failed last before this time.")]
AllOpen = Annotated[bool, typer.Option("--all", help="All open dead letters.")]
TRIES = ("at", "code", "system", "status", "text")
GROUP_COLUMNS = ("count", "error", "message", "kind", "tenant", "last_failed_at", "fingerprint")
COLUMNS = ("id", "tenant", "kind", "internal_id", "event_id", "error", "state", "last_failed_at")
CSV_COLUMNS = (
    *("id", "tenant", "kind", "internal_id", "event_id", "error", "message", "afas_reference", "attempts"),
    *("first_failed_at", "last_failed_at", "state", "fingerprint", "run", "closed_at", "closed_by", "closed_reason"),
)
LINE_COLUMNS = ("id", "tenant", "kind", "internal_id", "event_id", "error", "result", "reason")


@app.command("list", epilog=example("koppeling dead-letters list --tenant acme"))
def list_(
    *,
    tenant: TenantFilter = None,
    kind: KindOption = None,
    error: Error = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[str | None, typer.Option("--state", help="open, replayed, superseded or discarded.")] = None,
    everything: Everything = False,
    grouped: Annotated[bool, typer.Option("--group", help="By kind of fault: what it means, what to do.")] = False,
    language: InLanguage = None,
    csv: Csv = None,
    watch: Watch = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List open dead letters (or others): one by one with --json, else grouped by what went wrong."""
    wanted = wanted_state(state, everything)
    filters = filters_of(
        tenant=tenant, kind=kind, error=error, fingerprint=fingerprint, since=since, until=until, state=wanted
    )
    if watch and (json or csv):
        raise Problem("watch_alone")
    with at_database():
        if csv:
            write_csv(csv, CSV_COLUMNS, partial(inbox.listing, filters), cursor)
            return
        if grouped:
            show({"items": inbox.groups(filters, limit), "next": None}, json, partial(_show_groups, language))
            return
        if json:
            output.show_json(inbox.listing(filters, limit, cursor).document())
            return
        shown_again(lambda: _show_list(filters, limit), watch)


def _show_list(filters: Filters, limit: int) -> None:
    found = inbox.groups(filters, limit)
    newest = inbox.listing(filters, 20)
    if not found:
        output.say("There are no open dead letters." if filters.state == "open" else "There are no dead letters.")
        return
    output.show_table(GROUP_COLUMNS, [[row[column] for column in GROUP_COLUMNS] for row in found])
    output.say("")
    output.show_table(COLUMNS, [[row[column] for column in COLUMNS] for row in newest.items], title="newest")


def filters_of(*, since: str | None, until: str | None, **given: str | None) -> Filters:
    """The filters that were typed."""
    return Filters(since=instant(since, "--since"), until=instant(until, "--until"), **given)


def _show_groups(wanted: Language | None, found: Row) -> None:
    language = language_of(wanted)
    for group_ in found["items"]:
        of = ", ".join(group_["slugs"]) + (", …" if group_["tenants"] > len(group_["slugs"]) else "")
        output.say(f"{group_['count']:>6}  {group_['error']}  {faults.cause(group_).say(language)}")
        output.say(f"        {group_['message']}")
        output.say(f"        → {faults.action(group_).say(language)}")
        since, last = output.ago(group_["first_failed_at"]), output.ago(group_["last_failed_at"])
        days = " ".join(map(str, group_["trend"]))
        output.say(f"        {of or '-'}; {group_['kind']}; {since} … {last}; {group_['fingerprint']}")
        output.say(f"        {say('letters.trend', language)}: {days}")
    if not found["items"]:
        output.say(say("letters.none", language))


@app.command("show", epilog=example("koppeling dead-letters show 01J…"))
def show_(
    *,
    dead_letter: Annotated[str, typer.Argument(help="Its id, the beginning of it, or last.")],
    language: InLanguage = None,
    json: Json = False,
) -> None:
    """Show a dead letter: who it is about, every attempt, the last call (masked)."""
    with at_database():
        found = inbox.show(dead_letter)
    show(found, json, partial(_show_letter, language), page=f"/dead-letters/{found['id']}")


def _show_letter(wanted: Language | None, found: Row) -> None:
    language = language_of(wanted)
    output.show_fields(found, skip=("history", "last_call", "again", "before"))
    output.say("")
    output.say(faults.cause(found).say(language))
    output.say(f"→ {faults.action(found).say(language)}")
    if found["again"]:
        output.say(
            say("letters.again", language, **{name: found["again"][name] for name in ("id", "error", "message")})
        )
    for before in found["before"]:
        output.say(say("letters.before", language, id=before["id"], state=before["state"], error=before["error"]))
    if found["history"]:
        output.say("")
        tried = [[one.get(column) for column in TRIES] for one in found["history"]]
        output.show_table(TRIES, tried, title=say("letters.attempts", language))
    if found["last_call"]:
        output.say("")
        output.say(say("letters.last_call", language))
        output.say(json_text.dumps(found["last_call"], indent=2, ensure_ascii=False))


@app.command(
    "replay", epilog=example("koppeling dead-letters replay 01J…", "koppeling dead-letters replay --all --wait")
)
def replay(
    *,
    ids: Ids = None,
    tenant: TenantFilter = None,
    kind: KindOption = None,
    error: Error = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
    everything: AllOpen = False,
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

    filters = filters_of(tenant=tenant, kind=kind, error=error, fingerprint=fingerprint, since=since, until=until)
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


@app.command(
    "discard",
    epilog=example(
        'koppeling dead-letters discard 01J… --reason "left the company"',
        'koppeling dead-letters discard --error no_room --tenant acme --reason "licence extended, next run does them"',
    ),
)
def discard(
    *,
    ids: Ids = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the dead letter.")],
    tenant: TenantFilter = None,
    kind: KindOption = None,
    error: Error = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
    everything: AllOpen = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many it would be, do nothing.")] = False,
    yes: Yes = False,
    who: Who = None,
    json: Json = False,
) -> None:
    """Close dead letters without sending them again: those named, or all open ones that fit the filters."""
    filters = filters_of(tenant=tenant, kind=kind, error=error, fingerprint=fingerprint, since=since, until=until)
    with at_database():
        if ids or not (filters.given or everything):
            chosen = inbox.choose(ids or [], filters, everything=everything)
            if dry_run:
                show({"count": len(chosen)}, json, lambda found: output.say(f"{found['count']} would be discarded."))
                return
            done = inbox.discard(chosen, reason=reason, who=named(who))
        else:
            found = inbox.count(filters)
            told = (
                f"{found['count']} open dead letters of {found['groups']} kinds of fault in {found['tenants']} tenants"
            )
            if dry_run or not found["count"]:
                show({**found}, json, lambda _: output.say(f"{told} would be discarded."))
                return
            confirm(f"Discard {told}?", yes)
            seen = replace(filters, upto=found["newest"])
            done = inbox.discard_matching(seen, everything=everything, reason=reason, who=named(who))
    show(done, json, _show_discarded)


def _show_discarded(done: inbox.Discarded) -> None:
    output.say(
        f"{done['discarded']} discarded" + (f", {done['settled']} settled before" if done["settled"] else "") + "."
    )
    for one in done["first"]:
        output.say(f"  {one['count']} {one['state']} by {one['who']}, {output.ago(one['at'])}")


@app.command("cancel", epilog=example("koppeling dead-letters cancel 01J…"))
def cancel(
    *,
    batch: Annotated[str, typer.Argument(help="A batch's id, as replay shows it.")],
    who: Who = None,
    json: Json = False,
) -> None:
    """Send nothing more of a replay that is still under way."""
    from ops.dead_letters import replay_batch  # noqa: PLC0415  as above

    with at_database():
        stopped = replay_batch.cancel(batch, who=named(who))
        first = None if stopped else replay_batch.cancelled_by(batch)
    said = "Cancelled." if stopped else f"It was over{by(first)}."
    show({"batch": batch, "cancelled": stopped} | with_first(first), json, lambda _: output.say(said))
