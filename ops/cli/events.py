"""``koppeling events``."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.common import Cursor, Json, Limit, Slug, at_database, example, group, show_next
from ops.tenants import events
from ops.terminal import output
from ops.terminal.plan_view import WHY_UNLINKED

app = group()


@app.command("events", epilog=example("koppeling events acme", "koppeling events acme --unlinked"))
def events_(
    slug: Slug,
    unlinked: Annotated[bool, typer.Option("--unlinked", help="Only events that are not linked.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List the events of AFAS with their people: linked or not, and why."""
    with at_database(keys=True):
        found, failed = events.listing(slug, limit, cursor, unlinked=unlinked)
    if json:
        output.show_json(found.document() | {"failed": failed})
    else:
        rows = [
            [
                one["event_id"],
                one["people"],
                ", ".join(one["values"].values()),
                f"yes, by a {one['by']}" if one["linked"] else "no",
                one["target"],
                _because(one["why"], one["column"]),
            ]
            for one in found.items
        ]
        output.show_table(["event", "people", "says", "linked", "target", "because"], rows)
        show_next(found.next)
    if failed:
        output.say(f"AFAS could not be read to the end ({failed}): there may be more events.", error=True)
        raise typer.Exit(1)


def _because(why: str | None, column: str | None) -> str:
    said = WHY_UNLINKED.get(why, why) if why else ""
    return f"{said}: {column}" if column else said
