"""What ``koppeling check`` found last of a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json


class TenantCheck(SQLModel, table=True):
    """One row a tenant; each check replaces it."""

    __tablename__ = "tenant_check"
    __table_args__ = (UniqueConstraint("tenant_id"),)

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    checked_at: datetime | None = instant(now=True)
    # [{"probe", "ok", "code", "parameters"}]: codes and what their sentences need, no names or addresses of people
    findings: list[dict[str, Any]] = json(default="[]")
