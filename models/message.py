"""The ledger: everything still to be done outside. A row stays until its effect is recorded; then it is deleted.

One row for each (kind, subject): newer work for the same subject joins the row that is there already. States:
``ready`` (to be handed out), ``sent`` (handed to Redis, until ``lease_until``), ``scheduled`` (tries again at
``run_at``). A message that gives up leaves the ledger and becomes a dead letter.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NotRequired

from typing_extensions import TypedDict


class Kind(StrEnum):
    """Actor names: a contract with stored messages."""

    UPSERT = "enrollment.upsert"
    FETCH = "completion.fetch"
    WRITE_BACK = "completion.write_back"


class MessageState(StrEnum):
    READY = "ready"
    SENT = "sent"
    SCHEDULED = "scheduled"


class Try(TypedDict):
    """One that failed: when, by the database's clock, and with what; the text is cleaned."""

    at: str
    code: str
    text: str
    status: int | None
    # afas or pluvo, where it was a call that failed. Earlier versions did not store it.
    system: NotRequired[str | None]


class Priority:
    """Lower goes first within a tenant."""

    INTERACTIVE = 0
    NORMAL = 5
    BULK = 9
