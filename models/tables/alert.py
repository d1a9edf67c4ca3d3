"""Who is told of alerts, and who is not: deliveries, silence, and the days of which a digest was made."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Column, Date, ForeignKey, Index, Integer, text
from sqlmodel import Field, SQLModel

from models.alert import About, Channel, DeliveryState
from models.base import identity, instant, json, one_of


class AlertDelivery(SQLModel, table=True):
    """One mail, or one call of a webhook, to one recipient. Tried until it is taken, refused, or too old."""

    __tablename__ = "alert_delivery"
    __table_args__ = (
        one_of("channel", Channel),
        one_of("about", About),
        one_of("state", DeliveryState),
        Index("ix_alert_delivery_waiting", "channel", "next_at", postgresql_where=text("state = 'waiting'")),
        Index(None, "tenant_id", "id"),
        Index(None, "created_at"),
    )

    id: int | None = identity()
    # None: to those who run this installation
    tenant_id: int | None = Field(default=None, sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE")))
    channel: str
    # An address of a mail; of a webhook its URL
    recipient: str
    about: str
    # Of news [{"alert": 7, "event": "opened"}]; of a digest its lines {"code", "tenant", "link", "parameters"}
    items: list[dict[str, Any]] = json(default="[]")
    state: str = Field(default=DeliveryState.WAITING, sa_column_kwargs={"server_default": text("'waiting'")})
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    next_at: datetime | None = instant(now=True)
    # The process that tries it now, and until when it has it
    claim: str | None = None
    claimed_until: datetime | None = instant()
    # What went wrong last
    code: str | None = None
    created_at: datetime | None = instant(now=True)
    sent_at: datetime | None = instant()


class AlertMute(SQLModel, table=True):
    """Nobody is told of alerts of this tenant or kind (None: of all) until then. They are listed all the same."""

    __tablename__ = "alert_mute"
    __table_args__ = (Index(None, "tenant_id"),)

    id: int | None = identity()
    tenant_id: int | None = Field(default=None, sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE")))
    kind: str | None = None
    until: datetime | None = instant(nullable=False)
    reason: str
    who: str
    created_at: datetime | None = instant(now=True)


class AlertDigest(SQLModel, table=True):
    """A day whose digest was looked at, whether or not there was anything to tell."""

    __tablename__ = "alert_digest"
    __table_args__ = (
        Index("uq_alert_digest_day", "tenant_id", "day", unique=True, postgresql_nulls_not_distinct=True),
    )

    id: int | None = identity()
    # None: of those who run this installation
    tenant_id: int | None = Field(default=None, sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE")))
    # In the tenant's time zone
    day: date = Field(sa_column=Column(Date, nullable=False))
    created_at: datetime | None = instant(now=True)
