"""Batches: runs that somebody started together. How far they are over all tenants, and which need somebody.

A batch is written before its first run is asked for, so that it is known of each tenant what became of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models.outcomes import APPLIED
from models.run import UNFINISHED, RunOptions, RunStatus
from models.session import transaction
from ops import access, lookup
from ops.documents import Calls
from ops.listing import Page, Row, checked_limit, page, rows, where
from ops.problems import NotThere, Problem
from ops.runs.needs import NOT_ASKED, needs

_BATCHES = """
    SELECT b.id, b.direction, b.options, b.started_by, b.created_at, s.tenants, s.states,
           CASE WHEN s.over THEN s.finished_at END AS finished_at
      FROM batch b
      JOIN LATERAL (
           SELECT sum(x.number)::int AS tenants, jsonb_object_agg(x.state, x.number) AS states,
                  bool_and(x.state <> ALL(:unfinished)) AS over, max(x.finished_at) AS finished_at
             FROM (SELECT coalesce(r.status, i.skipped, 'not_asked') AS state, count(*) AS number,
                          max(r.finished_at) AS finished_at
                     FROM batch_tenant i LEFT JOIN run r ON r.id = i.run_id AND r.tenant_id = i.tenant_id
                    WHERE i.batch = b.id AND (CAST(:tenants AS bigint[]) IS NULL OR i.tenant_id = ANY(:tenants))
                    GROUP BY 1) x) s ON s.tenants > 0
"""
_FILTERS = {"cursor": "b.id < :cursor", "direction": "b.direction = :direction"}
_TENANTS = f"""
    SELECT t.slug AS tenant, i.run_id AS run, coalesce(r.status, i.skipped, 'not_asked') AS status, r.reason,
           r.progress, r.outcomes, coalesce(r.rows, 0) AS rows, coalesce(r.removed, 0) AS removed,
           coalesce(r.held_removals, 0) AS held_removals, coalesce(r.calls_afas, 0) AS afas,
           coalesce(r.calls_pluvo, 0) AS pluvo, coalesce(r.calls_acting, 0) AS acting,
           extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at) AS seconds,
           coalesce(l.planned, 0) AS planned, coalesce(l.applied, 0) AS applied
      FROM batch_tenant i
      JOIN tenant t ON t.id = i.tenant_id
      LEFT JOIN run r ON r.id = i.run_id AND r.tenant_id = i.tenant_id
      LEFT JOIN LATERAL (
           SELECT count(*) AS planned,
                  count(*) FILTER (WHERE {APPLIED}) AS applied
             FROM plan_line l
            WHERE l.run_id = r.id AND l.tenant_id = r.tenant_id AND r.status = 'applying') l ON true
     WHERE i.batch = :batch AND (CAST(:tenants AS bigint[]) IS NULL OR i.tenant_id = ANY(:tenants))
     ORDER BY t.slug
"""  # noqa: S608  constants only
_MAKE = text(
    """
    INSERT INTO batch (id, direction, options, started_by)
    VALUES (:id, :direction, CAST(:options AS jsonb), :who)
    """
)
_ADD = text(
    """
    INSERT INTO batch_tenant (batch, tenant_id, skipped)
    SELECT :batch, x.id, CASE WHEN x.id = ANY(:paused) THEN 'paused' END FROM unnest(CAST(:ids AS bigint[])) AS x (id)
    """
)
_RUN = text("UPDATE batch_tenant SET run_id = :run WHERE batch = :batch AND tenant_id = :tenant")


class BatchItem(TypedDict):
    """A batch. ``states``: how many tenants by the state of their run, or ``paused`` or ``not_asked`` without one."""

    id: str
    direction: str
    options: RunOptions
    started_by: str
    created_at: datetime
    finished_at: datetime | None
    over: bool
    tenants: int
    done: int
    states: dict[str, int]


class Need(TypedDict):
    """What of one tenant needs somebody: a code of ``ops/runs/needs.py``."""

    tenant: str
    run: str | None
    code: str
    count: int


class OfTenant(TypedDict):
    """How far the run of one tenant is."""

    tenant: str
    run: str | None
    status: str
    reason: str | None
    rows: int
    outcomes: dict[str, int]
    planned: int
    applied: int
    seconds: float | None


class BatchShown(BatchItem):
    """A batch with the sums over its tenants, what needs somebody, and a page of its tenants."""

    rows: int
    outcomes: dict[str, int]
    removed: int
    planned: int
    applied: int
    calls: Calls
    needs: list[Need]
    items: list[OfTenant]
    next: str | None


def make(connection: Connection, batch: str, direction: str, options: str, who: str) -> None:
    """A new one; ``options`` as JSON."""
    connection.execute(_MAKE, {"id": batch, "direction": direction, "options": options, "who": who})


def add(connection: Connection, batch: str, tenants: Sequence[int], paused: Sequence[int]) -> None:
    """Its tenants, before a run is asked for."""
    connection.execute(_ADD, {"batch": batch, "ids": list(tenants), "paused": list(paused)})


def has(connection: Connection, batch: str, tenant: int, run: str) -> None:
    """Note the run of one tenant."""
    connection.execute(_RUN, {"batch": batch, "tenant": tenant, "run": run})


def listing(limit: int = 100, cursor: str | None = None, *, direction: str | None = None) -> Page:
    """Batches, newest first; of each the tenants that one may see."""
    access.need("runs.read")
    way = lookup.direction(direction) if direction else None
    with transaction() as connection:
        wanted = {"cursor": cursor, "direction": way}
        newest_first = f"{_BATCHES} {where(_FILTERS, wanted)} ORDER BY b.id DESC LIMIT :limit"
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted, **_seen(connection))
    cut = page(found, limit, "id")
    return Page([cast(dict[str, Any], _item(row)) for row in cut.items], cut.next)


def show(given: str, *, limit: int = 1000, cursor: str | None = None) -> BatchShown:
    """One batch as it stands. ``cursor``: the tenant to go on after."""
    with transaction() as connection:
        seen = _seen(connection)
        batch = _one(connection, given, seen)
        found = rows(connection, _TENANTS, batch=batch["id"], tenants=seen["tenants"])
    outcomes: Counter[str] = Counter()
    for row in found:
        outcomes.update(row["outcomes"] or {})
    enrolling = batch["direction"] == "enrollments"
    acting = sum(row["acting"] for row in found)
    shown = [row for row in found if cursor is None or row["tenant"] > cursor]
    cut = page(shown[: checked_limit(limit) + 1], limit, "tenant")
    return {
        **_item(batch),
        "rows": sum(_read(row) for row in found),
        "outcomes": dict(sorted(outcomes.items())),
        "removed": sum(row["removed"] for row in found),
        "planned": sum(_planned(row) for row in found),
        "applied": sum(row["applied"] for row in found),
        "calls": {
            "afas": sum(row["afas"] for row in found) + (0 if enrolling else acting),
            "pluvo": sum(row["pluvo"] for row in found) + (acting if enrolling else 0),
        },
        "needs": [
            {"tenant": row["tenant"], "run": row["run"], "code": code, "count": count}
            for row in found
            for code, count in needs(row["status"], row["reason"], row["outcomes"] or {}, row["held_removals"]).items()
        ],
        "items": [_of_tenant(row) for row in cut.items],
        "next": cut.next,
    }


def full_id(given: str) -> str:
    """The id of a batch that is meant: written out, the beginning of one, or ``last``."""
    with transaction() as connection:
        return str(_one(connection, given, _seen(connection))["id"])


def _seen(connection: Connection) -> dict[str, Any]:
    return {"tenants": lookup.visible_ids(connection), "unfinished": list(UNFINISHED)}


def _one(connection: Connection, given: str, seen: dict[str, Any]) -> Row:
    begin_of = given.strip().upper()
    named = "true" if begin_of == "LAST" else "starts_with(b.id, :given)"
    found = rows(connection, f"{_BATCHES} WHERE {named} ORDER BY b.id DESC LIMIT 2", given=begin_of, **seen)
    if not found or not begin_of:
        raise NotThere("no_run_batch", batch=given[:60])
    if len(found) > 1 and begin_of != "LAST":
        raise Problem("several_run_batches", given=given[:60])
    return found[0]


def _item(row: Row) -> BatchItem:
    states = row["states"]
    open_ = sum(states.get(name, 0) for name in UNFINISHED)
    return {
        "id": row["id"],
        "direction": row["direction"],
        "options": row["options"],
        "started_by": row["started_by"],
        "created_at": row["created_at"],
        "finished_at": row["finished_at"],
        "over": not open_,
        "tenants": row["tenants"],
        "done": row["tenants"] - open_,
        "states": {str(name): states[name] for name in (*RunStatus, NOT_ASKED) if name in states},
    }


def _of_tenant(row: Row) -> OfTenant:
    return {
        "tenant": row["tenant"],
        "run": row["run"],
        "status": row["status"],
        "reason": row["reason"],
        "rows": _read(row),
        "outcomes": {name: count for name, count in (row["outcomes"] or {}).items() if count},
        "planned": _planned(row),
        "applied": row["applied"],
        "seconds": round(float(row["seconds"]), 1) if row["seconds"] is not None else None,
    }


def _read(row: Row) -> int:
    """Rows of a run that is over; of one that reads, as many as it read so far."""
    return int(row["rows"] or (row["progress"] or {}).get("rows", 0))


def _planned(row: Row) -> int:
    """Lines of a run that goes on; how one that is over ended is told by its outcomes."""
    if row["status"] not in UNFINISHED:
        return 0
    return int(row["planned"] or (row["progress"] or {}).get("planned", 0))
