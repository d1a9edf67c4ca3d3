"""Which process started this one. The supervisor says so itself: when a child gets to ask, it may be gone already."""

from __future__ import annotations

import os

NAME = "KOPPELING_SUPERVISOR"


def started_by() -> int:
    """The pid of the supervisor that started this process, or of whatever else its parent is."""
    return int(os.environ.get(NAME) or os.getppid())
