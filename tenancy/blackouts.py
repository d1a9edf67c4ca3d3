"""A tenant's blackouts by the database's clock, which all machines share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from models import blackouts

# Runs that nobody asked for at that moment
BY_THEMSELVES = ("schedule", "nightly", "reopened", "webhook")
_READ = text("SELECT now() AS now, timezone, blackout FROM tenant WHERE id = :tenant AND blackout <> '[]'")
# A run that comes again sooner would only be put off again.
_PUT_OFF = text(
    """
    UPDATE tenant_direction SET next_run_at = :at,
           last_full_at = CASE WHEN :full THEN NULL ELSE last_full_at END
     WHERE tenant_id = :tenant AND direction = :direction
    """
)


def put_off(connection: Connection, tenant_id: int, direction: str, *, full: bool) -> bool:
    """Let the timetable ask again after the blackout that there is now, if there is one."""
    row = connection.execute(_READ, {"tenant": tenant_id}).first()
    if row is None or (at := after(row.blackout, row.timezone, row.now)) is None:
        return False
    connection.execute(_PUT_OFF, {"tenant": tenant_id, "direction": direction, "full": full, "at": at})
    return True


def after(stored: Sequence[blackouts.Blackout], zone: str, now: datetime) -> datetime | None:
    """When a run may begin after the blackout that there is now; None where there is none."""
    if blackouts.free_from(stored, zone, now) == now:
        return None
    return blackouts.next_begin(stored, zone, now, 0)
