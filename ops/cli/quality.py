"""``koppeling quality``."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from ops import quality
from ops.alerts.verbs import mail_quality
from ops.cli.common import InLanguage, Json, Slug, at_database, example, group, show
from ops.language import Language, language_of, say
from ops.terminal import csv_file, output

app = group()
Csv = Annotated[Path | None, typer.Option("--csv", help=f"Write all of it to a CSV file. {csv_file.AS_EXCEL}")]
SHOWN = 20  # of a kind; a file has all of them
COLUMNS = ("event_id", "internal_id", "external_id", "name", "value")


@app.command("quality", epilog=example("koppeling quality acme", "koppeling quality acme --csv quality.csv"))
def quality_(
    slug: Slug,
    csv: Csv = None,
    mail: Annotated[
        bool, typer.Option("--mail", help="Mail it, by ids alone, to those in quality_mail of [tenants.alerts].")
    ] = False,
    language: InLanguage = None,
    json: Json = False,
) -> None:
    """List what is to be put right in AFAS, of what the last runs stored: who, in which event, and what to do."""
    chosen = language_of(language)
    with at_database():
        found = quality.document(slug)
        mailed = mail_quality(slug) if mail else 0
    if mailed:
        output.say(say("quality.mailed", chosen, count=mailed), error=True)
    if csv:
        csv_file.write(csv, quality.COLUMNS, quality.table(found, chosen), chosen)
    show(found, json, partial(_show_quality, chosen))


def _show_quality(language: Language, found: quality.Quality) -> None:
    if not found["findings"]:
        code = "quality.nothing" if found["read_at"] else "quality.never_read"
        output.say(say(code, language, tenant=found["tenant"]))
    for code, kind in groupby(found["findings"], key=lambda one: one["code"]):
        listed = list(kind)
        first = listed[0]
        output.say(f"{len(listed):>6}  {code}  → {quality.to_do(first).say(language)}")
        columns = [name for name in COLUMNS if any(one.get(name) for one in listed[:SHOWN])]
        cells = [[*(one.get(name) for name in columns), quality.told(one).say(language)] for one in listed[:SHOWN]]
        output.show_table([*columns, ""], cells)
        if len(listed) > SHOWN:
            output.say(say("adoption.more", language, count=len(listed) - SHOWN))
        output.say("")
