"""The command ``koppeling``. Parses and prints, decides nothing: every verb is a function in ``ops/*.py``.

Exit codes: 0 done · 1 something failed · 2 wrong usage or settings · 3 done, but something waits.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated

import typer

from ops.cli import dead_letters, holds, insight, links, processes, runs, sync, tenants
from ops.cli import demo as cli_demo
from ops.cli.common import HELP, example
from ops.cli.errors import explained
from ops.problems import Problem
from ops.terminal.streams import CantPrint, patient_streams

SIMULATOR_PORTS = {"afas": 8801, "pluvo": 8802}

app = typer.Typer(
    name="koppeling",
    help="Links AFAS Profit and Pluvo: enrollments one way, completion dates the other, for many tenants at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
    epilog="Example: koppeling up   Elsewhere: koppeling tenants import tenants.toml; koppeling sync --all --wait",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"koppeling {version('koppeling')}\n")
        raise typer.Exit()


@app.callback()
def root(
    shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Nothing is done without a command."""


processes.add_to(app)
sync.add_to(app)
insight.add_to(app)
cli_demo.add_to(app)
app.add_typer(tenants.app, name="tenants")
app.add_typer(runs.app, name="runs")
app.add_typer(holds.app, name="holds")
app.add_typer(links.app, name="links")
app.add_typer(dead_letters.app, name="dead-letters")


@app.command("simulate", epilog=example("koppeling simulate afas --port 8801"))
def simulate(
    system: Annotated[str, typer.Argument(help="afas or pluvo", metavar="afas|pluvo")],
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="8801 for AFAS, 8802 for Pluvo.")] = None,
) -> None:
    """Play AFAS or Pluvo over HTTP, with fictitious tenants, until told to stop."""
    if system not in SIMULATOR_PORTS:
        raise Problem(f"Simulate afas or pluvo, not {system!r}.")
    from simulators import __main__ as simulators  # noqa: PLC0415 - only this command needs them

    try:
        simulators.main(system, port or SIMULATOR_PORTS[system])
    except OSError as error:
        raise Problem(f"Can't listen ({error.strerror}): choose another --port.") from None


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


def _run() -> None:
    try:
        app()
    except CantPrint:
        raise
    except Exception as error:
        code = explained(error)
        if code is None:
            raise
        sys.exit(code)


if __name__ == "__main__":
    main()
