"""Runs that somebody started together, one for each tenant."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, one_of, same_tenant
from models.direction import Direction
from models.run import RunOptions


class Batch(SQLModel, table=True):
    __tablename__ = "batch"
    __table_args__ = (one_of("direction", Direction),)

    id: str = Field(primary_key=True)
    direction: str
    options: RunOptions = json(default="{}")
    started_by: str
    created_at: datetime | None = instant(now=True)


class BatchTenant(SQLModel, table=True):
    """A tenant of a batch. Without a run: it was paused, or its direction was in use for too long.

    A run that waited already is joined, so it may be of several batches.
    """

    __tablename__ = "batch_tenant"
    __table_args__ = (
        same_tenant("run_id", "run"),
        one_of("skipped", ("paused",)),
        UniqueConstraint("batch", "tenant_id"),
        Index(None, "tenant_id", "run_id"),
    )

    id: int | None = identity()
    batch: str
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    run_id: str | None = None
    skipped: str | None = None
