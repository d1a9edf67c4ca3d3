"""A finished course of a person, to be written into one AFAS field: one row for ever, the first date wins."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel
from typing_extensions import TypedDict

from models.base import identity, instant, json, listed, one_of, referred_to, same_tenant
from models.completion_state import SETTLED, CompletionState


class LaterDate(TypedDict):
    """A date as Pluvo gave it, the day that it is, and when we saw it."""

    raw: str | None
    on: str | None
    at: str


class Completion(SQLModel, table=True):
    """Identity = (tenant, course, Pluvo user's person, field). Without a person it is kept by Pluvo user."""

    __tablename__ = "completion"
    __table_args__ = (
        UniqueConstraint("tenant_id", "course_id", "subject", "field"),
        same_tenant("course_id", "course"),
        same_tenant("enrollment_id", "enrollment", ondelete="SET NULL (enrollment_id)"),
        referred_to(),
        one_of("state", CompletionState),
        Index(None, "tenant_id", "state"),
        Index(None, "enrollment_id"),
        # The few that are listed of all tenants
        Index("ix_completion_open", "state", "id", postgresql_where=text(f"state NOT IN ({listed(SETTLED)})")),
    )

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    course_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    # "person:{internal id}", or "pluvo:{user id}" while no person in AFAS is known for the account
    subject: str
    internal_id: str | None = None
    enrollment_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    pluvo_id: str
    field: str
    level: str
    title: str
    # As Pluvo gave it, and the day it is in the tenant's zone
    completed_raw: str | None = None
    completed_on: date | None = Field(default=None, sa_column=Column(Date))
    # The reading of the report that brought the day: an earlier day in the same reading takes its place.
    dated_run: str | None = None
    # Other dates that Pluvo gave later: noted, never written.
    later: list[LaterDate] = json(default="[]")
    state: str
    reason: str | None = None
    version: int = Field(default=1, sa_column=Column(BigInteger, nullable=False, server_default=text("1")))
    settings_version: int | None = Field(default=None, sa_column=Column(Integer))
    # The text that was sent, since when it may have been, when it was confirmed sent, when it was read back
    value: str | None = None
    sending_at: datetime | None = instant()
    written_at: datetime | None = instant()
    verified_at: datetime | None = instant()
    # What a human typed, where that stopped us
    found_value: str | None = None
    # The field's column as last read for this write, as AFAS gave it; the reading is good for a minute.
    shown_value: str | None = None
    shown_at: datetime | None = instant()
    # What was refused: settings version, row state and external id. It stays failed until one of them is another.
    failed_for: str | None = None
    # What an operator accepted as it is (``BASIS``), who, when and why. It is open again once anything of that differs.
    closed_for: str | None = None
    closed_at: datetime | None = instant()
    closed_by: str | None = None
    closed_reason: str | None = None
    # The newest run whose report listed it
    seen_run: str | None = None
    puts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    first_seen_at: datetime | None = instant(now=True)
    changed_at: datetime | None = instant(now=True)
    signalled_by: str = Field(default="poll", sa_column_kwargs={"server_default": text("'poll'")})


class WebhookEvent(SQLModel, table=True):
    """A webhook as it came in, stored before it is answered. The same body twice is one row."""

    __tablename__ = "webhook_event"
    __table_args__ = (UniqueConstraint("tenant_id", "body_sha256"), Index(None, "received_at"))

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    body_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    event: str
    pluvo_id: str | None = None
    ref: str | None = None
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    received_at: datetime | None = instant(now=True)
    times: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default=text("1")))
    handled_at: datetime | None = instant()
    outcome: str | None = None
