"""Worker processes, and the services that one of them does for all: see ``models.worker``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Integer, text
from sqlmodel import Field, SQLModel

from models.base import instant


class Worker(SQLModel, table=True):
    __tablename__ = "worker"

    # host:pid:random
    id: str = Field(primary_key=True)
    # host name / where its process numbers are unique
    host: str
    pid: int
    threads: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    # to PostgreSQL, at most
    connections: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    code_version: str
    started_at: datetime | None = instant(now=True)
    heartbeat_at: datetime | None = instant(now=True)


class Service(SQLModel, table=True):
    """Who did a service last, and when: a sign of life that whoever asks how the system is doing can read."""

    __tablename__ = "service"

    # relay, maintenance, timetable; serve (which shows by it that the database takes writes)
    name: str = Field(primary_key=True)
    worker: str
    seen_at: datetime | None = instant(now=True)
    # When the relay last handed something out.
    worked_at: datetime | None = instant()
