"""The web server, and what one caller may take of it: a bounded head, bounded time, bounded connections.

Anyone can reach the webhooks' address, so nothing here waits or stores for longer than a limit says. h11 reads the
requests: it refuses a head that grows past its size, where the faster httptools keeps all of it.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from workers.logs import Seldom

log = structlog.get_logger("ops.http.server")


@dataclass(frozen=True)
class Limits:
    """What one connection, and all of them, may take."""

    head_bytes: int = 16 * 1024
    # From the connection, or from the first byte of its next request, to the end of the head.
    head_seconds: float = 10.0
    # From there to the last byte of the body, also when the answer was given before.
    body_seconds: float = 30.0
    connections: int = 250

    def fitting(self) -> Limits:
        """With no more connections than this process may open; the rest of its files are for the database."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = self.connections if files == resource.RLIM_INFINITY else min(self.connections, max(8, files // 2))
        return Limits(self.head_bytes, self.head_seconds, self.body_seconds, most)


@dataclass
class Door:
    """All connections, those that owe us something in the order in which they may be sent away."""

    limits: Limits
    owing: dict[Any, None] = field(default_factory=dict)
    seldom: Seldom = field(default_factory=Seldom)

    def make_room(self, present: int) -> bool:
        """At the limit, end whoever owes us the rest of a request longest. False when nobody does."""
        if present < self.limits.connections:
            return True
        self.seldom(log.warning, "connections_full", connections=self.limits.connections)
        if not self.owing:
            return False
        next(iter(self.owing)).too_slow()
        return True


def protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol for HTTP with these limits."""
    door = Door(limits)

    class Limited(H11Protocol):
        """Owes us a head, then a body, each in time; then nothing until the next request begins."""

        timer: asyncio.TimerHandle | None = None
        reading_body = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            if not door.make_room(len(self.connections)):
                transport.abort()
                return
            super().connection_made(transport)
            self._owes(limits.head_seconds)

        def data_received(self, data: bytes) -> None:
            if self.timer is None:
                self._owes(limits.head_seconds)
            super().data_received(data)
            self._look()

        def handle_events(self) -> None:
            super().handle_events()  # also called when an answer is complete and the next request is here already
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            self._owes_nothing()
            if self.transport is not None:
                super().connection_lost(exc)

        def too_slow(self) -> None:
            self._owes_nothing()
            self.transport.abort()

        def _look(self) -> None:
            state = self.conn.their_state
            if state is h11.SEND_BODY and not self.reading_body:
                self._owes(limits.body_seconds)
                self.reading_body = True
            elif state is h11.IDLE and self.reading_body:
                self._owes(limits.head_seconds)  # its answer was out before its end; the next head may have begun
            elif state not in (h11.SEND_BODY, h11.IDLE):
                self._owes_nothing()

        def _owes(self, seconds: float) -> None:
            self._owes_nothing()
            self.timer = self.loop.call_later(seconds, self.too_slow)
            door.owing[self] = None

        def _owes_nothing(self) -> None:
            self.reading_body = False
            door.owing.pop(self, None)
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
    )


def run(app: Any, host: str, port: int) -> None:
    """Serve until told to stop; SystemExit when it can't start."""
    server = uvicorn.Server(config(app, host, port))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(1)
