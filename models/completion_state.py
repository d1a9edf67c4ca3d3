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


def basis(of: str) -> str:
    """SQL: all that an operator looks at when accepting a completion; ``of`` is its name in the statement."""
    seen = f"left(btrim(coalesce({of}.shown_value, {of}.found_value, '')), 200)"
    parts = f"{of}.state, coalesce({of}.reason, ''), coalesce(CAST({of}.completed_on AS text), ''), {seen}"
    return f"md5(concat_ws('|', {parts}, jsonb_array_length({of}.later)))"


def closed(of: str) -> str:
    """SQL: whether it is accepted, and still the same."""
    return f"coalesce({of}.closed_for = {basis(of)}, false)"


# Of a completion that is called c.
BASIS, CLOSED = basis("c"), closed("c")
