"""The one row that tells this installation from others: see ``models.installation``."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from models.base import instant


class Installation(SQLModel, table=True):
    __tablename__ = "installation"

    # Random.
    id: str = Field(primary_key=True)
    # The version of koppeling that migrated last, for one that knows less.
    version: str
    migrated_at: datetime | None = instant(now=True)
