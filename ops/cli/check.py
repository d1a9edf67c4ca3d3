"""``koppeling check, token``."""

from __future__ import annotations

import getpass
import sys

import typer

from ops.cli.common import Json, Slug, Who, at_database, example, group, named, show
from ops.tenants.check import check
from ops.tenants.check_findings import Finding
from ops.tenants.token import make
from ops.terminal import output

app = group()


@app.command("check", epilog=example("koppeling check acme"))
def check_(slug: Slug, json: Json = False) -> None:
    """Try both sides, reading only: one line a finding, with what to do about a fault."""
    with at_database(keys=True):
        found = check(slug, watch=(lambda finding: None) if json else _show)
    if json:
        output.show_json(found)
    raise typer.Exit(0 if found["ok"] else 1)


def _show(finding: Finding) -> None:
    mark = "FAIL" if not finding.ok else "ok" if finding.code == "ok" else "warn"
    output.say(f"{mark:4}  {finding.code:24}  {finding.probe}" + (f": {finding.cause}" if finding.cause else ""))
    if finding.action:
        output.say(f"      {finding.action}")


@app.command("token", epilog=example("koppeling token acme"))
def token(slug: Slug, who: Who = None, json: Json = False) -> None:
    """Make an AFAS token from API key, environment key and a mailed code, and store it. Reads standard input."""
    with at_database(keys=True):
        make(slug, _ask, who=named(who))
    said = f'{slug}: the token is stored. Write auth = "token" in the tenants file, or the next import undoes it.'
    show({"tenant": slug, "stored": True}, json, lambda _: output.say(said))


def _ask(question: str, secret: bool) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{question}: ") if secret else input(f"{question}: ")
    return sys.stdin.readline()
