"""An AFAS event that is linked to something in Pluvo, with the names its customer chose."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, Computed, ForeignKey, String, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, referred_to
from models.completion_dates import KnownField
from models.tenant_settings import CompletionRule, CourseTarget, FieldMap, stored

# Where the people of a course are in Pluvo, as one word: two courses with the same one lead to the same place.
TARGET = """CASE WHEN pluvo ? 'group_ref' THEN 'group:' || (pluvo ->> 'group_ref')
     ELSE 'offer_event:' || (pluvo ->> 'offer_event_ref') END"""


class Course(SQLModel, table=True):
    __tablename__ = "course"
    __table_args__ = (UniqueConstraint("tenant_id", "event_id"), referred_to())

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    event_id: str
    getconnector: str
    updateconnector: str
    fields: FieldMap = stored(FieldMap)
    pluvo: CourseTarget = stored(CourseTarget)
    # "offer_event:<ref>" or "group:<ref>"
    target: str | None = Field(default=None, sa_column=Column(String, Computed(TARGET, persisted=True)))
    # What is written back; the first is the default one.
    rules: list[CompletionRule] = stored(CompletionRule, many=True, default="[]")
    # The rule that linked it (``CourseRule.name``); None: a block of its own.
    rule: str | None = None
    # False once the tenants file names it no more, by a block or a rule: its people are not leavers.
    active: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default=text("true")))
    # Pluvo's own id of the offer event or group, once it was asked.
    target_id: str | None = None
    # Rows of the last complete snapshot, or of a short one that an operator released: the base of "short".
    base_rows: int | None = None
    base_at: datetime | None = instant()
    # Columns of the GetConnector as last read: how many rows a page may have depends on it.
    width: int | None = None
    # Each completion field as metainfo gave it last.
    completion_types: dict[str, KnownField] | None = json()

    def change(self, column: str, value: Any) -> None:
        """Set one of the columns of ``CourseSettings.columns``, and forget what was known of the old value."""
        setattr(self, column, value)
        if column in ("updateconnector", "rules"):
            self.completion_types = None  # asked again of metainfo
        if column == "getconnector":
            self.width = None  # another connector, other columns
        if column == "pluvo":
            self.target_id = None
