"""``koppeling people …``"""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.common import (
    Csv,
    Cursor,
    Json,
    Limit,
    TenantFilter,
    at_database,
    example,
    group,
    show,
    show_next,
    write_csv,
)
from ops.listing import Page
from ops.people.search import Found, search
from ops.terminal import output

app = group("People of AFAS: find them, in all tenants.")
COLUMNS = ("tenant", "internal_id", "external_id", "name", "email", "pluvo_id", "state")


@app.command("search", epilog=example('koppeling people search "jansen bakkerij"'))
def search_(
    *,
    text: Annotated[str, typer.Argument(help="A name or parts of it, an address, or an id of AFAS or Pluvo.")],
    tenant: TenantFilter = None,
    csv: Csv = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """Find people by id, address or parts of their name; `explain` then tells about one."""

    def listed(size: int, after: str | None) -> Page:
        part = search(text, tenant=tenant, limit=size, cursor=after)
        return Page([dict(one) for one in part["items"]], part["next"])

    with at_database():
        if csv:
            write_csv(csv, COLUMNS, listed, cursor)
            return
        found = search(text, tenant=tenant, limit=limit, cursor=cursor)
    show(found, json, _show_found)


def _show_found(found: Found) -> None:
    if found["items"]:
        output.show_table(COLUMNS, [[one.get(column) for column in COLUMNS] for one in found["items"]])
    else:
        output.say("Nobody fits.")
    show_next(found["next"])
    if found["more_than"]:
        output.say(f"More than {found['more_than']} people fit, and not all of them are listed: say more of the name.")
    if found["names"] == "beginnings":
        output.say("Names are found by their beginning only: docs/operations.md says what the database lacks.")
