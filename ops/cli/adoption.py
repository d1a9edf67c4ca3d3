"""``koppeling adoption``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.common import InLanguage, Json, Slug, at_database, example, group, show
from ops.language import Language, language_of, say
from ops.runs.adoption import AdoptionReport, adoption, first_of_each
from ops.terminal import csv_file, output
from ops.terminal.csv_file import AS_EXCEL

app = group()
SHOWN = 20  # people of a group; a file has all of them
COLUMNS = ("internal_id", "name", "email", "pluvo_id", "pluvo_name", "pluvo_email", "reason")
File = Annotated[Path | None, typer.Option("--csv", help=f"Write everybody to this CSV file. {AS_EXCEL}")]


@app.command("adoption", epilog=example("koppeling adoption acme --csv people.csv"))
def adoption_(slug: Slug, csv: File = None, language: InLanguage = None, json: Json = False) -> None:
    """Report before a first run: who is linked to which account and why, who is made, who waits, what stays."""
    with at_database(keys=True):
        found = adoption(slug)
    if csv:
        csv_file.write(csv, ("group", *COLUMNS), found["people"], language_of(language))
    show(found, json, lambda document: show_adoption(document, language_of(language)))


def show_adoption(found: AdoptionReport, language: Language) -> None:
    """Print how many come to their account in which way, and of those who should be looked at who they are."""
    shown = first_of_each(found, SHOWN)
    for name, count in found["counts"].items():
        people: list[Mapping[str, object]] = [{**one} for one in shown[name]]
        output.say(f"{count:>6}  {say(f'adoption.{name}', language)}")
        if people and name in ("other_name", "ambiguous", "shared"):
            output.show_table(COLUMNS, [[one[column] for column in COLUMNS] for one in people])
            if count > SHOWN:
                output.say(say("adoption.more", language, count=count - SHOWN))
