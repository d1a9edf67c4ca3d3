"""One producer pass for one tenant and direction: what it read, judged, planned and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NotRequired

from typing_extensions import TypedDict

from models.hold import Measure


class RunStatus(StrEnum):
    """``queued → running → applying`` and then one of the final ones."""

    QUEUED = "queued"
    RUNNING = "running"
    APPLYING = "applying"
    DONE = "done"
    DONE_WITH_HOLDS = "done_with_holds"
    DONE_WITH_FAILURES = "done_with_failures"
    FAILED = "failed"
    STOPPED = "stopped"
    DRY_RUN = "dry_run"
    QUARANTINED = "quarantined"
    PAUSED = "paused"


# The trigger of a run that only plans, for somebody to look at.
PREVIEW = "preview"
UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.APPLYING)


# An equal second row of the same person: it counts as unchanged and is not looked at again.
DOUBLE = "double"


class SnapshotState(StrEnum):
    COMPLETE = "complete"
    PARTIAL = "partial"
    SUSPECT = "suspect"


def worst(states: Iterable[str]) -> str:
    """A run shows its worst snapshot."""
    order = [SnapshotState.COMPLETE, SnapshotState.SUSPECT, SnapshotState.PARTIAL]
    return max((SnapshotState(state) for state in states), key=order.index, default=SnapshotState.COMPLETE)


class Action(StrEnum):
    """What a plan line does in the other system. ``none``: nothing; ``write``: a date into AFAS."""

    CREATE = "create"
    LINK = "link"
    UPDATE = "update"
    ENROLL = "enroll"
    UNENROLL = "unenroll"
    ARCHIVE = "archive"
    RESTORE = "restore"
    NONE = "none"
    WRITE = "write"


class Counted(StrEnum):
    """What the guards count a plan line as."""

    CREATE = "create"
    EMAIL_CHANGE = "email_change"
    REMOVAL = "removal"


# How a plan line forgets whom it is about: what is left can't be carried out any more.
EMPTIED = "changes_person = false, " + ", ".join(
    f"{column} = NULL"
    for column in (
        *("before", "after", "fingerprint", "name", "email", "email_folded", "external_id"),
        *("match", "match_account", "match_by", "match_with", "after_person"),
    )
)


class RunOptions(TypedDict, total=False):
    """What a run was asked for. ``person``: an internal id; ``since`` and ``until``: days as ``2026-06-30``.

    ``expect``: the hash of the only plan that may be carried out; ``looked_at``: the run that showed it.
    """

    full: bool
    person: str
    since: str | None
    until: str | None
    expect: str
    looked_at: str


class Candidate(TypedDict, total=False):
    """A training that may be meant by a title; of a course only the title is known."""

    id: str
    ref: str | None
    title: str
    archived: bool


class CourseResult(TypedDict):
    """What became of one course in a run."""

    event_id: str
    snapshot: str
    reasons: list[str]
    rows: int
    candidates: NotRequired[list[Candidate]]
    # A rule linked it
    by_rule: NotRequired[bool]


class Judged(TypedDict):
    """What a guard counted in a plan, and whether it holds. ``event_id`` None: over the whole tenant."""

    guard: str
    event_id: str | None
    measure: Measure
    holds: bool


class AdoptionCounts(TypedDict):
    """How many people without a link would come to an account in which way; accounts that nobody of AFAS has."""

    by_afas_id: int
    by_email: int
    shared: int
    to_create: int
    ambiguous: int
    only_in_pluvo: int


class Looked(TypedDict):
    """What a plan that is only looked at keeps beside its lines. ``adoption``: before the first run of a tenant."""

    # Of each event: where its people go, and whether they are invited
    targets: dict[str, list[object]]
    guards: list[Judged]
    adoption: AdoptionCounts | None


class Unlinked(TypedDict):
    """Events of course rules that are not linked for one reason."""

    events: int
    people: int
