"""One producer pass for one tenant and direction: what it read, judged, planned and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, NotRequired

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel
from typing_extensions import TypedDict

from models import outcomes
from models.base import identity, instant, json, one_of, referred_to, same_tenant
from models.enrollment import RowState
from models.person import AccountFrom, LinkedBy
from models.tenant import Direction


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
    """What a run was asked for. ``person``: an internal id; ``since`` and ``until``: days as ``2026-06-30``."""

    full: bool
    person: str
    since: str | None
    until: str | None


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


class Unlinked(TypedDict):
    """Events of course rules that are not linked for one reason."""

    events: int
    people: int


class Run(SQLModel, table=True):
    __tablename__ = "run"
    __table_args__ = (
        referred_to(),
        one_of("direction", Direction),
        one_of("status", RunStatus),
        one_of("snapshot", SnapshotState),
        Index(None, "tenant_id", "direction", "id"),
        Index(None, "batch"),
        Index("ix_run_unfinished", "status", postgresql_where=text("status IN ('queued','running','applying')")),
        # Written every few seconds while it runs: room for that on its own page.
        {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.01}},
    )

    id: str = Field(primary_key=True)
    batch: str
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    direction: str
    trigger: str
    options: RunOptions = json(default="{}")
    status: str = Field(default=RunStatus.QUEUED)
    reason: str | None = None
    snapshot: str | None = None
    reasons: list[str] = json(default="[]")
    courses: list[CourseResult] = json(default="[]")
    # Events of course rules that wait: {"target_unknown": {"events": 3, "people": 120}}
    unlinked: dict[str, Unlinked] = json(default="{}")
    rows: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # Rows without a plan line (nothing to do): {"unchanged": 1183, "not_yet": 2, …}
    rows_without_line: dict[str, int] = json(default="{}")
    # Sum over these and the plan lines, as last counted.
    outcomes: dict[str, int] = json(default="{}")
    removed: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    held_removals: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    pending_removals: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # Absent but not yet confirmed: the part of pending_removals that has no line.
    unconfirmed: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    calls_afas: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    calls_pluvo: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # Made by its messages, to the receiving side: the sum over its plan lines, as last counted.
    calls_acting: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    plan_hash: str | None = None
    # {"pages": 3, "rows": 2100, "planned": 40}, shown while it runs
    progress: dict[str, int] = json(default="{}")
    stop_requested: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # Its lines still hold what was before and after (retention takes it out)
    has_payloads: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default=text("true")))
    # The producer that works on it, until when, and the fencing token that rises at each take-over.
    lease_owner: str | None = None
    lease_until: datetime | None = instant()
    fence: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    created_at: datetime | None = instant(now=True)
    started_at: datetime | None = instant()
    finished_at: datetime | None = instant()


class SnapshotRow(SQLModel, table=True):
    """A row of AFAS as read in a run, translated; deleted once the run is over."""

    __tablename__ = "snapshot_row"
    __table_args__ = (
        UniqueConstraint("run_id", "course_id", "position"),
        same_tenant("run_id", "run"),
        same_tenant("course_id", "course"),
        one_of("row_state", RowState, DOUBLE),
        Index(None, "run_id", "internal_id"),
    )

    id: int | None = identity()
    run_id: str
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    course_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    position: int
    internal_id: str | None = None
    external_id: str | None = None
    name: str | None = None
    email: str | None = None
    email_folded: str | None = None
    completion: str | None = None
    # A ``RowState``, or DOUBLE
    row_state: str
    # Why rejected, or "duplicate" for an equal second row that counts as unchanged
    reason: str | None = None
    fingerprint: str | None = None


class DirectoryUser(SQLModel, table=True):
    """A Pluvo user as listed or looked up in a run, for matching; deleted once the run is over."""

    __tablename__ = "directory_user"
    __table_args__ = (
        UniqueConstraint("run_id", "pluvo_id"),
        same_tenant("run_id", "run"),
        Index(None, "run_id", "email_folded"),
        Index(None, "run_id", "email_loose"),
        Index(None, "run_id", "afas_contact_id"),
        Index(None, "run_id", "ref"),
    )

    id: int | None = identity()
    run_id: str
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    pluvo_id: str
    ref: str | None = None
    email: str | None = None
    email_folded: str | None = None
    # What looks alike: never linked by this alone.
    email_loose: str | None = None
    name: str | None = None
    archived: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    afas_person_id: str | None = None
    afas_contact_id: str | None = None
    afas_connection_id: str | None = None


class PlanLine(SQLModel, table=True):
    """What a run would do, or did, about one person in one event. Rows with nothing to do have none."""

    __tablename__ = "plan_line"
    __table_args__ = (
        same_tenant("run_id", "run"),
        same_tenant("course_id", "course"),
        same_tenant("enrollment_id", "enrollment"),
        same_tenant("completion_id", "completion", ondelete="SET NULL (completion_id)"),
        same_tenant("hold_id", "hold", ondelete="SET NULL (hold_id)"),
        referred_to(),
        one_of("action", Action),
        one_of("kind", Counted),
        one_of("outcome", outcomes.ALL),
        one_of("match", AccountFrom),
        one_of("match_by", LinkedBy),
        Index(None, "run_id", "outcome"),
        Index(None, "tenant_id", "internal_id"),
        Index(None, "enrollment_id"),
        Index(None, "hold_id"),
        # The removals of the last days, that the guards count
        Index("ix_plan_line_removals", "tenant_id", "created_at", postgresql_where=text("kind = 'removal'")),
        Index("ix_plan_line_completion", "completion_id", postgresql_where=text("completion_id IS NOT NULL")),
    )

    id: int | None = identity()
    run_id: str
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    course_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    enrollment_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    completion_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    event_id: str | None = None
    internal_id: str | None = None
    # True: this line is the outcome of a row read. False: a removal, which no row stands for.
    is_row: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default=text("true")))
    action: str
    kind: str | None = None
    outcome: str
    reason: str | None = None
    before: dict[str, Any] | None = json()
    after: dict[str, Any] | None = json()
    # Of the row it was planned for
    fingerprint: str | None = None
    # This line changes the account itself: to the name and address that follow, and for someone without a link to
    # the account of ``match`` (as in Person).
    changes_person: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    name: str | None = None
    email: str | None = None
    email_folded: str | None = None
    external_id: str | None = None
    match: str | None = None
    match_account: str | None = None
    match_by: str | None = None
    match_with: str | None = None
    # Internal id of the person whose line must be done first
    after_person: str | None = None
    # Look at Pluvo whatever it was told before
    full: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # A removal after which the account may go to the archive
    archive: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # Someone who stays in the event leaves a place they were put before
    take_out: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # A guard or an operator let the same work go before: it is not judged again
    decided: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    hold_id: str | None = None
    # Calls that its message made, tokens not counted
    calls: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    created_at: datetime | None = instant(now=True)
    settled_at: datetime | None = instant()
