"""Who did what: every call that changes something outside, every operator's verb, every alert."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json


class Change(SQLModel, table=True):
    """One writing call to Pluvo or AFAS, whatever came of it. ``before`` and ``after`` are kept 90 days."""

    __tablename__ = "change"
    __table_args__ = (Index(None, "tenant_id", "internal_id"), Index(None, "at"), Index(None, "run_id"))

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    run_id: str | None = None
    message_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    system: str
    # create, link, update, enroll, unenroll, archive, restore, write
    operation: str
    internal_id: str | None = None
    event_id: str | None = None
    pluvo_id: str | None = None
    # done, refused, failed, unknown; done with a code: the account was changed, but not enrolled
    result: str
    code: str | None = None
    status: int | None = Field(default=None, sa_column=Column(Integer))
    # {"name", "email", "enrolled", "archived"}, of a date {"completion", "field"}
    before: dict[str, Any] | None = json()
    after: dict[str, Any] | None = json()
    seconds: float | None = Field(default=None, sa_column=Column(Float))
    at: datetime | None = instant(now=True)


class OperatorAction(SQLModel, table=True):
    """A verb that changed something: releases, refusals, decisions, replays, discards, pauses, imports, erasures."""

    __tablename__ = "operator_action"
    __table_args__ = (Index(None, "tenant_id", "at"),)

    id: int | None = identity()
    tenant_id: int | None = Field(default=None, sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE")))
    who: str
    verb: str
    subject: str | None = None
    reason: str | None = None
    # What that verb tells besides
    detail: dict[str, Any] | None = json()
    at: datetime | None = instant(now=True)


class Alert(SQLModel, table=True):
    """Something a person should know: one when it begins, closed when it ends."""

    __tablename__ = "alert"
    __table_args__ = (
        Index(
            "uq_alert_open",
            "tenant_id",
            "kind",
            "subject",
            unique=True,
            postgresql_where=text("closed_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: int | None = identity()
    tenant_id: int | None = Field(default=None, sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE")))
    # quarantine, not_visible, listing, own_link_active, …
    kind: str
    subject: str | None = None
    text: str
    opened_at: datetime | None = instant(now=True)
    closed_at: datetime | None = instant()
