"""What answers at ``/``, and who may ask for anything but health and webhooks where others can reach this server."""

from __future__ import annotations

import base64
import binascii
import hmac

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = ("/healthz", "/readyz", "/webhooks/")
TEXT = """\
Koppeling is running.

This address serves health (/healthz, /readyz) and Pluvo's webhooks (/webhooks/pluvo/...).
There are no pages to work with: use the command, for example `koppeling status`.
"""
router = APIRouter()


@router.get("/", include_in_schema=False)
async def front() -> PlainTextResponse:
    """Say what this is."""
    return PlainTextResponse(TEXT)


class Login:
    """Asks for the token everywhere but at health and webhooks: as a bearer, or as the password of any user."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OPEN) or self._knows(scope):
            await self.app(scope, receive, send)
            return
        words = 'Bearer realm="koppeling", Basic realm="koppeling", charset="UTF-8"'
        answer = PlainTextResponse("A login is needed.\n", status_code=401, headers={"WWW-Authenticate": words})
        await answer(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, value = given.partition(b" ")
        if kind.lower() == b"basic":
            try:
                value = base64.b64decode(value, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        elif kind.lower() != b"bearer":
            return False
        return hmac.compare_digest(value.strip(), self.token)
