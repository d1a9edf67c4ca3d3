"""What ends and begins again and again: told when it begins twice, and then once it stays over.

Each time is an alert of its own. Of one that began soon after the end of the one before, the end is held back; where it
begins anew meanwhile nobody is told anything: who was told last that it is so was told what is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from models.audit import ALERT_NEWS

# One that begins so soon after an end is the same trouble; so long it must stay over to be told as over.
HOURS = 4
# Of alerts ``a``: this one began again. Tenant and subject may be NULL, and are compared in a way that can be hashed;
# the tenant also in one that an index knows.
_SAME = """(b.tenant_id = a.tenant_id OR (b.tenant_id IS NULL AND a.tenant_id IS NULL))
       AND coalesce(b.tenant_id, 0) = coalesce(a.tenant_id, 0) AND b.kind = a.kind
       AND coalesce(b.subject, '') = coalesce(a.subject, '')"""
_BEFORE = f"{_SAME} AND b.id < a.id AND b.closed_at > a.opened_at - interval '{HOURS} hours'"
AGAIN = f"EXISTS (SELECT 1 FROM alert b WHERE {_BEFORE})"  # noqa: S608  constants only
# What another one that tells has hold of is left out of the news, and is looked at all the same: of the one before,
# whether its end was held back; of one after, whether it is so, or was told.
OPEN_STILL = f"""EXISTS (
    SELECT 1 FROM alert b WHERE {_BEFORE} AND b.told_at IS NOT NULL AND b.over_told_at IS NULL)"""  # noqa: S608
BEGAN_ANEW = f"""EXISTS (
    SELECT 1 FROM alert b WHERE {_SAME} AND b.id > a.id
       AND (b.told_at IS NOT NULL OR b.closed_at IS NULL))"""  # noqa: S608  constants only
# Those whose end is not told yet. A join, so that all are looked up at once: after an outage they may be thousands.
HELD_BACK = f"""
    SELECT a.id FROM (SELECT * FROM alert WHERE {ALERT_NEWS}) a JOIN alert b ON {_BEFORE}
     WHERE a.closed_at > CAST(:now AS timestamptz) - interval '{HOURS} hours'"""  # noqa: S608  constants only


def sort_out(found: Sequence[Row[Any]], now: datetime) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """Of a tenant's news, the oldest first: what is told, and what needs no telling any more."""
    same: dict[tuple[str, str | None], list[Row[Any]]] = {}
    for row in found:
        same.setdefault((row.kind, row.subject), []).append(row)
    told: list[Row[Any]] = []
    settled: list[Row[Any]] = []
    for *before, last in same.values():
        # Their ends were not told before it began again.
        settled += before
        if last.closed_at is None:
            (settled if before or last.open_still else told).append(last)
        elif last.began_anew:
            settled.append(last)
        elif not last.again or last.closed_at <= now - timedelta(hours=HOURS):
            told.append(last)
    return told, settled
