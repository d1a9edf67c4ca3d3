"""Fault switches: which requests go wrong, how, and how often.

A fault is written as JSON, for example ``{"tenant": "12345", "match": {"operation": "page"}, "kind": "status",
"status": 502, "skip": 1, "times": 2}``: let the first page through, break the next two.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from simulators.core.http_messages import Request

HELD_UP, CLOCK_OFF = "delay", "clock"
BESIDE = frozenset({HELD_UP, CLOCK_OFF})
"""Kinds that go together with others: they only cost time, or tell another time."""

CUTS = frozenset({"hang", "reset", "lost_answer", "half_body"})
"""Kinds that end in a broken line instead of an answer."""

LINE_KINDS = CUTS | {"status", "bad_json", "html", "redirect", "graphql_error", "retry_after"}
"""Kinds every simulator knows. ``lost_answer`` and ``half_body`` do the work first; see ``Fault.applies``."""

MATCH_KEYS = frozenset({"method", "path_contains", "operation", "body_contains"})


@dataclass
class Fault:
    """One switch. ``tenant`` None means every tenant; an empty ``match`` every request."""

    kind: str
    tenant: str | None = None
    match: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    """How long a delay or hang takes, what ``Retry-After`` says, or how far the clock is off."""
    skip: int = 0
    """Let this many matching requests through first."""
    times: int | None = None
    """Strike this often, then be silent. None: for ever."""
    probability: float = 1.0
    seed: int = 0
    applies: bool | None = None
    """Do the work before failing. None: only ``lost_answer`` and ``half_body`` do."""
    code: str | None = None
    """``extensions.code`` of a graphql_error."""
    message: str | None = None
    column: str | None = None
    """The column a page fault spoils."""
    to: str | None = None
    """What that column becomes, or the envid that metainfo claims."""
    count: int = 1
    """How many rows a page fault drops, doubles or deletes."""
    id: int = 0
    seen: int = 0
    """Matching requests so far."""
    struck: int = 0
    """How many of those went wrong."""

    def __post_init__(self) -> None:
        """Check the match keys and seed the dice; raises ValueError."""
        unknown = set(self.match) - MATCH_KEYS
        if unknown:
            raise ValueError(f"unknown key in match: {', '.join(sorted(unknown))}")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability lies between 0 and 1")
        self._dice = random.Random(self.seed)  # noqa: S311 - dice, no secret

    @property
    def works_first(self) -> bool:
        """Say whether the request has its effect although the answer is spoilt."""
        return self.kind in {"lost_answer", "half_body"} if self.applies is None else self.applies

    def matches(self, request: Request) -> bool:
        """Say whether this request is of the kind the switch is about."""
        if self.tenant is not None and self.tenant != request.tenant:
            return False
        match = self.match
        if "method" in match and match["method"].upper() != request.method:
            return False
        if "path_contains" in match and match["path_contains"] not in request.target:
            return False
        if "operation" in match and match["operation"] not in (request.operation, *request.fields):
            return False
        return "body_contains" not in match or match["body_contains"].encode() in request.body

    def strikes(self) -> bool:
        """Count one matching request and say whether it goes wrong."""
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.struck >= self.times):
            return False
        if self.probability < 1 and self._dice.random() >= self.probability:
            return False
        self.struck += 1
        return True


class Faults:
    """All switches of one simulator, in the order in which they were set."""

    def __init__(self, own_kinds: dict[str, frozenset[str]]) -> None:
        """Take the kinds a simulator knows besides the common ones: kind -> the operations it can strike."""
        self._own_kinds = own_kinds
        self._ids = itertools.count(1)
        self.all: list[Fault] = []

    def add(self, **settings: Any) -> Fault:
        """Set one switch; raises ValueError for an unknown kind or key."""
        unknown = set(settings) - {each.name for each in fields(Fault)}
        if unknown:
            raise ValueError(f"unknown key of a fault: {', '.join(sorted(unknown))}")
        fault = Fault(**settings)
        if fault.kind not in LINE_KINDS | BESIDE | set(self._own_kinds):
            raise ValueError(f"unknown kind of fault: {fault.kind}")
        fault.id = next(self._ids)
        self.all.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Take away one switch, or all of them."""
        self.all = [fault for fault in self.all if fault_id is not None and fault.id != fault_id]

    def striking(self, request: Request) -> list[Fault]:
        """List what goes wrong with this request: delays, the simulator's own kinds, and at most one of the line."""
        return list(self._striking(request))

    def _striking(self, request: Request) -> Iterator[Fault]:
        line_taken = False
        for fault in self.all:
            on_line = fault.kind in LINE_KINDS
            own = self._own_kinds.get(fault.kind)
            if (on_line and line_taken) or (own is not None and request.operation not in own):
                continue
            if fault.matches(request) and fault.strikes():
                line_taken = line_taken or on_line
                yield fault

    def as_json(self) -> list[dict[str, Any]]:
        """Show the switches with their counts."""
        return [asdict(fault) for fault in self.all]
