"""Whatever broke is answered here, and goes no further: the server would log its text, and a name may stand there."""

from __future__ import annotations

from collections.abc import Callable

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Caught:
    """``broken`` logs and answers, in a thread; of an answer that was begun the rest stays away."""

    def __init__(self, app: ASGIApp, *, broken: Callable[[Request, Exception], Response]) -> None:
        self.app = app
        self.broken = broken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as found:
            if scope["type"] != "http":
                raise
            answer = await to_thread.run_sync(self.broken, Request(scope), found)
            if not begun:
                await answer(scope, receive, send)
