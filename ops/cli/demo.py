"""``koppeling demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.common import example


def add_to(app: typer.Typer) -> None:
    """Put the command into the application."""
    app.command("demo", epilog=example("koppeling demo", "koppeling demo --keep"))(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, until Ctrl-C.")] = False,
) -> None:
    """Show the whole job on stand-ins for AFAS and Pluvo; needs nothing, touches nothing of yours."""
    from ops.demo.run import play  # noqa: PLC0415  the stand-ins are slow to import, and other commands need none

    raise typer.Exit(play(keep=keep))
