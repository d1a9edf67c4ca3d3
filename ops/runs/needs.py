"""What of a run needs somebody: codes, each with the sentence ``hint.<code>`` that names the command that shows it."""

from __future__ import annotations

from collections.abc import Mapping

from models.run import RunStatus

# No run was asked for, as others held the direction for too long
NOT_ASKED = "not_asked"


def needs(status: str, reason: str | None, outcomes: Mapping[str, int], held_removals: int) -> dict[str, int]:
    """How much of each, ``{"failed": 2, "held": 1}``; of a run as a whole 1. Pure."""
    held = outcomes.get("held", 0) + held_removals
    counted = {name: outcomes.get(name, 0) for name in ("failed", "ambiguous", "conflict")} | {"held": held}
    found = {name: count for name, count in counted.items() if count}
    if NOT_ASKED in (status, reason):
        return {NOT_ASKED: 1}
    if reason == "plan_changed":
        return found | {"plan_changed": 1}
    if status in (RunStatus.FAILED, RunStatus.QUARANTINED):
        return found | {"check": 1}
    return found
