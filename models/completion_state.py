"""The states of a completion, and what an operator may accept as it is: words and SQL alone, without the table."""

from __future__ import annotations

from enum import StrEnum


class CompletionState(StrEnum):
    """``sending`` means a PUT may be under way or may have happened."""

    PENDING = "pending"
    SENDING = "sending"
    WRITTEN = "written"
    VERIFIED = "verified"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    ORPHAN = "orphan"
    NO_DATE = "no_date"
    REJECTED = "rejected"
    FAILED = "failed"


# Nothing is to be done any more, by anybody.
SETTLED = (CompletionState.VERIFIED, CompletionState.UNCHANGED)
# What an operator may accept as it is, so that it alarms nobody.
CLOSABLE = (
    CompletionState.CONFLICT,
    CompletionState.ORPHAN,
    CompletionState.NO_DATE,
    CompletionState.REJECTED,
    CompletionState.FAILED,
)
# SQL: all that an operator looked at when accepting a completion ``c``; and whether it is accepted, and still the same.
BASIS = """md5(concat_ws('|', c.state, coalesce(c.reason, ''), coalesce(CAST(c.completed_on AS text), ''),
                     left(btrim(coalesce(c.shown_value, c.found_value, '')), 200), jsonb_array_length(c.later)))"""
CLOSED = f"coalesce(c.closed_for = {BASIS}, false)"
