"""The command ``koppeling``. Parses and prints, decides nothing: every verb is a function in ``ops/*.py``.

Exit codes: 0 done · 1 something failed · 2 wrong usage or settings · 3 done, but something waits.
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ops.cli.lazy import HELP, Later, VerbAndNoun
from ops.tenants import RESERVED
from ops.terminal.streams import CantPrint, patient_streams

# name: (file in ops/cli, help line). They are shown in this order.
VERBS = {
    "up": ("processes", "Run everything on this machine until Ctrl-C; embedded servers where no URL is set."),
    "worker": ("processes", "Work on messages and runs until told to stop. Start as many as you like, on any machine."),
    "scheduler": (
        "processes",
        "Keep the timetable until told to stop: due runs, the nightly full ones, holds that expire.",
    ),
    "serve": ("serve", "Serve the console, the API, health and webhooks over HTTP until told to stop."),
    "migrate": ("processes", "Bring the database to the newest schema. Safe from several machines at once."),
    "backup": ("backup", "Write the embedded database into one file, as it is at one moment, while all goes on."),
    "restore": (
        "backup",
        "Put a backup in the place of the embedded database, while nothing runs. Older tables are migrated.",
    ),
    "sync": ("sync", "Bring enrollments from AFAS to Pluvo."),
    "completions": (
        "sync",
        "Bring completion dates from Pluvo to AFAS. With list, show, close or retry: those that there are.",
    ),
    "status": (
        "status",
        "Show how it goes: what is not well first, then database, broker, workers, queue, and each tenant.",
    ),
    "overview": (
        "overview",
        "Show what needs a person over all tenants, the most urgent first; workers, queue, the last day's runs.",
    ),
    "workers": ("system", "List worker processes by host, with version, threads, what they do and who leads."),
    "doctor": (
        "system",
        "Look whether this installation is as it must be, one line a question; ends with 1 when something is wrong.",
    ),
    "explain": ("explain", "Tell everything known and done about someone: why they are, or are not, in Pluvo."),
    "adoption": (
        "adoption",
        "Report before a first run: who is linked to which account and why, who is made, who waits, what stays.",
    ),
    "quality": (
        "quality",
        "List what is to be put right in AFAS, of what the last runs stored: who, in which event, and what to do.",
    ),
    "audit": ("audit", "List who did what, when and why: every verb that changed something, newest first."),
    "check": ("check", "Try both sides, reading only: one line a finding, with what to do about a fault."),
    "events": ("events", "List the events of AFAS with their people: linked or not, and why."),
    "fields": (
        "check",
        "Show a GetConnector's columns, and propose which of them is what: ready to paste, with the reason for each.",
    ),
    "handover": (
        "check",
        "Write the mail to the customer's AFAS administrator: what is still missing there, of what a check finds now.",
    ),
    "token": (
        "check",
        "Make an AFAS token from API key, environment key and a mailed code, and store it. Reads standard input.",
    ),
    "demo": ("demo", "Show the whole job on stand-ins for AFAS and Pluvo; needs nothing, touches nothing of yours."),
    "simulate": ("simulate", "Play AFAS or Pluvo over HTTP, with fictitious tenants, until told to stop."),
}
NOUNS = {
    "tenants": ("tenants", "Customers: an AFAS environment with a Pluvo organisation each."),
    "courses": ("courses", "Courses: AFAS events that are linked to something in Pluvo."),
    "runs": ("runs", "The ledger of runs: snapshot, plan, outcomes, calls, durations."),
    "batches": (
        "batches",
        "Runs that were started together: how far they are over all tenants, and which need somebody.",
    ),
    "holds": ("holds", "What a guard held back: look, then release or refuse."),
    "people": ("people", "People of AFAS: find them, in all tenants."),
    "links": ("links", "The ID mapping: which AFAS person is which Pluvo user."),
    "alerts": ("alerts", "What somebody should know: look, take care of it, silence it; who was told."),
    "dead-letters": ("dead_letters", "Messages that gave up: look, replay, discard."),
    "replays": ("replays", "Replays of many dead letters: what one would do, how it goes; cancel it."),
    "users": ("users", "Who may log in to the console: list, add, change, disable."),
    "tokens": ("tokens", "Tokens for the API: list, make, revoke."),
}
# Verbs that are nouns too: (file in ops/cli, its verbs). No new tenant may have one of these names.
BOTH = {"completions": ("completions", RESERVED)}


class Root(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for whole, listed in ((False, VERBS), (True, NOUNS)):
            for name, (file, help_line) in listed.items():
                module = f"ops.cli.{file}"
                if name in BOTH:
                    noun, verbs = BOTH[name]
                    self.add_command(VerbAndNoun(name, help_line, module, noun=f"ops.cli.{noun}", verbs=verbs))
                else:
                    self.add_command(Later(name, help_line, module, whole=whole))


app = typer.Typer(
    name="koppeling",
    cls=Root,
    help="Links AFAS Profit and Pluvo: enrollments one way, completion dates the other, for many tenants at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
    epilog="Example: koppeling up   Elsewhere: koppeling tenants import tenants.toml; koppeling sync --all --wait",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  slow to import, and only asked for here

        sys.stdout.write(f"koppeling {version('koppeling')}\n")
        raise typer.Exit()


@app.callback()
def root(
    shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Nothing is done without a command."""


def main() -> None:
    """Run the command; whatever goes wrong is one line on standard error and an exit code."""
    try:
        with patient_streams():
            _run()
    except CantPrint as error:
        with suppress(OSError):
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
        sys.exit(1)
    finally:
        # Python is about to put itself away: a Ctrl-C ends that at once, instead of in the middle with a traceback.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run() -> None:
    try:
        app()
    except CantPrint:
        raise
    except Exception as error:
        from ops.cli.errors import explained  # noqa: PLC0415  it knows the errors of all libraries, which are slow

        code = explained(error)
        if code is None:
            raise
        sys.exit(code)


if __name__ == "__main__":
    main()
