"""What all worker processes counted: see ``tenancy/tallies.py``."""

from __future__ import annotations

from sqlalchemy import Column, Float, text
from sqlmodel import Field, SQLModel


class Tally(SQLModel, table=True):
    __tablename__ = "tally"
    # A few hundred rows that are written every few seconds.
    __table_args__ = {"postgresql_with": {"fillfactor": 50}}

    name: str = Field(primary_key=True)
    # afas|reading_a_page|ok
    labels: str = Field(primary_key=True)
    value: float = Field(sa_column=Column(Float, nullable=False, server_default=text("0")))
