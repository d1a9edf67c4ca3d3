"""``koppeling serve``."""

from __future__ import annotations

from typing import Annotated

import typer

import logs
from ops.cli.common import Child, example, group
from ops.http import app as web

app = group()


@app.command("serve", epilog=example("koppeling serve --port 8000"))
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8000,
    no_console: Annotated[
        bool, typer.Option("--no-console", help="Health and webhooks only: neither pages nor the API.")
    ] = False,
    no_login: Annotated[
        bool, typer.Option("--no-login", help="Whoever is on this machine is an admin; only on 127.0.0.1.")
    ] = False,
    child: Child = False,
) -> None:
    """Serve the console, the API, health and webhooks over HTTP until told to stop."""
    logs.configure()
    web.serve(host, port, child=child, no_login=no_login, console=not no_console)
