"""The web application: health, webhooks, the console. Everything else on HTTP joins here."""

from __future__ import annotations

import ipaddress
import signal
import threading
from types import FrameType

from fastapi import FastAPI

import settings
from loops import Loop
from models import session
from ops.alerts import service as alerts
from ops.http import health, server
from ops.http.access import Access
from ops.http.api.app import make_api
from ops.http.console import errors
from ops.http.console.headers import Headers
from ops.http.console.routes import ROUTERS
from ops.http.webhooks import router as webhooks
from ops.problems import Problem
from ops.servers import environment
from ops.servers.parent import end_with_parent
from ops.terminal import output
from workers.process import connections


def make_app(host: str = "127.0.0.1") -> FastAPI:
    """The application, ready to serve at an address: one that others can reach asks for a login."""
    # No redirects: they would send callers to whatever Host they named.
    app = FastAPI(title="koppeling", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.include_router(health.router)
    app.include_router(webhooks)
    for router in ROUTERS:
        app.include_router(router)
    # After the pages: /api/docs is one of them.
    app.state.api = make_api()
    app.mount("/api", app.state.api)
    errors.install(app)
    app.add_middleware(Headers)
    app.add_middleware(Access, loopback=is_loopback(host), token=settings.get().login_token)
    return app


def serve(host: str, port: int, *, child: bool) -> None:
    """Serve until told to stop; a ``child`` ends with the process that started it."""
    check_bind(host)
    environment.need_all()
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
        server.run(make_app(host), host, port, None if child else lambda: output.say(f"ready http://{shown}:{port}"))
    finally:
        stopping.set()
        threads[0].join(1.0)  # so that another process notices and plans at once


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _give_back_idle() -> float:
    session.close_idle()
    return session.IDLE_SECONDS / 3


def check_bind(host: str) -> None:
    """Refuse an address that others can reach while there is no login. Raises Problem."""
    if not is_loopback(host) and not settings.get().login_token:
        raise Problem("no_login", host=host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. A name other than localhost could be anything."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
