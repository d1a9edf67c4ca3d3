"""Worker processes that are alive: who can take messages, how many at once, and since when."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index, Integer, text
from sqlmodel import Field, SQLModel

from models.base import instant


class Worker(SQLModel, table=True):
    __tablename__ = "worker"
    __table_args__ = (Index(None, "heartbeat_at"),)

    # host:pid:random
    id: str = Field(primary_key=True)
    host: str
    pid: int
    threads: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    code_version: str
    started_at: datetime | None = instant(now=True)
    heartbeat_at: datetime | None = instant(now=True)
