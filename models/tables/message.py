"""The ledger: see ``models.message``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, SmallInteger, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, one_of, same_tenant
from models.direction import Direction
from models.message import MessageState, Try

# Rows come and go all the time: room for the versions of a row on its own page, and a vacuum that comes soon (after a
# percent of the rows; the standard is a fifth) and takes no rest.
HOT_TABLE = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 1000,
    "autovacuum_vacuum_cost_delay": 0,
}


class Message(SQLModel, table=True):
    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("kind", "subject_id"),
        same_tenant("run_id", "run", ondelete="SET NULL (run_id)"),
        one_of("direction", Direction),
        one_of("state", MessageState),
        Index(
            "ix_message_ready",
            "tenant_id",
            "direction",
            "priority",
            "kind",
            "run_at",
            "id",
            postgresql_where=text("state = 'ready'"),
        ),
        # Without what a claim changes: that is then written beside the row, and no index is touched.
        Index("ix_message_sent", "tenant_id", "direction", postgresql_where=text("state = 'sent'")),
        Index("ix_message_scheduled", "run_at", postgresql_where=text("state = 'scheduled'")),
        Index("ix_message_lock", "lock", "id"),
        Index("ix_message_run", "run_id", "state"),
        Index("ix_message_after", "after_id", postgresql_where=text("after_id IS NOT NULL")),
        {"postgresql_with": HOT_TABLE},
    )

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    kind: str
    direction: str
    # The enrollment, webhook event or completion it is about.
    subject_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    # Two messages with the same lock are never out at the same time: see ``models.locks``.
    lock: str
    # Of the subject when it was enqueued; the actor reads the newest anyway.
    version: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    run_id: str | None = None
    plan_line_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    # Waits while this other message is still in the ledger.
    after_id: int | None = Field(default=None, sa_column=Column(BigInteger))
    priority: int = Field(default=5, sa_column=Column(SmallInteger, nullable=False, server_default=text("5")))
    # Look at the world again and repair it, also where nothing changed here (nightly full run, replay).
    full: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    state: str = Field(default=MessageState.READY, sa_column_kwargs={"server_default": text("'ready'")})
    # Counted at hand-out; names the delivery in Redis.
    deliveries: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # Tries that failed for a reason of the message's own.
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # Deliveries that a worker began and never ended.
    kills: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    run_at: datetime | None = instant(now=True)
    # A writing call may have been made of which nothing is recorded yet: what we noted before may not be so any more.
    touched: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    # When it was last handed to Redis, and until when that counts; a worker that begins renews the lease.
    sent_at: datetime | None = instant()
    lease_until: datetime | None = instant()
    started_at: datetime | None = instant()
    worker: str | None = None
    # The newest last, at most 20
    history: list[Try] = json(default="[]")
    first_failed_at: datetime | None = instant()
    created_at: datetime | None = instant(now=True)
