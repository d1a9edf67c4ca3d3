"""What can come of a row, a removal or a completion: every outcome there is, and what each means for its run.

Law: a finished run's ``rows`` are the sum of its outcomes. Removals have no row and are counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from models.direction import Direction


class RowOutcome(StrEnum):
    """Of a row read from AFAS, in the order in which JSON names them."""

    CREATED = "created"
    LINKED = "linked"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    AMBIGUOUS = "ambiguous"
    HELD = "held"
    FAILED = "failed"
    PENDING = "pending"
    NOT_YET = "not_yet"
    ENDED = "ended"
    BLOCKED = "blocked"
    WAITING = "waiting"


class RemovalOutcome(StrEnum):
    """Of a removal. ``kept``: left alone by policy; ``postponed``: waits for a run that can read the completions;
    ``dropped``: the person came back or the plan changed; ``refused``: by an operator.
    """

    PENDING = "pending"
    HELD = "held"
    REMOVED = "removed"
    KEPT = "kept"
    POSTPONED = "postponed"
    DROPPED = "dropped"
    REFUSED = "refused"
    FAILED = "failed"


class CompletionOutcome(StrEnum):
    """Of a completion read from Pluvo's report, in the order in which JSON names them."""

    WRITTEN = "written"
    VERIFIED = "verified"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    ORPHAN = "orphan"
    NO_DATE = "no_date"
    REJECTED = "rejected"
    FAILED = "failed"
    PENDING = "pending"


# Of a line ``l``: its run has nothing more to do with it. What is to be done later, by another attempt, is settled too.
APPLIED = "(l.outcome <> 'pending' OR l.settled_at IS NOT NULL)"
# Everything an enrollment's line may say, and everything a line may say.
OF_ENROLLMENTS = tuple(dict.fromkeys((*RowOutcome, *RemovalOutcome)))
ALL = tuple(dict.fromkeys((*OF_ENROLLMENTS, *CompletionOutcome)))
# What the JSON of a run names, in this order.
NAMED: Mapping[str, tuple[str, ...]] = {
    Direction.ENROLLMENTS: tuple(one.value for one in RowOutcome),
    Direction.COMPLETIONS: tuple(one.value for one in CompletionOutcome),
}
# Only an operator, or a later run, moves these on: the run ends ``done_with_holds``.
NEEDS_DECISION = (RowOutcome.HELD, RowOutcome.AMBIGUOUS)
# No end yet; every other outcome is one.
OPEN = (RowOutcome.PENDING, *NEEDS_DECISION)
# A command ends with exit code 3 when a run has one of these: something waits for a person or for later.
WAITS = (*OPEN, CompletionOutcome.CONFLICT)
# The newest plan does not let these go on.
NOT_PLANNED = (*NEEDS_DECISION, RowOutcome.REJECTED)
# What a line of a plan that nobody carries out would come to, in SQL.
WOULD_BE = """
    CASE WHEN outcome = 'pending' AND is_row THEN CASE action WHEN 'create' THEN 'created'
         WHEN 'link' THEN 'linked'
         WHEN 'none' THEN CASE reason WHEN 'waiting_list' THEN 'waiting' ELSE 'unchanged' END ELSE 'updated' END
         WHEN outcome = 'pending' THEN 'removed' ELSE outcome END
"""
# Nothing is wrong with these, and nothing was to be done.
AT_REST = (RowOutcome.UNCHANGED, RowOutcome.NOT_YET, RowOutcome.ENDED)


def zeros(direction: str) -> dict[str, int]:
    """Every outcome that a direction's JSON names, with 0."""
    return dict.fromkeys(NAMED[direction], 0)
