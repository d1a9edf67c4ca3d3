"""The web application: health, webhooks, the console. Everything else on HTTP joins here."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI

import settings
from loops import Loop
from models import session
from ops import users
from ops.alerts import service as alerts
from ops.http import health, metrics, needs, oidc, server
from ops.http.access import Access, is_loopback
from ops.http.api.app import make_api
from ops.http.caught import Caught
from ops.http.console import errors
from ops.http.console.headers import Headers
from ops.http.console.routes import ROUTERS
from ops.http.webhooks import router as webhooks
from ops.problems import Problem
from ops.servers import environment
from ops.servers.parent import end_with_parent
from ops.terminal import output
from workers.process import connections, garbage


def make_app(host: str = "127.0.0.1", *, login: bool | None = None, console: bool = True) -> FastAPI:
    """The application, ready to serve at an address: one that others can reach asks for a ``login`` in any case.

    Without the ``console`` it is health and webhooks only: neither pages nor the API.
    """
    # No redirects: they would send callers to whatever Host they named.
    app = FastAPI(
        title="koppeling",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(needs.check)],
    )
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(webhooks)
    if console:
        for router in ROUTERS:
            app.include_router(router)
        # After the pages: /api/docs is one of them.
        app.state.api = make_api()
        app.mount("/api", app.state.api)
    errors.install(app)
    # The last is the outermost: what breaks in Access is caught as well, and every answer gets its headers.
    app.add_middleware(Access, login=bool(login) or not is_loopback(host) or _is_public())
    app.add_middleware(Caught, broken=errors.broken)
    app.add_middleware(Headers)
    return app


def serve(host: str, port: int, *, child: bool, no_login: bool = False, console: bool = True) -> None:
    """Serve until told to stop; a ``child`` ends with the process that started it.

    ``no_login``: whoever is on this machine is an admin. Only for an address of this machine alone.
    """
    if no_login and not is_loopback(host):
        raise Problem("no_login_elsewhere", host=host)
    environment.need_all()
    check_bind(host)
    if child:
        end_with_parent()
    session.use_pool(connections.SERVE_POOL)
    Loop("idle connections", _give_back_idle).start()
    Loop("health", health.look).start()
    shown = f"[{host}]" if ":" in host else host
    stopping = threading.Event()
    threads = alerts.start(stopping)
    # uvicorn ends in an orderly way and then raises the signal once more, which would end us as if it had not.
    signal.signal(signal.SIGTERM, _end)
    try:
        # As a child it is `up` that says when all is ready.
        ready = None if child else lambda: output.say(f"ready http://{shown}:{port}")
        app = make_app(host, login=not no_login, console=console)
        garbage.look_seldom()
        server.run(app, host, port, ready)
    finally:
        stopping.set()
        threads[0].join(1.0)  # so that another process notices and plans at once


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _give_back_idle() -> float:
    session.close_idle()
    return session.IDLE_SECONDS / 3


def check_bind(host: str) -> None:
    """Refuse an address that others can reach while nobody could log in. Raises Problem."""
    if is_loopback(host) or settings.get().login_token or oidc.is_set():
        return
    with session.transaction() as connection:
        if not users.exist(connection):
            raise Problem("no_login", host=host)


def _is_public() -> bool:
    """Whether browsers elsewhere are sent here, by a proxy in front."""
    public = settings.get().public_url
    return public is not None and not is_loopback(urlsplit(public).hostname or "")
