"""``koppeling batches …``"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from models.direction import Direction
from ops.cli.common import (
    Csv,
    Cursor,
    Json,
    Limit,
    Watch,
    at_database,
    example,
    group,
    show,
    show_next,
    shown_again,
    write_csv,
)
from ops.language import language_of, say
from ops.listing import Page, Row
from ops.problems import Problem
from ops.runs import batches
from ops.runs.batches import BatchShown
from ops.terminal import output

app = group("Runs that were started together: how far they are over all tenants, and which need somebody.")
BatchId = Annotated[str, typer.Argument(help="A batch's id, the beginning of one, or last.")]
COLUMNS = ("id", "direction", "started_by", "created_at", "finished_at", "tenants", "states")
OF_TENANT = ("tenant", "status", "reason", "rows", "planned", "applied", "outcomes", "seconds", "run")


@app.command("list", epilog=example("koppeling batches list", "koppeling batches list --direction completions"))
def list_(
    direction: Annotated[str | None, typer.Option("--direction", help="enrollments or completions.")] = None,
    csv: Csv = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List batches, newest first: `sync` and `completions` of several tenants, or --all, make one."""
    listed = partial(batches.listing, direction=direction)

    def cells(size: int, after: str | None) -> Page:
        found = listed(size, after)
        return Page([_cells(one) for one in found.items], found.next)

    with at_database():
        if csv:
            write_csv(csv, COLUMNS, cells, cursor)
            return
        found = listed(limit, cursor)
    if json:
        output.show_json(found.document())
        return
    if not found.items:
        output.say("There are no batches yet.")
        return
    output.show_table(COLUMNS, [[_cells(one)[name] for name in COLUMNS] for one in found.items])
    show_next(found.next)


def _cells(one: Row) -> Row:
    return one | {"states": output.counted(one["states"])}


@app.command("show", epilog=example("koppeling batches show last --watch"))
def show_(batch: BatchId, watch: Watch = False, limit: Limit = 1000, cursor: Cursor = None, json: Json = False) -> None:
    """Show a batch: how many tenants are done, what came of their rows, what needs somebody, and each tenant."""
    if watch and json:
        raise Problem("watch_alone")
    with at_database():

        def draw() -> None:
            found = batches.show(batch, limit=limit, cursor=cursor)
            show(found, json, _show_batch, page=f"/batches/{found['id']}")

        shown_again(draw, watch)


def _show_batch(found: BatchShown) -> None:
    fields = dict(found) | {
        "tenants": f"{found['done']} of {found['tenants']} done: {output.counted(found['states'])}",
        "outcomes": output.counted(found["outcomes"]),
        "calls": f"{found['calls']['afas']} AFAS, {found['calls']['pluvo']} Pluvo",
    }
    output.show_fields(fields, skip=("done", "states", "needs", "items", "next", "over"))
    verb = "sync" if found["direction"] == Direction.ENROLLMENTS else "completions"
    if found["needs"]:
        output.say("")
        output.say("Needs somebody:")
    for one in found["needs"]:
        said = say(
            f"hint.{one['code']}", language_of(None), slug=one["tenant"], run=one["run"], count=one["count"], verb=verb
        )
        output.say(said)
    output.say("")
    shown = [{**one, "outcomes": output.counted(one["outcomes"])} for one in found["items"]]
    output.show_table(OF_TENANT, [[one[name] for name in OF_TENANT] for one in shown])
    show_next(found["next"])
