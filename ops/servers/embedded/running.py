"""Where the servers of a home folder are right now."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ops.servers.embedded import postgres
from ops.servers.embedded.process import own_home
from ops.servers.embedded.registry import peek


@dataclass(frozen=True)
class Endpoints:
    """URLs of what runs; None for what doesn't. They hold passwords: don't print them."""

    database_url: str | None = field(repr=False, default=None)
    redis_url: str | None = field(repr=False, default=None)


def running(home: Path) -> Endpoints:
    """Find the servers that run for this home, asking the system, not only our notes. Starts nothing, never waits.

    Raises EmbeddedError for a home that others could have put there.
    """
    found = own_home(home)
    if found is None:
        return Endpoints()
    home = found
    valkey = peek(home, "valkey")
    return Endpoints(postgres.find(home), valkey.url if valkey.server else None)
