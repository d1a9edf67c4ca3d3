"""``koppeling check, fields, handover, token``."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated, NoReturn

import typer

from ops.cli.common import InLanguage, Json, Slug, Who, at_database, example, group, named, show
from ops.language import SENTENCES, Language, language_of, say
from ops.problems import Problem
from ops.tenants.check import check, last_check
from ops.tenants.check_contract import FactDocument, check_contract
from ops.tenants.check_findings import FindingDocument
from ops.tenants.handover import handover
from ops.tenants.show_fields import FieldsDocument, show_fields
from ops.tenants.token import make
from ops.terminal import output

app = group()
Connector = Annotated[
    str | None, typer.Option("--connector", help="Name of the GetConnector.", show_default="the one in use")
]
Contract = Annotated[
    bool, typer.Option("--contract", help="Try what we only assume of both systems; 3 when something is refuted.")
]
Dutch = Annotated[Language, typer.Option("--language", help="In Dutch (nl) or English (en).")]
Last = Annotated[bool, typer.Option("--last", help="Show what the last check found; try nothing.")]


@app.command("check", epilog=example("koppeling check acme", "koppeling check acme --language nl --json"))
def check_(
    slug: Slug, last: Last = False, contract: Contract = False, language: InLanguage = None, json: Json = False
) -> None:
    """Try both sides, reading only: one line a finding, with what to do about a fault."""
    words = language_of(language)
    if last and contract:
        raise Problem("last_or_contract")
    if contract:
        _contract(slug, words, json)
    with at_database(keys=not last):
        if last:
            found = last_check(slug, words)
        else:
            found = check(slug, lambda one: None if json else show_finding(one.document(words)), language=words)
    if json:
        output.show_json(found)
    elif last:
        output.say(f"{slug}, {output.shown(found['checked_at'])}:")
        for probe in found["probes"]:
            show_finding(probe)
    raise typer.Exit(0 if found["ok"] else 1)


def _contract(slug: str, language: Language, json: bool) -> NoReturn:
    def tell(fact: FactDocument) -> None:
        code = fact["why"]
        why = say(f"why.{code}" if f"why.{code}" in SENTENCES else "why.error", language, code=code) if code else ""
        verdict = say(f"verdict.{fact['verdict']}", language)
        output.say(f"{verdict:12}  {fact['sentence']}" + (f" ({why})" if why else ""))

    with at_database(keys=True):
        found = check_contract(slug, lambda fact: None if json else tell(fact), language=language)
    if json:
        output.show_json(found)
    raise typer.Exit(0 if found["ok"] else 3)


def show_finding(found: FindingDocument) -> None:
    """Print what one probe found, and what to do about a fault."""
    mark = {"fault": "FAIL", "warning": "warn", "ok": "ok"}[found["severity"]]
    cause = f": {found['cause']}" if found["cause"] else ""
    output.say(f"{mark:4}  {found['code']:24}  {found['probe']}{cause}")
    if found["action"]:
        output.say(f"      {found['action']}")


@app.command("fields", epilog=example("koppeling fields acme", "koppeling fields acme --connector Deelnemers"))
def fields(slug: Slug, connector: Connector = None, language: InLanguage = None, json: Json = False) -> None:
    """Show a GetConnector's columns, and propose which of them is what: ready to paste, with the reason for each."""
    words = language_of(language)
    with at_database(keys=True):
        found = show_fields(slug, connector, language=words)
    show(found, json, lambda document: _fields(document, words))


def _fields(found: FieldsDocument, language: Language) -> None:
    output.say(say("fields.columns", language, connector=found["connector"]))
    shown = [(one["column"], one["type"], one["label"], one["example"]) for one in found["columns"]]
    output.show_table(("column", "type", "label", "example"), shown)
    if found["updateconnector"] is None:
        output.say("\n" + say("fields.no_write_back", language))
    elif found["completion_fields"]:
        output.say("\n" + say("fields.completion", language))
        able = [(one["field"], one["type"], one["length"], one["label"]) for one in found["completion_fields"]]
        output.show_table(("field", "type", "length", "label"), able)
    else:
        output.say("\n" + say("fields.no_completion", language))
    output.say("\n" + say("fields.paste", language) + "\n\n" + found["toml"].rstrip())


@app.command("handover", epilog=example("koppeling handover acme", "koppeling handover acme --language en"))
def handover_(slug: Slug, language: Dutch = "nl", json: Json = False) -> None:
    """Write the mail to the customer's AFAS administrator: what is still missing there, of what a check finds now."""
    with at_database(keys=True):
        found = handover(slug, language)
    show(found, json, lambda document: output.say(f"{document['subject']}\n\n{document['text'].rstrip()}"))


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
