"""Who asks: sets the actor of every request, before anything else sees it.

What binds to this machine alone knows everybody as ``local``. Elsewhere a login is asked for, but not at health and
webhooks, which look after themselves.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ops.access import NOBODY, Actor, Role, acting

OPEN = ("/healthz", "/readyz", "/webhooks/")
LOCAL = Actor("local", Role.ADMIN)
TOKEN = Actor("token", Role.ADMIN)


class Access:
    """The outermost layer. ``loopback``: nobody but this machine's users can ask."""

    def __init__(self, app: ASGIApp, *, loopback: bool, token: str | None) -> None:
        self.app = app
        self.loopback = loopback
        self.token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        actor = NOBODY if scope["path"].startswith(OPEN) else LOCAL if self.loopback else self._known(scope)
        if actor is not None:
            with acting(actor):
                await self.app(scope, receive, send)
            return
        words = 'Bearer realm="koppeling", Basic realm="koppeling", charset="UTF-8"'
        answer = PlainTextResponse("A login is needed.\n", status_code=401, headers={"WWW-Authenticate": words})
        await answer(scope, receive, send)

    def _known(self, scope: Scope) -> Actor | None:
        """Who shows the token: as a bearer, or as the password of any user."""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, value = given.partition(b" ")
        if kind.lower() == b"basic":
            try:
                value = base64.b64decode(value, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return None
        elif kind.lower() != b"bearer":
            return None
        return TOKEN if self.token and hmac.compare_digest(value.strip(), self.token) else None
