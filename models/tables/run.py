"""One producer pass, the rows it read, the users it saw and what it planned."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models import outcomes
from models.base import identity, instant, json, one_of, referred_to, same_tenant
from models.direction import Direction
from models.enrollment import RowState
from models.person import AccountFrom, LinkedBy
from models.run import DOUBLE, Action, Counted, CourseResult, Looked, RunOptions, RunStatus, SnapshotState, Unlinked


class Run(SQLModel, table=True):
    __tablename__ = "run"
    __table_args__ = (
        referred_to(),
        one_of("direction", Direction),
        one_of("status", RunStatus),
        one_of("snapshot", SnapshotState),
        Index(None, "tenant_id", "direction", "id"),
        Index(None, "batch"),
        Index("ix_run_preview", "id", postgresql_where=text("trigger = 'preview'")),
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
    # Of a plan that is only looked at, as in ``Looked``: what its guards counted, and who would come to which account
    looked: Looked | None = json()
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
        # A page of them, in their order
        Index(None, "tenant_id", "run_id", "id"),
        Index(None, "tenant_id", "internal_id"),
        Index(None, "enrollment_id"),
        Index("ix_plan_line_hold_id", "hold_id", postgresql_where=text("hold_id IS NOT NULL")),
        # The removals of the last days, that the guards count
        Index("ix_plan_line_removals", "tenant_id", "created_at", postgresql_where=text("kind = 'removal'")),
        # Accounts that were found by address and are called something else
        Index(
            "ix_plan_line_other_name",
            "tenant_id",
            postgresql_where=text("action = 'link' AND outcome = 'linked' AND before->>'name' <> after->>'name'"),
        ),
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
    # {"name", "email", "enrolled", "archived"}, of a date {"completion", "field"}. Whom an operator is asked about has
    # {"candidates"}, as in Link; who leaves old places {"name", "email", "places"}
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
