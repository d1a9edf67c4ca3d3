"""A body is read once, up to a limit, and is JSON or nothing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops.http.api.answers import failed, language_of

MOST = 1_000_000  # bytes; as much as a tenants file may have
READS = ("GET", "HEAD", "OPTIONS")


class Bodies:
    """Before a route: 413 for what is larger, 415 for what is not JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in READS:
            await self.app(scope, receive, send)
            return
        taken = bytearray()
        more = True
        while more and len(taken) <= MOST:
            message = await receive()
            if message["type"] != "http.request":
                return  # the caller is gone
            taken += message.get("body", b"")
            more = message.get("more_body", False)
        request = Request(scope)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if len(taken) > MOST:
            answer = failed("too_large", 413, language_of(request), most=MOST)
            answer.headers["Connection"] = "close"  # what comes after is not read
        elif taken and kind != "application/json":
            answer = failed("not_json_type", 415, language_of(request))
        else:
            await self.app(scope, _replay(bytes(taken), receive), send)
            return
        await answer(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
