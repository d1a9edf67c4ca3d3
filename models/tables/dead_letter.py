"""Messages that gave up, and their replays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, text
from sqlmodel import Field, SQLModel

from models.base import instant, json, one_of
from models.dead_letter import BatchState, DeadLetterState
from models.direction import Direction
from models.message import Try


class DeadLetter(SQLModel, table=True):
    __tablename__ = "dead_letter"
    __table_args__ = (
        one_of("direction", Direction),
        one_of("state", DeadLetterState),
        Index(None, "tenant_id", "state", "id"),
        Index(None, "fingerprint"),
        Index(None, "error", "id"),
        Index(None, "last_failed_at"),
        # What status counts
        Index("ix_dead_letter_open", "tenant_id", postgresql_where=text("state = 'open'")),
        # Kinds of them, for the header of every page: read without the rows, which are wide
        Index(
            "ix_dead_letter_open_kinds",
            "tenant_id",
            "fingerprint",
            "first_failed_at",
            postgresql_where=text("state = 'open'"),
        ),
        Index(None, "kind", "subject_id"),
        # The same of open ones, and what a preview of thousands of replays asks of each
        Index(
            "ix_dead_letter_open_work",
            "kind",
            "subject_id",
            "id",
            postgresql_include=["tenant_id", "direction", "state"],
            postgresql_where=text("state = 'open'"),
        ),
    )

    id: str = Field(primary_key=True)
    # Null for what no tenant could be read from (undecodable, forged).
    tenant_id: int | None = Field(default=None, sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE")))
    kind: str
    direction: str | None = None
    subject_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    message_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    run_id: str | None = None
    plan_line_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    internal_id: str | None = None
    event_id: str | None = None
    # A stable code of the error table, then the cleaned text for people.
    error: str
    message: str
    afas_reference: str | None = None
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    history: list[Try] = json(default="[]")
    # The last call with secrets and personal data masked: {"operation", "request", "status", "answer"}
    last_call: dict[str, Any] | None = json()
    fingerprint: str
    code_version: str
    state: str = Field(default=DeadLetterState.OPEN, sa_column_kwargs={"server_default": text("'open'")})
    first_failed_at: datetime | None = instant(now=True)
    last_failed_at: datetime | None = instant(now=True)
    # Who closed it, when and why; for a replay also the batch it went with.
    closed_at: datetime | None = instant()
    closed_by: str | None = None
    closed_reason: str | None = None
    replays: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))


class ReplayBatch(SQLModel, table=True):
    """Dead letters replayed together: canary first, then at a rate, stopping after failures in a row."""

    __tablename__ = "replay_batch"
    __table_args__ = (one_of("state", BatchState),)

    id: str = Field(primary_key=True)
    state: str = Field(default="running", sa_column_kwargs={"server_default": text("'running'")})
    rate: float
    max_failures: int
    # Dead letter ids in order; how far it came; what came of it
    ids: list[str] = json(default="[]")
    position: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    failures_in_a_row: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    started_by: str
    reason: str | None = None
    created_at: datetime | None = instant(now=True)
    finished_at: datetime | None = instant()
