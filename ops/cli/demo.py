"""``koppeling demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.common import example, group
from ops.demo.run import run_demo

app = group()


@app.command("demo", epilog=example("koppeling demo", "koppeling demo --keep"))
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, until Ctrl-C.")] = False,
) -> None:
    """Show the whole job on stand-ins for AFAS and Pluvo; needs nothing, touches nothing of yours."""
    raise typer.Exit(run_demo(keep=keep))
