"""What a simulator was asked, in order: the tests' witness."""

from __future__ import annotations

import itertools
import json
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from simulators.core.http_messages import Request, now

KEPT = 200_000
SHOWN_HEADERS = ("accept", "accept-language", "connection", "content-type", "integrationid", "user-agent")
SECRET_OPERATIONS = frozenset({"token", "otp_request", "otp_validation"})


@dataclass
class Entry:
    """One request. ``status`` is None while it runs and 0 when the line was cut instead of answered."""

    n: int
    at: str
    tenant: str | None
    method: str
    path: str
    query: str
    operation: str
    fields: tuple[str, ...]
    variables: dict[str, Any] | None
    body: Any
    headers: dict[str, str]
    auth_scheme: str
    in_flight: int
    """Requests of this tenant under way when this one arrived, itself included."""
    status: int | None = None
    faults: tuple[str, ...] = ()
    ended_at: str | None = None


class RequestLog:
    """Entries of the last requests; secrets and tokens are not kept."""

    def __init__(self) -> None:
        """Start empty, counting from one."""
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)
        self._in_flight: Counter[str | None] = Counter()

    def begin(self, request: Request) -> Entry:
        """Write down an arrival."""
        self._in_flight[request.tenant] += 1
        entry = Entry(
            n=next(self._numbers),
            at=request.arrived_at,  # recognising it takes its time
            tenant=request.tenant,
            method=request.method,
            path=request.path,
            query=request.query,
            operation=request.operation,
            fields=request.fields,
            variables=request.variables,
            body=_readable(request),
            headers={name: request.headers[name] for name in SHOWN_HEADERS if name in request.headers},
            auth_scheme=request.headers.get("authorization", "").partition(" ")[0],
            in_flight=self._in_flight[request.tenant],
        )
        self.entries.append(entry)
        return entry

    def end(self, entry: Entry, status: int) -> None:
        """Write down how it ended."""
        entry.status, entry.ended_at = status, now()
        self._in_flight[entry.tenant] -= 1

    def as_json(self, tenant: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Show the entries of one tenant or all, later than number ``after``."""
        wanted = (e for e in self.entries if e.n > after and (tenant is None or e.tenant == tenant))
        return [asdict(entry) for entry in wanted]


def _readable(request: Request) -> Any:
    """Show the body as JSON where it is JSON; a GraphQL body shows its text only, variables stand apart."""
    if request.operation in SECRET_OPERATIONS:
        return None
    try:
        content = json.loads(request.body) if request.body else None
    except ValueError:
        return request.body.decode("utf-8", "replace")
    return content.get("query") if request.fields and isinstance(content, dict) else content
