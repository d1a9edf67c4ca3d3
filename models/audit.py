"""Who did what: every call that changes something outside, every operator's verb, every alert."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json

_ZERO = text("0")
# Nobody was told yet that it began, or that it is over
ALERT_NEWS = "CASE WHEN closed_at IS NULL THEN told_at IS NULL ELSE told_at IS NOT NULL AND over_told_at IS NULL END"


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
    __table_args__ = (
        Index(None, "tenant_id", "at"),
        Index(None, "tenant_id", "id"),
        Index(None, "subject"),
    )

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
    """Something a person should know: one when it begins, closed when it ends. Who is told: ``tables/alert.py``."""

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
        Index("ix_alert_news", "tenant_id", "id", postgresql_where=text(ALERT_NEWS)),
        # What was before
        Index(None, "tenant_id"),
    )

    id: int | None = identity()
    tenant_id: int | None = Field(default=None, sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE")))
    # quarantine, not_visible, listing, hold, …
    kind: str
    subject: str | None = None
    text: str
    # What its sentence says (``ops/language/alerts.py``): codes, numbers, days; nobody's names
    parameters: dict[str, Any] | None = json()
    # Where it rises people are told once more
    step: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=_ZERO))
    opened_at: datetime | None = instant(now=True)
    closed_at: datetime | None = instant()
    # Somebody takes care of it
    acked_at: datetime | None = instant()
    acked_by: str | None = None
    ack_reason: str | None = None
    # When its begin, and its end, was handed to those who are told
    told_at: datetime | None = instant()
    over_told_at: datetime | None = instant()
