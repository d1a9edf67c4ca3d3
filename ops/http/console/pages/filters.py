"""Filters that stand in a page's address. An empty one is none."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from ops.runs.lines import LineFilters

Word = Annotated[str, Field(max_length=80)]


class RunQuery(BaseModel):
    """Which runs; ``since`` is a day."""

    tenant: Word = ""
    direction: Word = ""
    status: Word = ""
    trigger: Word = ""
    batch: Word = ""
    since: Word = ""
    cursor: Word | None = None


class LineQuery(BaseModel):
    """Which lines of a run."""

    outcome: Word = ""
    reason: Word = ""
    action: Word = ""
    event: Word = ""
    cursor: Word | None = None

    @property
    def chosen(self) -> LineFilters:
        """As the verb takes them."""
        return LineFilters(self.outcome or None, self.reason or None, self.action or None, self.event or None)


class HoldQuery(BaseModel):
    """Which holds, or which lines of one."""

    tenant: Word = ""
    event: Word = ""
    state: Word = ""
    cursor: Word | None = None
