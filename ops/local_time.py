"""Times as people are told them: in the tenant's zone, with the zone named. JSON has them in UTC."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def told_at(at: datetime, zone: str) -> str:
    """``2026-11-26 15:04 CET``."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
