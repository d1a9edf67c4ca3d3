"""``koppeling status, explain, check, token``."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated, Any

import typer

from ops.cli.common import Json, Slug, Who, at_database, example, named, show
from ops.people.explain import explain
from ops.status import document as status_document
from ops.tenants.check import check
from ops.tenants.check_findings import Finding
from ops.tenants.token import make
from ops.terminal import output

SHOWN_HISTORY = 20


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command("status", epilog=example("koppeling status --json"))(status)
    app.command("explain", epilog=example("koppeling explain acme p.jansen@example.nl"))(explain_)
    app.command("check", epilog=example("koppeling check acme"))(check_)
    app.command("token", epilog=example("koppeling token acme"))(token)


def status(json: Json = False) -> None:
    """Show how it goes: database, broker, workers, queue, held, dead, quarantined, per tenant too."""
    with at_database():
        found = status_document()
    show(found, json, _show_status)


def _show_status(found: dict[str, Any]) -> None:
    output.show_fields(found, skip=("tenants", "alerts"))
    columns = ("tenant", "ready", "in_flight", "scheduled", "oldest_pending_seconds", "held", "ambiguous", "dead")
    rows = [
        [*(one[column] for column in columns), one["enrollments"]["state"], one["completions"]["state"]]
        for one in found["tenants"]
    ]
    if rows:
        output.say("")
        output.show_table([*columns, "enrollments", "completions"], rows)
    for alert in found["alerts"]:
        output.say(f"! {alert['tenant'] or '-'}: {alert['text']} (since {output.shown(alert['opened_at'])})")


def explain_(
    slug: Slug,
    who: Annotated[str, typer.Argument(help="Internal id, external id or e-mail address.")],
    json: Json = False,
) -> None:
    """Tell everything known and done about someone: why they are, or are not, in Pluvo."""
    with at_database():
        found = explain(slug, who)
    show(found, json, _show_explained)


def _show_explained(found: dict[str, Any]) -> None:
    if not found["found"]:
        output.say(f"{found['who']} was never seen in {found['tenant']}.")
        for course in found["looked_at"]["courses"]:
            read = (
                f"{course['rows']} rows, {output.ago(course['last_complete_at'])}"
                if course["rows"] is not None
                else "never"
            )
            output.say(f"  event {course['event_id']}: last read completely: {read}")
        output.say(found["next_action"])
    for person in found["people"]:
        output.say(f"{person['name'] or '-'} <{person['email'] or '-'}>, internal id {person['internal_id']}")
        output.say(f"  link: {output.shown(person['link'])}")
        for one in person["enrollments"]:
            because = f" ({one['reason']})" if one["reason"] else ""
            output.say(f"  event {one['event_id']}: {one['state']}, {one['outcome'] or '-'}{because}")
            if one.get("completion_note"):
                output.say(f"    completion: {one['completion_note']}")
            if one["completion"]:
                output.say(f"    completion: {output.shown(one['completion'])}")
        output.say(f"  next: {person['next_action']}")
        for event in person["history"][:SHOWN_HISTORY]:
            told = {key: value for key, value in event.items() if value is not None and key not in ("at", "what")}
            output.say(f"  {output.shown(event['at'])} {event['what']}: {output.shown(told)}")


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
