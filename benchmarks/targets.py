"""What the product is to reach: one line a target, each measured beside a floor in the same run.

A floor is the least that could do the same: a script that makes the calls alone, keeps nothing and checks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """``name``: for ``--only``. ``limit``: in ``unit``; to be reached from below unless ``at_least``."""

    name: str
    what: str
    unit: str
    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit

    @property
    def wanted(self) -> str:
        """For people: ``≤ 2.8 ms``."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}".strip()


@dataclass(frozen=True)
class Found:
    """What was measured: the value compared, the floor in words, and more numbers for the JSON result."""

    value: float
    floor: str
    more: Mapping[str, Any]


def _most(name: str, what: str, limit: float, unit: str) -> Target:
    return Target(name, what, unit, limit)


def _least(name: str, what: str, limit: float, unit: str) -> Target:
    return Target(name, what, unit, limit, at_least=True)


TARGETS = (
    _most("first-sync-python", "first sync: Python's processor time a person", 2.8, "ms"),
    _most("first-sync-postgres", "first sync: PostgreSQL's processor time a person", 1.2, "ms"),
    _most("first-sync", "first sync, against one call after the other", 2, "×"),
    _most("first-sync-8", "first sync, against 8 threads", 2.5, "×"),
    _most("first-sync-shared", "first sync with people_per_call = 10, against one call after the other", 0.5, "×"),
    _least("first-sync-20ms", "first sync, answers after 20 ms: people/s, against 16 threads", 80, "%"),
    _least("first-sync-20ms-shared", "the same with people_per_call = 10", 300, "%"),
    _least("pluvo-limit", "first sync at 5 calls a second, people_per_call = 10", 45, "people/s"),
    _most("write-backs", "500 dates written back, against one call after the other", 3, "×"),
    _most("write-backs-8", "2,000 dates written back, against 8 threads", 3, "×"),
    _most("write-backs-none", "the same again with nothing to write, against the bare download", 2, "×"),
    _least("engine", "messages that do nothing through ledger, relay and worker", 1500, "a second"),
    _least("two-workers", "two worker processes instead of one, answers after 20 ms", 1.7, "×"),
    _most("million", "processor time a person, with a million enrollments in the database", 1.15, "×"),
    _most("unchanged", "100,000 unchanged rows, against the bare download", 1.5, "×"),
    _most("pages", "the slowest page, p95, with a million enrollments in the database", 200, "ms"),
    _most("picked-up", "a run is asked for → picked up, idle, median", 50, "ms"),
    _most("help", "koppeling --help: processor time", 0.3, "s"),
    _most("status", "koppeling status: processor time", 0.7, "s"),
)
