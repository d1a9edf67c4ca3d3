"""The ASGI front of both simulators: reads a request, logs it, lets faults strike, hands it on, answers.

A plain ASGI callable on purpose: cutting a line in the middle of an answer needs the socket below the framework.
Work is done on the event loop under ``system.lock``, one request after the other, so each has its effect whole.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from simulators.core.control_routes import control
from simulators.core.faults import CLOCK_OFF, CUTS, HELD_UP, LINE_KINDS, Fault
from simulators.core.http_messages import Answer, Request, json_answer
from simulators.core.system import System

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HANG_SECONDS = 3600.0
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
RST_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing sends a reset instead of a goodbye."""


class Front:
    """ASGI application of one simulator."""

    def __init__(self, system: System) -> None:
        """Stand in front of a simulator."""
        self._system = system

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']}")
        request = await _read(scope, receive)
        if request.path.startswith("/_control/"):
            await _send(send, await control(self._system, request))
            return
        with self._system.lock:
            self._system.recognise(request)
            entry = self._system.log.begin(request)
            faults = self._system.faults.striking(request)
            entry.faults = tuple(fault.kind for fault in faults)
        status = 0
        try:
            status = await self._serve(request, faults, receive, send)
        finally:
            self._system.log.end(entry, status)

    async def _serve(self, request: Request, faults: list[Fault], receive: Receive, send: Send) -> int:
        """Answer, well or badly. Returns the status sent, 0 for a cut line."""
        for fault in faults:
            if fault.kind == HELD_UP:
                await asyncio.sleep(fault.seconds if fault.seconds is not None else 1.0)
        off = sum(fault.seconds or 0.0 for fault in faults if fault.kind == CLOCK_OFF)
        broken = next((fault for fault in faults if fault.kind in LINE_KINDS), None)
        if broken is None:
            answer = self._answer(request, faults)
        elif broken.works_first:
            answer = self._answer(request, faults)
            answer = answer if broken.kind in CUTS else spoilt(broken)
        else:
            answer = spoilt(broken)
        answer.headers.setdefault("date", formatdate(time.time() + off, usegmt=True))
        if broken is None or broken.kind not in CUTS:
            await _send(send, answer)
            return answer.status
        await _cut(broken, answer, receive, send)
        return 0

    def _answer(self, request: Request, faults: list[Fault]) -> Answer:
        with self._system.lock:
            return self._system.answer(request, faults)


def spoilt(fault: Fault) -> Answer:
    """Make the wrong answer a fault asks for."""
    text = {"content-type": "text/html; charset=utf-8"}
    body = fault.body.encode() if fault.body is not None else None
    message = fault.message or "Something went wrong"
    match fault.kind:
        case "bad_json":
            return Answer(fault.status or 200, body or b'{"rows":[{"', {"content-type": "application/json"})
        case "html":
            return Answer(fault.status or 200, body or HTML, text)
        case "redirect":
            return Answer(fault.status or 302, b"", {"location": "/elsewhere/", **fault.headers})
        case "graphql_error":
            error = {"message": message, "extensions": {"code": fault.code or "InternalError"}}
            return json_answer({"errors": [error], "data": None}, fault.status or 200, fault.headers)
        case "retry_after":
            seconds = f"{fault.seconds if fault.seconds is not None else 1:g}"
            return Answer(fault.status or 429, body or b"", {"retry-after": seconds, **fault.headers})
        case _:
            return Answer(fault.status or 500, body or b"", fault.headers)


async def _read(scope: dict[str, Any], receive: Receive) -> Request:
    """Collect a whole request."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    return Request(scope["method"], scope["path"], query, headers, b"".join(parts))


async def _send(send: Send, answer: Answer, *, body: bytes | None = None, more: bool = False) -> None:
    """Send an answer; ``body`` and ``more`` let only a part of what was announced go out."""
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body if body is None else body, "more_body": more})


async def _cut(fault: Fault, answer: Answer, receive: Receive, send: Send) -> None:
    """Break the line: in silence, after a wait, or in the middle of the answer."""
    transport = _transport(send)
    if fault.kind == "half_body":
        if not answer.body:
            answer = Answer(answer.status, b'{"half":"of an answer"}', answer.headers)
        await _send(send, answer, body=answer.body[: len(answer.body) // 2], more=True)
        transport.close()
    else:
        wait = fault.seconds if fault.seconds is not None else HANG_SECONDS if fault.kind == "hang" else 0.0
        if wait and await _gone_within(receive, wait):
            return
        line = transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_AT_ONCE)
        transport.abort()
    await _gone_within(receive, 5.0)


async def _gone_within(receive: Receive, seconds: float) -> bool:
    """Wait for the caller to hang up; say whether they did."""
    try:
        await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        return False
    return True


def _transport(send: Send) -> asyncio.Transport:
    """Find the socket: uvicorn's ``send`` is a method of the object that owns it (ASGI has no word for this)."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if not isinstance(transport, asyncio.Transport):
        raise RuntimeError("cutting a line needs uvicorn, run without middleware around the simulator")
    return transport
