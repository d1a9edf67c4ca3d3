"""What the demo prints: a heading and a reason per act, a line per tenant, a table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.rule import Rule
from rich.text import Text

from ops.demo.setup import Setup
from ops.terminal import output

COLUMNS = (
    *("people", "created", "linked", "updated", "removed", "rejected", "replayed"),
    *("written", "verified", "conflict", "dead"),
)


def say(line: str = "") -> None:
    """Print one line."""
    output.say(line)


def act(title: str, *why: str) -> None:
    """Begin an act: what happens now, and why that matters."""
    console = output.console()
    if console.is_terminal:
        console.print()
        console.print(Rule(Text(title, style="bold"), align="left"))
    else:
        say()
        say(f"== {title}")
    for line in why:
        say(f"   {line}")


def batch(document: Mapping[str, Any]) -> None:
    """One line per run: ``   acme   done: 80 rows read: 45 created, 4 linked; 2 AFAS calls, 51 Pluvo calls, 2.1 s``."""
    for run in document["runs"]:
        counts = [told.replace("_", " ") for told in output.counts(run["outcomes"])]
        counts += [f"{run['removed']} removed"] if run["removed"] else []
        calls = f"{run['calls']['afas']} AFAS calls, {run['calls']['pluvo']} Pluvo calls"
        status = run["status"].replace("_", " ")
        done = ", ".join(counts) or "nothing to do"
        say(f"   {run['tenant']:6} {status}: {run['rows']} rows: {done}; {calls}, {run['seconds']} s")


def closing_table(totals: Mapping[str, Mapping[str, int]]) -> None:
    """Print what was done per tenant."""
    act(
        "In the end",
        "people and rejected rows: in AFAS now. created … replayed: brought to Pluvo. The rest: dates in AFAS.",
    )
    rows: list[Sequence[Any]] = [[slug, *(found[column] for column in COLUMNS)] for slug, found in totals.items()]
    output.show_table(("tenant", *COLUMNS), rows)


def result(wrong: Sequence[str]) -> None:
    """Say whether both systems ended up as they must."""
    say()
    if not wrong:
        say("All is right: both stand-ins were compared with what they must hold, person by person and date by date.")
        return
    say(f"Not right, {len(wrong)} found:")
    for line in wrong:
        say(f"   {line}")


def keeping(setup: Setup) -> None:
    """Say where everything is while it stays."""
    say()
    say(f"Still running. Address: {setup.address} : open it in a browser, it is the console.")
    say(f"   AFAS stand-in:  {setup.afas_url}   Pluvo stand-in: {setup.pluvo_url}   (docs/simulators.md)")
    say(f"   In another terminal: {setup.words} .venv/bin/koppeling status")
    say("   Ctrl-C ends it and removes everything.")
