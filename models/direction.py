"""The two directions of a tenant, and how one of them can be doing."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Enrollments go AFAS → Pluvo, completions Pluvo → AFAS."""

    ENROLLMENTS = "enrollments"
    COMPLETIONS = "completions"


class Health(StrEnum):
    # Imported, and no run was started yet: the timetable leaves it alone.
    NEW = "new"
    HEALTHY = "healthy"
    QUARANTINED = "quarantined"
    PAUSED = "paused"
