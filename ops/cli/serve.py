"""``koppeling serve``."""

from __future__ import annotations

from typing import Annotated

import typer

import logs
from loops import Loop
from models import session
from ops.cli.common import Child, example, group
from ops.http.app import check_bind, make_app
from ops.http.health import look
from ops.http.server import run
from ops.servers import environment
from ops.servers.parent import end_with_parent
from workers.process import connections

app = group()


@app.command("serve", epilog=example("koppeling serve --port 8000"))
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8000,
    no_console: Annotated[
        bool, typer.Option("--no-console", hidden=True, help="Health and webhooks only, which is all there is.")
    ] = False,
    child: Child = False,
) -> None:
    """Serve health and webhooks over HTTP until told to stop."""
    logs.configure()
    check_bind(host)
    environment.need_all()
    if child:
        end_with_parent()
    session.use_pool(connections.SERVE_POOL)
    Loop("idle connections", _give_back_idle).start()
    Loop("health", look).start()
    run(make_app(host), host, port)


def _give_back_idle() -> float:
    session.close_idle()
    return session.IDLE_SECONDS / 3
