"""A search for people that a page shows: names and addresses are never in a URL, so the URL names this row."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from models.base import instant


class PeopleSearch(SQLModel, table=True):
    """What somebody typed. Only they see it, for an hour; an erasure deletes all of them."""

    __tablename__ = "people_search"
    __table_args__ = (Index(None, "created_at"),)

    id: str = Field(primary_key=True)
    who: str
    text: str
    # A slug; none for all tenants that one may see
    tenant: str | None = None
    created_at: datetime | None = instant(now=True)
