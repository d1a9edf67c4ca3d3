"""What a guard held back, line by line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, one_of, referred_to, same_tenant
from models.hold import Guard, HoldLineState, HoldState, Measure
from models.run import Action


class Hold(SQLModel, table=True):
    __tablename__ = "hold"
    __table_args__ = (
        same_tenant("run_id", "run"),
        referred_to(),
        one_of("guard", Guard),
        one_of("state", HoldState),
        Index(None, "tenant_id", "state"),
        Index(None, "run_id"),
    )

    id: str = Field(primary_key=True)
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    run_id: str
    guard: str
    # Null for guards over the whole tenant.
    event_id: str | None = None
    state: str = Field(default=HoldState.OPEN, sa_column_kwargs={"server_default": text("'open'")})
    # Of the plan whose lines it holds; a release is bound to it.
    plan_hash: str
    # What tripped it
    measure: Measure = json(default="{}")
    created_at: datetime | None = instant(now=True)
    expires_at: datetime | None = instant()
    decided_at: datetime | None = instant()
    decided_by: str | None = None
    decided_reason: str | None = None


class HoldLine(SQLModel, table=True):
    """One held line."""

    __tablename__ = "hold_line"
    __table_args__ = (
        UniqueConstraint("hold_id", "enrollment_id"),
        same_tenant("hold_id", "hold"),
        same_tenant("enrollment_id", "enrollment"),
        same_tenant("plan_line_id", "plan_line", ondelete="SET NULL (plan_line_id)"),
        one_of("action", Action),
        one_of("state", HoldLineState),
        Index(None, "enrollment_id"),
        Index(None, "plan_line_id"),
        # What each run looks at anew
        Index("ix_hold_line_open", "tenant_id", postgresql_where=text("state = 'open'")),
    )

    id: int | None = identity()
    hold_id: str
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    enrollment_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    plan_line_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    event_id: str
    internal_id: str
    action: str
    # Version of the enrollment or person it was planned for: a newer one drops the line.
    version: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    # Of the person's link when it was planned; 0 without one. Another one drops the line.
    revision: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # As in the plan line
    before: dict[str, Any] | None = json()
    after: dict[str, Any] | None = json()
    state: str = Field(default="open", sa_column_kwargs={"server_default": text("'open'")})
    decided_at: datetime | None = instant()
