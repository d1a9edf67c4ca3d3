"""What is counted of calls and messages, of all tenants together: for a monitoring system.

A process counts in memory; its heartbeat adds that to the table ``tally``, whose numbers only rise. No label has a
tenant, an address or a word of AFAS or Pluvo, and there are only so many of them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from sqlalchemy import text

from clients.http import Call
from models.session import DATABASE_TROUBLE, transaction

CALLS, CALL_SECONDS, DELAY = "calls", "call_seconds", "end_to_end_seconds"
# Upper bounds, in seconds; what is above the last one counts as INFINITE.
BUCKETS: Mapping[str, tuple[float, ...]] = {
    CALL_SECONDS: (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    DELAY: (1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
}
INFINITE, SUM = "+Inf", "sum"
# Different labels of one process; what comes beyond counts as OTHER.
MOST = 1000
OTHER = "other"
_WORD = re.compile(r"[a-z0-9_]{1,60}", re.ASCII)
Key = tuple[str, str]

# In one order, so that processes that add at the same moment wait for each other and never both ways.
_ADD = text(
    """
    INSERT INTO tally AS t (name, labels, value)
    SELECT x.name, x.labels, x.value
      FROM unnest(CAST(:names AS text[]), CAST(:labels AS text[]), CAST(:values AS float8[])) AS x (name, labels, value)
     ORDER BY 1, 2
        ON CONFLICT (name, labels) DO UPDATE SET value = t.value + excluded.value
    """
)
# A process that is frozen in the middle of adding must not keep others from their sign of life.
_PATIENCE = text("SET LOCAL lock_timeout = '500ms'")


class Tallies:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[Key] = set()
        self._added: dict[Key, float] = {}

    def add(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Count one more of these labels."""
        key = (name, "|".join(labels))
        with self._lock:
            if key not in self._known:
                if len(self._known) >= MOST:
                    key = (name, "|".join([OTHER] * len(labels)))
                self._known.add(key)
            self._added[key] = self._added.get(key, 0.0) + value

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Count a duration."""
        bound = next((f"{one:g}" for one in BUCKETS[name] if seconds <= one), INFINITE)
        self.add(name, *labels, bound)
        self.add(name, *labels, SUM, value=seconds)

    def take(self) -> dict[Key, float]:
        """What was counted since the last time."""
        with self._lock:
            added, self._added = self._added, {}
        return added

    def put_back(self, added: Mapping[Key, float]) -> None:
        """What could not be written counts the next time."""
        with self._lock:
            for key, value in added.items():
                self._added[key] = self._added.get(key, 0.0) + value


# Of this process.
TALLIES = Tallies()


def word(given: str) -> str:
    """``reading a page`` → ``reading_a_page``; what is no such word is OTHER."""
    found = re.sub(r"[^a-z0-9]+", "_", given.lower()).strip("_")
    return found if _WORD.fullmatch(found) else OTHER


def called(call: Call) -> None:
    """Count a call that was made, once where several people share it."""
    if call.shared:
        return
    system, operation = word(call.system), "token" if call.token else word(call.operation)
    TALLIES.add(CALLS, system, operation, word(call.error_code) if call.error_code else "ok")
    TALLIES.observe(CALL_SECONDS, call.seconds, system, operation)


def ended(direction: str, seconds: float) -> None:
    """Count a message that was done, so many seconds after it was asked for."""
    TALLIES.observe(DELAY, seconds, direction)


def write() -> None:
    """Add what this process counted to the table. What can't be written now counts the next time."""
    added = TALLIES.take()
    if not added:
        return
    names, labels = zip(*added, strict=True)
    try:
        with transaction() as connection:
            connection.execute(_PATIENCE)
            connection.execute(_ADD, {"names": list(names), "labels": list(labels), "values": list(added.values())})
    except DATABASE_TROUBLE:
        TALLIES.put_back(added)
