"""``koppeling simulate``."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.common import example, group
from ops.problems import Problem
from simulators import __main__ as simulators

SIMULATOR_PORTS = {"afas": 8801, "pluvo": 8802}
app = group()


@app.command("simulate", epilog=example("koppeling simulate afas --port 8801"))
def simulate(
    system: Annotated[str, typer.Argument(help="afas or pluvo", metavar="afas|pluvo")],
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="8801 for AFAS, 8802 for Pluvo.")] = None,
) -> None:
    """Play AFAS or Pluvo over HTTP, with fictitious tenants, until told to stop."""
    if system not in SIMULATOR_PORTS:
        raise Problem("simulate_what", system=system)
    try:
        simulators.main(system, port or SIMULATOR_PORTS[system])
    except OSError as error:
        raise Problem("cant_listen", why=error.strerror) from None
