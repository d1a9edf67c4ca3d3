"""The shapes in which runs are told: by ``sync`` and ``completions``, with ``--dry-run``, and by ``runs``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NotRequired

from typing_extensions import TypedDict

from models.folding import clearly_other_name
from models.run import RunOptions, Unlinked
from ops.problems import First

# What a run is asked for beside its tenant: {"full": True, "person": "80"} or {"since": "2026-11-01", "until": …}.
# Of a person or an enrollment, what would change: {"email": "a@example.nl"}.
Values = dict[str, Any]


class Calls(TypedDict):
    """Calls to each system."""

    afas: int
    pluvo: int


class CourseRead(TypedDict):
    """The snapshot of one course; of completions without ``rows``."""

    event_id: str
    snapshot: str
    reasons: list[str]
    rows: NotRequired[int | None]
    # A rule linked it
    by_rule: NotRequired[bool]


class PlannedLine(TypedDict):
    """A line of a plan: a row or a removal."""

    event_id: str | None
    internal_id: str | None
    action: str
    outcome: str
    reason: str | None
    before: Values | None
    after: Values | None


def has_other_name(line: PlannedLine) -> bool:
    """Whether a line links somebody by address alone to an account that has clearly another name: look at it first."""
    names = [(values or {}).get("name") for values in (line["before"], line["after"])]
    return line["reason"] == "by_email" and clearly_other_name(*names)


class Plan(TypedDict):
    """What a run would do; ``hash`` is None where nothing could be planned. Its lines may lie in a file."""

    hash: str | None
    lines: Sequence[PlannedLine]


class Adoption(TypedDict):
    """How people without a link would get an account; ``only_in_pluvo`` are accounts that no AFAS person has."""

    by_afas_id: int
    by_email: int
    shared: int
    to_create: int
    ambiguous: int
    only_in_pluvo: Sequence[Values]


class RunDocument(TypedDict):
    """A run. ``rows`` is the sum of ``outcomes`` once it is finished; of a paused tenant there is no ``run``."""

    run: str | None
    tenant: str
    direction: str
    status: str
    reason: str | None
    snapshot: str | None
    reasons: list[str]
    courses: list[CourseRead]
    # Events of course rules that wait, by reason
    unlinked: dict[str, Unlinked]
    rows: int
    outcomes: dict[str, int]
    removed: int
    held_removals: int
    pending_removals: int
    calls: Calls
    seconds: float | None
    plan: NotRequired[Plan]
    adoption: NotRequired[Adoption | None]


class Batch(TypedDict):
    """Runs that were started together."""

    batch: str
    runs: list[RunDocument]


class RunItem(RunDocument):
    """A run in a listing. ``timezone``: the tenant's, in which people are told the times."""

    id: str
    timezone: str
    batch: str | None
    trigger: str
    options: RunOptions
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunLine(TypedDict):
    """A line of a run. ``is_row`` False: a removal; ``changes``: the names of the values that differ.

    ``before`` and ``after`` hold names and addresses only where the plan was looked at and not carried out.
    """

    id: int
    event_id: str | None
    internal_id: str | None
    is_row: bool
    action: str
    kind: str | None
    outcome: str
    reason: str | None
    before: Values | None
    after: Values | None
    changes: list[str]
    hold: str | None
    calls: int
    settled_at: datetime | None


class RunLines(TypedDict):
    """Lines of a run, one page."""

    run: str
    tenant: str
    timezone: str
    items: list[RunLine]
    next: str | None


class Failure(TypedDict):
    """What a run met at a call. ``system``: afas, pluvo, or None where that was not kept."""

    system: str | None
    code: str
    cause: str
    action: str


class RunShown(RunItem):
    """A run with its lines, what it counted without a line, and its holds.

    ``preview``: it shows what a run would do, until ``kept_until``.
    """

    failure: Failure | None
    preview: bool
    kept_until: datetime | None
    plan_hash: str | None
    progress: Values | None
    stop_requested: bool
    holds: list[Values]
    listed: list[Values]
    lines: list[RunLine]
    next: str | None


class Watched(TypedDict):
    """How far a run is. ``planned`` and ``applied`` count lines, while it is applying."""

    id: str
    tenant: str
    status: str
    progress: dict[str, int] | None
    planned: int
    applied: int
    over: bool


class Again(TypedDict):
    """A run asked for once more: the new one, and the one before."""

    run: str
    tenant: str
    before: str


class Stopped(TypedDict):
    """What ``runs stop`` tells; a run that was over already is not ``stopping``. ``first``: who stopped it before."""

    run: str
    status_before: str
    stopping: bool
    first: NotRequired[First]
