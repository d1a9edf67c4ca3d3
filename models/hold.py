"""What a guard held back, until an operator or a later complete snapshot decides."""

from __future__ import annotations

from enum import StrEnum

from typing_extensions import TypedDict


class Guard(StrEnum):
    REMOVALS_EVENT = "removals_event"
    REMOVALS_RUN = "removals_run"
    REMOVALS_WINDOW = "removals_window"
    EVENT_EMPTIED = "event_emptied"
    SHORT_SNAPSHOT = "short_snapshot"
    CREATES = "creates"
    EMAIL_CHANGES = "email_changes"


class Measure(TypedDict, total=False):
    """What a guard counted: how many lines, how many may be, of how many; ``before``: in the days before.

    ``limit`` is the larger of ``limit_count`` and ``limit_percent`` of the base.
    """

    count: int
    limit: float
    limit_count: float
    limit_percent: float
    base: int
    before: int
    moving: int
    rows: int


class HoldState(StrEnum):
    OPEN = "open"
    RELEASED = "released"
    CLEARED = "cleared"
    EXPIRED = "expired"
    REFUSED = "refused"


class HoldLineState(StrEnum):
    """``dropped``: no longer true when it was looked at again."""

    OPEN = "open"
    RELEASED = "released"
    DROPPED = "dropped"
    CLEARED = "cleared"
    EXPIRED = "expired"
    REFUSED = "refused"
