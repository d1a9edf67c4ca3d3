"""``koppeling completions list``, ``show``, ``close`` and ``retry``; the run itself is in ``sync.py``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ops import completions
from ops.cli.common import (
    Cursor,
    InLanguage,
    Json,
    Limit,
    Who,
    at_database,
    example,
    group,
    named,
    show,
    show_page,
)
from ops.language import Language, language_of, say
from ops.listing import Row
from ops.terminal import csv_file, output

app = group("Bring completion dates from Pluvo to AFAS. With list, show, close or retry: those that there are.")
Which = Annotated[
    list[str],
    typer.Argument(help="A completion's number; or tenant, internal id and event.", show_default=False),
]
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        help="pending, unverified, conflict, orphan, no_date, rejected, failed, closed, verified or unchanged.",
    ),
]
COLUMNS = ("id", "tenant", "event_id", "internal_id", "state", "completed_on", "found", "reason", "title")
CSV_COLUMNS = (
    *("id", "tenant", "event_id", "internal_id", "pluvo_id", "state", "reason", "completed_on", "found", "field"),
    *("title", "changed_at", "closed_by", "closed_reason", "sentence", "to_do"),
)


@app.command(
    "list", epilog=example("koppeling completions list acme --state conflict", "koppeling completions list --csv c.csv")
)
def list_(
    *,
    slug: Annotated[str | None, typer.Argument(help="Only of this tenant.", show_default=False)] = None,
    state: State = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are settled or closed.")] = False,
    event: Annotated[str | None, typer.Option("--event", help="Only of this event.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help=f"Write them, older ones too, to this CSV file. {csv_file.AS_EXCEL}")
    ] = None,
    language: InLanguage = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List completions that are not settled, newest first: what is to be written, what is not, and why."""
    listed = partial(completions.listing, tenant=slug, state=state, everything=everything, event=event)
    chosen = language_of(language)
    with at_database():
        found = listed(limit, cursor)
        if csv:
            every = completions.sentences(csv_file.every(listed, cursor), chosen)
            csv_file.write(csv, CSV_COLUMNS, every, chosen)
    show_page(found, json, COLUMNS, say("completion.none", chosen))


@app.command("show", epilog=example("koppeling completions show acme 80 340", "koppeling completions show 17"))
def show_(which: Which, language: InLanguage = None, json: Json = False) -> None:
    """Show a completion: where it stands and what to do, its lines in runs, its calls, what was decided about it."""
    with at_database():
        found = completions.show(which)
    show(found, json, partial(_show_one, language_of(language)), page=f"/completions/{found['id']}")


def _show_one(language: Language, found: Row) -> None:
    lists = ("lines", "calls", "dead_letters", "decisions", "later")
    output.show_fields(found, skip=lists)
    output.say("")
    output.say(completions.told(found).say(language))
    output.say(f"→ {completions.to_do(found).say(language)}")
    for name in lists:
        if found[name]:
            output.say("")
            columns = list(found[name][0])
            output.show_table(columns, [[one[column] for column in columns] for one in found[name]], title=name)


@app.command("close", epilog=example('koppeling completions close acme 80 340 --reason "AFAS has the right date"'))
def close(
    *,
    which: Which,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the completion.")],
    who: Who = None,
    language: InLanguage = None,
    json: Json = False,
) -> None:
    """Accept that AFAS keeps what it has: it alarms nobody, and is open again once anything of it changes."""
    with at_database():
        chosen = completions.find_one(which)
        seen = {chosen["id"]: chosen["basis"]}
        done = completions.close([chosen["id"]], reason=reason, seen=seen, who=named(who))
    show(done, json, lambda _: output.say(say("completion.closed", language_of(language), count=done["closed"])))


@app.command("retry", epilog=example("koppeling completions retry acme 80 340"))
def retry(*, which: Which, who: Who = None, language: InLanguage = None, json: Json = False) -> None:
    """Try one again now: AFAS is looked at first, and a date of a human is never written over."""
    with at_database():
        done = completions.retry(completions.find_one(which)["id"], who=named(who))
    show(done, json, lambda _: output.say(say(f"completion.{done['result']}", language_of(language))))
