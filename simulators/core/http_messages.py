"""A request that came in and the answer that goes out, as both simulators pass them around."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl


def now() -> str:
    """Say the time as an ISO instant in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass
class Request:
    """One HTTP request. ``tenant`` to ``variables`` are filled in by the simulator that recognises it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    tenant: str | None = None
    operation: str = ""
    """One word for what is asked, e.g. page, token, put; for GraphQL the operation's name or else its first field."""
    fields: tuple[str, ...] = ()
    """GraphQL: the root fields asked for, without aliases."""
    variables: dict[str, Any] | None = None
    rest: str = ""
    """The path below the tenant's base URL."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the simulator wants to remember between recognising and answering."""
    arrived_at: str = field(default_factory=now)
    """When it had come in whole."""

    @property
    def target(self) -> str:
        """Join path and query as they stood on the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @cached_property
    def params(self) -> dict[str, str]:
        """Read the query string; of a repeated parameter the last one counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """Read a form body in order, repeated names included."""
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


@dataclass
class Answer:
    """Status, body and headers. No body: ``b""``."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Make an answer of one line of JSON."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return Answer(status, body, {"content-type": "application/json; charset=utf-8", **(headers or {})})
