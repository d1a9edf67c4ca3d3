"""``koppeling status``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ops.cli.common import Json, Watch, at_database, example, flagged, group, show, shown_again
from ops.degraded import DEGRADED
from ops.language import Language, language_of, say
from ops.local_time import told_at
from ops.problems import Problem
from ops.status import document, is_well
from ops.terminal import output
from tenancy.unreached import UNREACHED
from tenancy.vital_signs import SERVICES

app = group()


NUMBERS = ("ready", "in_flight", "scheduled", "oldest_pending_seconds", "held", "ambiguous", "dead")
WAYS = ("enrollments", "completions")


@app.command("status", epilog=example("koppeling status --json", "koppeling status --watch"))
def status(
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 when anything is not well.")] = False,
    watch: Watch = False,
    json: Json = False,
) -> None:
    """Show how it goes: what is not well first, then database, broker, workers, queue, and each tenant."""
    if watch and (json or exit_code):
        raise Problem("watch_alone")
    with at_database():
        if watch:
            shown_again(lambda: _show_status(document()), wanted=True)
            return
        found = document()
    show(found, json, _show_status)
    raise typer.Exit(1 if exit_code and not is_well(found) else 0)


def _show_status(found: dict[str, Any]) -> None:
    problems = [*_of_the_whole(found), *_of_tenants(found, language_of(None))]
    for line in problems:
        output.say(f"! {line}")
    if problems:
        output.say("")
    output.show_fields(found, skip=("tenants", "alerts"))
    rows = [
        [
            flagged(one["tenant"], one["environment"]),
            *(one[column] for column in NUMBERS),
            *(one[way]["state"] for way in WAYS),
        ]
        for one in found["tenants"]
    ]
    if rows:
        output.say("")
        output.show_table(["tenant", *NUMBERS, *WAYS], rows)


def _of_the_whole(found: dict[str, Any]) -> Iterator[str]:
    """What does not answer or is not done, one line each."""
    for name in ("database", "broker", *SERVICES):
        if found[name] not in ("ok", "unknown"):
            yield f"{name}: {found[name]}"
    if not found["workers"]:
        yield "workers: none"


def _of_tenants(found: dict[str, Any], language: Language) -> Iterator[str]:
    """What needs somebody, one line each, with the command that tells more."""
    zones = {one["tenant"]: one["timezone"] for one in found["tenants"]}
    told = set()
    for one in found["tenants"]:
        slug = one["tenant"]
        for way in WAYS:
            if one[way]["state"] in (DEGRADED, "quarantined"):
                since = told_at(one[way]["since"], one["timezone"]) if one[way]["since"] else "-"
                told.add((slug, one[way]["state"]))
                yield f"{slug}: {way} {one[way]['state']} ({one[way]['reason']} since {since})"
        for name in ("held", "ambiguous", "dead"):
            if one[name]:
                yield say(f"hint.open_{name}", language, count=one[name], slug=slug)
    for alert in found["alerts"]:
        if alert["kind"] == UNREACHED and (alert["tenant"], DEGRADED) in told:
            continue
        since = told_at(alert["opened_at"], zones.get(alert["tenant"], "UTC"))
        yield f"{alert['tenant'] or '-'}: {alert['text']} (since {since})"
