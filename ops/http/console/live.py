"""Parts of a page that refresh by themselves: a stream that says "look again", and nothing else.

A template marks the part: ``<section id="progress" data-refresh data-events="/runs/01J…/events">``. The script fetches
the page again and puts the part of the same id in its place, until the new one has no ``data-refresh`` any more.
Without ``data-events`` it looks every ``data-every`` seconds (2); without JavaScript there is the link "refresh".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from anyio import to_thread
from fastapi import Request
from fastapi.responses import StreamingResponse

LOOK_SECONDS = 1.0
# A stream ends by itself: the browser opens it again, and a forgotten window costs no more than that.
LONGEST_SECONDS = 300.0


def stream(request: Request, look: Callable[[], object], *, seconds: float = LOOK_SECONDS) -> StreamingResponse:
    """Server-sent events: one each time that ``look`` (called in a thread) gives something else; None ends it."""
    return StreamingResponse(_changes(request, look, seconds), media_type="text/event-stream")


async def _changes(request: Request, look: Callable[[], object], seconds: float) -> AsyncIterator[bytes]:
    before: object = object()
    for _ in range(int(LONGEST_SECONDS / seconds)):
        now = await to_thread.run_sync(look)
        if now is None:
            yield b"event: over\ndata: -\n\n"
            return
        yield b"data: -\n\n" if now != before else b": still here\n\n"
        before = now
        await asyncio.sleep(seconds)
        if await request.is_disconnected():
            return
