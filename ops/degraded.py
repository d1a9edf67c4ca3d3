"""What operators see of a direction whose systems can't be reached: ``degraded``, by which system, code and since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from models.direction import Health
from ops.listing import Row
from tenancy import unreached

DEGRADED = "degraded"


def mark(
    connection: Connection,
    directions: Iterable[Row],
    known: Mapping[tuple[int, str], unreached.Unreached] | None = None,
) -> None:
    """Change what is healthy and yet goes nowhere, in rows with tenant_id, direction, state, reason and since.

    What was stopped stays as it is: paused, quarantined, or not begun. ``known``: what ``unreached.found`` gave before.
    """
    found = unreached.found(connection) if known is None else known
    for row in directions:
        trouble = found.get((row["tenant_id"], row["direction"]))
        if trouble is not None and row["state"] == Health.HEALTHY:
            row |= {"state": DEGRADED, "reason": trouble.reason, "since": trouble.since}
