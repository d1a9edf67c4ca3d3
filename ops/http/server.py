"""The web server, and what one caller may take of it: a bounded head, bounded time, bounded connections.

Anyone can reach the webhooks' address, so nothing here waits or stores for longer than a limit says. h11 reads the
requests: it refuses a head that grows past its size, where the faster httptools keeps all of it.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from logs import Seldom

log = structlog.get_logger("ops.http.server")
STOP_SECONDS = 5


@dataclass(frozen=True)
class Limits:
    """What one connection, and all of them, may take."""

    head_bytes: int = 16 * 1024
    # From the connection, or from the end of the answer before, to the end of the head.
    head_seconds: float = 10.0
    # From there to the last byte of the body, also when the answer was given before; and to take an answer.
    body_seconds: float = 30.0
    connections: int = 250

    def fitting(self) -> Limits:
        """With no more connections than this process may open; the rest of its files are for the database."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = self.connections if files == resource.RLIM_INFINITY else min(self.connections, max(8, files // 2))
        return Limits(self.head_bytes, self.head_seconds, self.body_seconds, most)


@dataclass
class Door:
    """Whose connection may be ended for others, in this order: who owes us something, then who had an answer before."""

    limits: Limits
    owing: dict[Any, None] = field(default_factory=dict)
    served: dict[Any, None] = field(default_factory=dict)
    seldom: Seldom = field(default_factory=Seldom)

    def make_room(self, present: int) -> bool:
        """At the limit, end the connection that is so longest. False where all wait for their first answer."""
        if present < self.limits.connections:
            return True
        self.seldom(log.warning, "connections_full", connections=self.limits.connections)
        first = next(iter(self.owing or self.served), None)
        if first is None:
            return False
        first.end()
        return True


def protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol for HTTP with these limits."""
    door = Door(limits)
    seconds = {"head": limits.head_seconds, "body": limits.body_seconds, "taking": limits.body_seconds}

    class Limited(H11Protocol):
        """Its client owes us a head, then a body, then the taking of what we answered, each in time.

        Only while we work on an answer that it takes does it owe nothing.
        """

        owed: str | None = None
        answered = False
        timer: asyncio.TimerHandle | None = None
        stuffed = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's: asyncio's takes a BaseTransport, which can't write
            if not door.make_room(len(self.connections)):
                transport.abort()
                return
            super().connection_made(transport)
            self._look()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def handle_events(self) -> None:
            super().handle_events()  # also called when an answer is complete and the next request is here already
            self._look()

        def on_response_complete(self) -> None:
            self.answered = True
            if self.owed is None:
                self._owes("head")
            super().on_response_complete()
            self._look()

        def pause_writing(self) -> None:
            super().pause_writing()
            self.stuffed = True
            self._look()

        def resume_writing(self) -> None:
            super().resume_writing()
            self.stuffed = False
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            if self.transport is not None:
                super().connection_lost(exc)

        def end(self) -> None:
            self._forget()
            self.transport.abort()

        def _look(self) -> None:
            owed = {h11.IDLE: "head", h11.SEND_BODY: "body"}.get(self.conn.their_state)
            if self.stuffed or self.transport.is_closing():
                owed = "taking"
            if owed != self.owed:
                self._owes(owed)

        def _owes(self, what: str | None) -> None:
            self._forget()
            self.owed = what
            if what:
                self.timer = self.loop.call_later(seconds[what], self.end)
                door.owing[self] = None
            elif self.answered:
                door.served[self] = None

        def _forget(self) -> None:
            door.owing.pop(self, None)
            door.served.pop(self, None)
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    return Limited


class _Often(logging.Filter):
    """uvicorn's word on each request that is none, once a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or self.seldom.now(record.getMessage()) is not None


def config(app: Any, host: str, port: int, limits: Limits | None = None) -> uvicorn.Config:
    """How the application is served."""
    chosen = (limits or Limits()).fitting()
    logging.getLogger("uvicorn.error").addFilter(_Often())
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol(chosen),
        ws="none",
        h11_max_incomplete_event_size=chosen.head_bytes,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        # A page that listens for changes would keep a server that is told to stop for as long as somebody looks.
        timeout_graceful_shutdown=STOP_SECONDS,
    )


class _Telling(uvicorn.Server):
    """Says in one line that it takes requests."""

    ready: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.ready is not None:
            self.ready()


def run(app: Any, host: str, port: int, ready: Callable[[], None] | None = None) -> None:
    """Serve until told to stop, and call ``ready`` once it takes requests; SystemExit when it can't start."""
    server = _Telling(config(app, host, port))
    server.ready = ready
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(1)
