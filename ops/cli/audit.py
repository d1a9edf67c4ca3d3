"""``koppeling audit``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ops import audit
from ops.cli.common import (
    Cursor,
    InLanguage,
    Json,
    Limit,
    TenantFilter,
    at_database,
    example,
    group,
    instant,
    show_page,
)
from ops.language import language_of
from ops.terminal import csv_file

app = group()
COLUMNS = ("id", "at", "who", "verb", "tenant", "subject", "reason", "detail")


@app.command("audit", epilog=example("koppeling audit --tenant acme --since 2026-11-01", "koppeling audit --csv a.csv"))
def audit_(
    *,
    tenant: TenantFilter = None,
    who: Annotated[str | None, typer.Option("--who", help="Only of this person.")] = None,
    verb: Annotated[str | None, typer.Option("--verb", help="Such as 'holds release', or holds for all of it.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Only about this: the id of what was changed.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="At this time or later.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this time.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help=f"Write them, older ones too, to this CSV file. {csv_file.AS_EXCEL}")
    ] = None,
    language: InLanguage = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List who did what, when and why: every verb that changed something, newest first."""
    listed = partial(
        audit.listing,
        tenant=tenant,
        who=who,
        verb=verb,
        subject=subject,
        since=instant(since, "--since"),
        until=instant(until, "--until"),
    )
    with at_database():
        found = listed(limit, cursor)
        if csv:
            csv_file.write(csv, COLUMNS, csv_file.every(listed, cursor), language_of(language))
    show_page(found, json, COLUMNS, "Nothing was changed.")
