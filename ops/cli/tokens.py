"""``koppeling tokens …``"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from ops import tokens
from ops.cli.common import (
    Csv,
    Cursor,
    Json,
    Limit,
    Who,
    at_database,
    by,
    duration,
    example,
    group,
    named,
    show,
    show_page,
    write_csv,
)
from ops.terminal import output
from ops.tokens import TokenMade

app = group("Tokens for the API: list, make, revoke.")
COLUMNS = ("id", "name", "begins", "role", "tenants", "state", "expires_at", "last_used_at")


@app.command("list", epilog=example("koppeling tokens list"))
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that open nothing any more.")] = False,
    csv: Csv = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List tokens, newest first."""
    listed = partial(tokens.listing, everything=everything)
    with at_database():
        if csv:
            write_csv(csv, COLUMNS, listed, cursor)
            return
        found = listed(limit, cursor)
    show_page(found, json, COLUMNS, "There are no tokens.")


@app.command("create", epilog=example("koppeling tokens create reports --role viewer --expires 365d"))
def create(
    *,
    name: Annotated[str, typer.Argument(help="What it is for, in a word.", show_default=False)],
    role: Annotated[str, typer.Option("--role", help="viewer, operator or admin.", show_default=False)],
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", help="Only of this tenant; may be repeated.", show_default="every tenant"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="Until when: 90d, 365d, ….", show_default="until it is revoked")
    ] = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Make a token and print it, this once."""
    lasts = timedelta(seconds=duration(expires, "--expires")) if expires is not None else None
    with at_database():
        made = tokens.create(name, role, tenant, lasts, who=named(who))
    show(made, json, _show_made)


def _show_made(made: TokenMade) -> None:
    output.say(made["token"])
    output.say("It is not shown again. Send it as the header `Authorization: Bearer …`.", error=True)


@app.command("revoke", epilog=example("koppeling tokens revoke 3"))
def revoke(
    token: Annotated[int, typer.Argument(help="Its number, as `koppeling tokens list` shows it.", min=1, max=2**62)],
    who: Who = None,
    json: Json = False,
) -> None:
    """Let a token open nothing any more, at once."""
    with at_database():
        done = tokens.revoke(token, who=named(who))
    show(done, json, lambda _: output.say(f"{done['name']} opens nothing any more{by(done.get('first'))}."))
