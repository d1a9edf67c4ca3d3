"""``koppeling overview``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.common import Cursor, InLanguage, Json, Limit, at_database, example, flagged, group, show, show_next
from ops.language import Language, language_of, say
from ops.terminal import output

if TYPE_CHECKING:
    from ops.overview import Inbox, Need, Overview

app = group()


@app.command("overview", epilog=example("koppeling overview", "koppeling overview --inbox --json"))
def overview_(
    *,
    inbox: Annotated[bool, typer.Option("--inbox", help="Only what waits for a person, one line each.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    language: InLanguage = None,
    json: Json = False,
) -> None:
    """Show what needs a person over all tenants, the most urgent first; workers, queue, the last day's runs."""
    from ops import overview  # noqa: PLC0415  it brings time stamps in ids, which --help does without

    speaks = language_of(language)
    with at_database():
        if inbox:
            show(overview.inbox(limit), json, lambda found: _show_inbox(found, speaks))
        else:
            show(overview.document(limit, cursor), json, lambda found: _show(found, speaks))


def _show(found: Overview, language: Language) -> None:
    needing = say("overview.needing", language, count=found["needing"])
    in_step = say("overview.in_step", language, count=found["in_step"])
    output.say(f"{needing if found['needing'] else say('overview.none_needing', language)} {in_step}.")
    if not found["workers"]:
        output.say(say("overview.no_workers", language))
    columns = ("tenant", "needs", "enrollments", "completions")
    output.show_table(
        columns,
        [
            (
                flagged(item["tenant"], item["environment"]),
                "; ".join(_said(need, language) for need in item["needs"]) or "-",
                item["enrollments"]["state"],
                item["completions"]["state"],
            )
            for item in found["items"]
        ],
    )
    show_next(found["next"])


def _show_inbox(found: Inbox, language: Language) -> None:
    if not found["items"]:
        output.say(say("inbox.empty", language) + ".")
        return
    columns = ("tenant", "needs", "since")
    output.show_table(
        columns,
        [
            (flagged(one["tenant"], one["environment"]), _said(one["need"], language), one["need"]["since"])
            for one in found["items"]
        ],
    )


def _said(need: Need, language: Language) -> str:
    if "direction" in need:
        direction = say(f"direction.{need['direction']}", language)
        what = need.get("reason") or say("need.no_reason", language)
        return say(f"need.{need['code']}", language, direction=direction, what=what)
    return say(f"need.{need['code']}", language, count=need["count"])
