"""``koppeling status``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ops.cli.common import Json, at_database, example, flagged, group, show
from ops.degraded import DEGRADED
from ops.status import document, is_well
from ops.terminal import output
from tenancy.unreached import UNREACHED

app = group()


@app.command("status", epilog=example("koppeling status --json"))
def status(
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 when anything is not well.")] = False,
    json: Json = False,
) -> None:
    """Show how it goes: database, broker, workers, queue, held, dead, quarantined, per tenant too."""
    with at_database():
        found = document()
    show(found, json, _show_status)
    raise typer.Exit(1 if exit_code and not is_well(found) else 0)


def _show_status(found: dict[str, Any]) -> None:
    output.show_fields(found, skip=("tenants", "alerts"))
    columns = ("ready", "in_flight", "scheduled", "oldest_pending_seconds", "held", "ambiguous", "dead")
    rows = [
        [
            flagged(one["tenant"], one["environment"]),
            *(one[column] for column in columns),
            one["enrollments"]["state"],
            one["completions"]["state"],
        ]
        for one in found["tenants"]
    ]
    if rows:
        output.say("")
        output.show_table(["tenant", *columns, "enrollments", "completions"], rows)
    told = set()
    for one in found["tenants"]:
        for way in ("enrollments", "completions"):
            if one[way]["state"] == DEGRADED:
                since = output.shown(one[way]["since"])
                told.add(one["tenant"])
                output.say(f"! {one['tenant']}: {way} degraded ({one[way]['reason']} since {since})")
    for alert in found["alerts"]:
        if alert["kind"] == UNREACHED and alert["tenant"] in told:
            continue
        output.say(f"! {alert['tenant'] or '-'}: {alert['text']} (since {output.shown(alert['opened_at'])})")
