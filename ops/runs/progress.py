"""How far a run is, and how fast: for who watches it."""

from __future__ import annotations

from typing_extensions import TypedDict

from models.outcomes import APPLIED
from models.run import UNFINISHED
from models.session import transaction
from ops import lookup
from ops.listing import rows

_LOOK = f"""
    SELECT r.id AS run, r.status, r.progress, r.stop_requested, t.slug AS tenant,
           coalesce(l.planned, 0) AS planned, coalesce(l.applied, 0) AS applied, coalesce(l.lately, 0) AS lately,
           coalesce(l.seconds, 0) AS seconds
      FROM run r JOIN tenant t ON t.id = r.tenant_id
      LEFT JOIN LATERAL (
           SELECT count(*) AS planned,
                  count(*) FILTER (WHERE {APPLIED}) AS applied,
                  count(*) FILTER (WHERE l.settled_at > now() - interval '60 seconds') AS lately,
                  extract(epoch FROM now() - min(l.settled_at)) AS seconds
             FROM plan_line l
            WHERE l.run_id = r.id AND l.tenant_id = r.tenant_id AND r.status = 'applying') l ON true
     WHERE r.id = :run
"""  # noqa: S608  constants only


class Progress(TypedDict):
    """``pages`` and ``rows`` read so far; ``planned`` and ``applied`` lines, and those a minute of late, applying."""

    run: str
    tenant: str
    status: str
    over: bool
    stopping: bool
    pages: int
    rows: int
    planned: int
    applied: int
    per_minute: int
    seconds_left: int | None


def look(run_id: str) -> Progress:
    """As it is now. Raises NotThere for an unknown run."""
    with transaction() as connection:
        run_id = lookup.full_id(connection, "run", run_id)
        row = rows(connection, _LOOK, run=run_id)[0]
    read = row["progress"] or {}
    left = row["planned"] - row["applied"]
    # Of one that began a moment ago what it did in that moment is no minute's work.
    rate = row["lately"] / max(min(float(row["seconds"]), 60), 1) if row["lately"] else 0
    return {
        "run": run_id,
        "tenant": row["tenant"],
        "status": row["status"],
        "over": row["status"] not in UNFINISHED,
        "stopping": row["stop_requested"] and row["status"] in UNFINISHED,
        "pages": read.get("pages", 0),
        "rows": read.get("rows", 0),
        "planned": row["planned"] or read.get("planned", 0),
        "applied": row["applied"],
        "per_minute": round(60 * rate),
        "seconds_left": round(left / rate) if rate and left else None,
    }
